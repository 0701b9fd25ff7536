"""Networks of the package timm. What holds for every network is tested in test_zoo.py and test_export.py, on one of them."""

import sys

import pytest
import torch

from common.config import ModelConfig
from common.errors import InputError
from models.backbones.timm_network import check_options
from models.counts import parameter_count
from models.embedder import build_backbone, embedder_shapes, shapes_only
from recipes.metric import check_reads
from tests.tiny import need_timm

SWIN = {"network": "swin_tiny_patch4_window7_224", "options": {"embed_dim": 16, "depths": [1, 1], "num_heads": [1, 2]}}


def model(network: str, image_size: int = 32, **options) -> ModelConfig:
    backbone = {"name": "timm", "network": network, **({"options": options} if options else {})}
    return ModelConfig(backbone=backbone, image_size=image_size, max_parameters=50_000_000)


@pytest.fixture
def timm() -> None:
    need_timm()


def test_without_the_package_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(InputError, match="of requirements-timm.txt .*; run 'pip install -r requirements-timm.txt'"):
        build_backbone(model("resnet18"))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"pretrained": True}, "option pretrained would have weights or a file read; every network here starts from nothing"),
        ({"pretrained": False}, "option pretrained would"),
        ({"pretrained_cfg_overlay": {"file": "w.pth"}}, "option pretrained_cfg_overlay would"),
        ({"checkpoint_path": "w.pth"}, "option checkpoint_path would"),
        ({"img_size": 224}, "option img_size is decided by model.image_size and model.head"),
        ({"num_classes": 5}, "option num_classes is decided"),
        ({"depths": [2, 2, 5_000]}, "hold 5000; numbers should be at most 4,096"),
        ({"drop_rate": float("nan")}, "hold nan; numbers should be"),
        ({"act_layer": "x" * 1001}, "should be at most 1,000 characters long"),
    ],
)
def test_options_that_are_not_the_users_are_refused(options, message):
    with pytest.raises(InputError, match=message):
        check_options(options)


def test_options_of_the_network_are_the_users():
    check_options({"drop_path_rate": 0.1, "act_layer": "silu", "depths": [2, 2], "block_args": {"attn": None, "flag": True}})


@pytest.mark.parametrize(
    ("network", "options", "message"),
    [
        ("mobilenetv2_036", {}, "timm has no network 'mobilenetv2_036'; known: .* and [0-9,]+ more"),
        ("test_vit_relpo", {}, "known: test_vit_relpos$"),
        ("hf-hub:timm/resnet18.a1_in1k", {}, "timm has no network 'hf-hub"),
        ("resnet18", {"colour": 1}, "'resnet18' with the options {'colour': 1}, for images of 32 .* cannot be built: .*colour"),
        ("coat_tiny", {}, "cannot be used: TypeError: it has several maps in place of one"),
        ("inception_v3", {}, "for images of 32 pixels a side, cannot be used: .*Kernel size"),
        ("test_vit", {"patch_size": 15}, "ends in features|cannot be"),
    ],
)
def test_what_timm_cannot_build_is_one_sentence(timm, network, options, message):
    with shapes_only(), pytest.raises(InputError, match=message) as refused:
        build_backbone(model(network, **options))
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("network", "parameters"),
    [("mobilenetv2_100", 2_223_872), ("efficientnet_b0", 4_007_548), ("ghostnet_100", 2_671_428)],
)
def test_trunks_have_the_parameters_of_the_papers_and_no_classifier(timm, network, parameters):
    with shapes_only():
        backbone = build_backbone(model(network))
    assert parameter_count(backbone) == parameters


def test_hrnet_with_its_head_is_that_of_facex_zoo(timm):
    head = {"name": "flatten", "dropout": 0.0, "maps_norm": False, "bias": False}
    backbone = {"name": "timm", "network": "hrnet_w18"}
    embedder = embedder_shapes(ModelConfig(backbone=backbone, head=head, image_size=224, max_parameters=80_000_000))
    assert parameter_count(embedder) == 70_631_252 and parameter_count(embedder.backbone) == 19_250_004
    assert list(embedder.backbone.stages()) == ["last"]  # the others are several maps each


def test_options_reach_the_network(timm):
    with shapes_only():
        usual = build_backbone(model("mobilenetv2_035", 64))
        finer = build_backbone(model("mobilenetv2_035", 64, output_stride=16))
    assert usual.map_size(64) == (2, 2) and finer.map_size(64) == (4, 4) and usual.map_size(96) == (3, 3)


def test_tokens_are_laid_out_as_the_map_that_they_stand_for(timm):
    torch.manual_seed(0)
    config = model("test_vit", 48)
    backbone = build_backbone(config).eval()
    images = torch.randn(2, 3, 48, 48)
    with torch.no_grad():
        maps, tokens = backbone(images), backbone.network.forward_features(images)
    assert backbone.stride == 16 and maps.shape == (2, backbone.out_channels, *backbone.map_size(48)) == (2, 64, 3, 3)
    for row in range(3):
        for column in range(3):
            assert torch.equal(maps[:, :, row, column], tokens[:, 1 + 3 * row + column])  # the first stands for the whole
    with pytest.raises(InputError, match="holds 32, and timm reads only images of model.image_size"):
        check_reads(config, [32])


def test_maps_with_channels_last_are_turned(timm):
    torch.manual_seed(0)
    backbone = build_backbone(model(SWIN["network"], 40, **SWIN["options"])).eval()
    images = torch.randn(2, 3, 40, 40)
    with torch.no_grad():
        maps, turned = backbone(images), backbone.network.forward_features(images)
    assert maps.shape == (2, 32, *backbone.map_size(40)) == (2, 32, 5, 5)
    assert torch.equal(maps, turned.movedim(3, 1)) and list(backbone.stages()) == ["last"]
