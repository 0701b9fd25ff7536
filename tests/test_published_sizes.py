"""Networks have exactly the parameters, and the multiply-adds, that were published for them or counted of their systems."""

import pytest

from common.config import ModelConfig
from models.counts import multiply_adds, parameter_count
from models.embedder import build_backbone, build_embedder, shapes_only
from models.heads import HEADS

NORMED = {"name": "pool", "norm": True}
ATTENTION_92 = {"name": "attention", "modules": [1, 2, 3]}
POCKETNET_M = {"name": "pocketnet", "channels": 32, "cells": 9}


@pytest.mark.parametrize(
    ("backbone", "head", "side", "parameters", "millions"),
    [
        ("efficientnet_b0", "published", 112, 4_663_420, None),
        ("mobilefacenet", "published", 112, 1_200_512, 221.16),
        ("resnet_ir", "published", 112, 43_574_976, 6_296.49),
        ({"name": "resnet_ir", "se": True}, "published", 112, 43_797_696, None),
        ({"name": "resnet_ir", "units": [3, 13, 30, 3]}, "published", 112, 65_129_792, 12_076.76),
        ({"name": "resnet_ir", "units": [3, 8, 36, 3], "se": True}, "published", 112, 71_148_736, 12_308),
        ("inception_resnet_v1", NORMED, 160, 23_482_624 + 512, None),  # published without a bias ahead of the BatchNorm
        ("tf_nas_a", "published", 112, 39_590_703, 487.51),
        ("lightcnn", "published", 112, 11_596_320, 2_831),
        ({"name": "repvgg", "version": "A0"}, "published", 112, 39_944_704, 1_543.41),
        ({"name": "repvgg", "version": "B0"}, "published", 112, 46_653_696, 3_428),
        ({"name": "repvgg", "version": "B1"}, "published", 112, 106_751_872, 13_177.4),
        # FaceX-Zoo counts the shortcut of every residual unit; where shapes are equal, it is built but never run. In modules of
        # 256, 512 and 1,024 channels these are 12, 9 and 6 units, and 2 of 2,048 channels end the network.
        ("attention", "published", 112, 98_964_672 - 12 * 256**2 - 9 * 512**2 - 6 * 1024**2 - 2 * 2048**2, 6_231.66),
        (ATTENTION_92, "published", 112, 134_562_496 - 12 * 256**2 - 18 * 512**2 - 18 * 1024**2 - 2 * 2048**2, None),
        ({"name": "pocketnet", "out_channels": 1024}, "published", 112, 1_674_944, None),
        ({**POCKETNET_M, "out_channels": 1024}, "published", 112, 2_698_112, None),
        ({"name": "efficientnet_b0", "stem_stride": 1}, "flatten", 112, 4_007_548 + 32_116_736, 416.65),
        ("ghostnet", "published", 112, 26_759_364, 162.73),
        ("rexnet", "published", 112, 15_197_128, 401.96),
        ({"name": "rexnet", "se": True}, "published", 112, 16_219_873, None),
        ("vargfacenet", "published", 112, 5_198_292, 512.59),
        ({"name": "vargfacenet", "width": 1.0}, "published", 112, 3_948_432, 360.5),
        # other sizes
        ("efficientnet_b0", "published", 224, 4_663_420, None),
        ({"name": "efficientnet_b0", "stem_stride": 1}, "published", 112, 4_663_420, None),
        ("ghostnet", "pool", 112, 2_671_428 + 961 * 512, None),
        ("efficientnet_b0", "flatten", 112, 4_007_548 + 2 * 1280 + 1280 * 16 * 512 + 3 * 512, None),
        ("mobilefacenet", "published", 96, 1_200_512 - 512 * (49 - 36), None),
        ("resnet_ir", "published", 75, 43_574_976 - 512 * 512 * (49 - 25), None),
    ],
)
def test_embedders(backbone, head, side, parameters, millions):
    """Of 512 dimensions."""
    config = ModelConfig(backbone=backbone, head=head, image_size=side, max_parameters=200_000_000)
    with shapes_only():
        embedder = build_embedder(config)
    assert parameter_count(embedder) == parameters
    assert millions is None or multiply_adds(embedder.eval(), side) / 1e6 == pytest.approx(millions, rel=1e-4)


