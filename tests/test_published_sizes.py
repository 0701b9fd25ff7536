"""Networks have exactly the parameters, and the multiply-adds, that were published for them or counted of their systems."""

import pytest

from common.config import ModelConfig
from models.counts import multiply_adds, parameter_count
from models.embedder import build_backbone, build_embedder, shapes_only

NORMED = {"name": "pool", "norm": True}
ATTENTION_92 = {"name": "attention", "modules": [1, 2, 3]}


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
        # other sizes
        ("efficientnet_b0", "published", 224, 4_663_420, None),
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
    assert millions is None or multiply_adds(embedder, side) / 1e6 == pytest.approx(millions, rel=1e-4)


@pytest.mark.parametrize(
    ("backbone", "side", "parameters", "millions"),
    [
        ("efficientnet_b0", 112, 4_007_548, None),
        ("mobilefacenet", 112, 911_232, None),
        ("resnet_ir", 112, 30_727_360, None),
        ("repvgg", 112, 7_827_968, None),
        ("inception_resnet_v1", 224, 22_564_096, 3_143.91 - 1_792 * 2_360 / 1e6),  # published with a classifier of 2,360
    ],
)
def test_backbones(backbone, side, parameters, millions):
    with shapes_only():
        network = build_backbone(ModelConfig(backbone=backbone, image_size=side))
    assert parameter_count(network) == parameters
    assert millions is None or multiply_adds(network, side) / 1e6 == pytest.approx(millions, rel=1e-4)