@pytest.mark.parametrize(
    ("backbone", "side", "parameters", "millions"),
    [
        ("efficientnet_b0", 112, 4_007_548, None),
        ("mobilefacenet", 112, 911_232, None),
        ("mobilenet_v2", 112, 2_223_872, None),
        ("squeezenext", 112, 802_016, None),
        ({"name": "squeezenext", "width": 2}, 112, 3_094_912, None),
        ({"name": "inception_resnet_v1", "norm": False}, 112, 22_549_808, None),
        ("resnet_ir", 112, 30_727_360, None),
        ("repvgg", 112, 7_827_968, None),
        ("ghostnet", 112, 2_671_428, None),
        ("rexnet", 112, 2_349_512, None),
        ("inception_resnet_v1", 224, 22_564_096, 3_143.91 - 1_792 * 2_360 / 1e6),  # published with a classifier of 2,360
    ],
)
def test_backbones(backbone, side, parameters, millions):
    with shapes_only():
        network = build_backbone(ModelConfig(backbone=backbone, image_size=side))
    assert parameter_count(network) == parameters
    assert millions is None or multiply_adds(network.eval(), side) / 1e6 == pytest.approx(millions, rel=1e-4)


@pytest.mark.parametrize(
    ("backbone", "side", "dimensions", "parameters", "millions"),
    [
        ("pocketnet", 112, 128, 925_632, 283.54),
        ("pocketnet", 112, 256, 991_424, None),
        (POCKETNET_M, 112, 128, 1_686_656, 538.22),
        (POCKETNET_M, 112, 256, 1_752_448, None),
        ({"name": "pocketnet", "genotype": "cifar"}, 112, 128, 885_184, None),
        # with a classifier of 2,360 people, said to have 222, 698 and 3,144 million multiply-adds
        ("squeezenext", 224, 2_360, 1_106_456, 222.22),
        ({"name": "squeezenext", "width": 2}, 224, 2_360, 3_399_352, 698.13),
        ({"name": "inception_resnet_v1", "norm": False}, 224, 2_360, 26_781_288, 3_143.91),
        # with the 1,000 classes of ImageNet, said to have 59, 300 and 582 million multiply-adds with width 0.35, 1 and 1.4
        ({"name": "mobilenet_v2", "width": 0.35}, 224, 1_000, 1_677_128, 59.29),
        ({"name": "mobilenet_v2", "width": 0.5}, 224, 1_000, 1_968_680, None),
        ({"name": "mobilenet_v2", "width": 0.75}, 224, 1_000, 2_636_424, None),
        ("mobilenet_v2", 224, 1_000, 3_504_872, 300.77),
        ({"name": "mobilenet_v2", "width": 1.4}, 224, 1_000, 6_108_776, 582.20),
    ],
)
def test_embedders_of_other_dimensions(backbone, side, dimensions, parameters, millions):
    """With the published head; its linear layer is a classifier, too."""
    config = ModelConfig(backbone=backbone, image_size=side, embedding_size=dimensions, max_parameters=30_000_000)
    with shapes_only():
        embedder = build_embedder(config)
    assert parameter_count(embedder) == parameters
    assert millions is None or multiply_adds(embedder.eval(), side) / 1e6 == pytest.approx(millions, rel=1e-4)


@pytest.mark.parametrize(
    ("head", "channels", "parameters"),
    [
        ("pool", 1280, 655_872),  # EfficientNet-B0 of Triarchy
        ("depthwise", 512, 289_280),  # MobileFaceNet
        (
            "flatten",
            1280,
            32_116_736,
        ),  # EfficientNet-B0 of FaceX-Zoo, and the next there: GhostNet, ResNeSt-50, TF-NAS-A, HRNet-W18
        ("flatten", 960, 24_087_936),
        ("flatten", 2048, 51_385_856),
        ({"name": "flatten", "maps_norm": False}, 1280, 32_114_176),
        ({"name": "flatten", "maps_norm": False, "bias": False}, 2048, 51_381_248),
    ],
)
def test_heads(head, channels, parameters):
    """From 7 x 7 places to 512 dimensions."""
    with shapes_only():
        built = HEADS.build(head, in_channels=channels, map_size=(7, 7), embedding_size=512)
    assert parameter_count(built) == parameters
