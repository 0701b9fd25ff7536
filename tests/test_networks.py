"""What is particular to SqueezeNext, MobileNetV2 and the Inception-ResNet-v1 without BatchNorm."""

import pytest
import torch
from torch import nn
from torch.nn import functional

from common.config import ModelConfig
from common.errors import InputError
from models.backbones.inception_resnet import InceptionResNetV1
from models.backbones.mobilenet_v2 import MobileNetV2
from models.backbones.squeezenext import Block, SqueezeNext, same_max_pool
from models.embedder import build_backbone, build_embedder, shapes_only


@pytest.mark.parametrize("side", [6, 7, 16, 17])
def test_the_max_pooling_pads_as_tensorflow_does(side):
    images = torch.randn(2, 3, side, side)
    outputs = -(-side // 2)
    missing = 2 * (outputs - 1) + 3 - side  # which TensorFlow adds in halves, the larger one at the end
    whole = functional.pad(images, (missing // 2, missing - missing // 2) * 2, value=float("-inf"))
    expected = whole.unfold(2, 3, 2).unfold(3, 3, 2).amax(dim=(4, 5))
    assert expected.shape == (2, 3, outputs, outputs)
    assert torch.equal(same_max_pool(side)(images), expected)


def test_squeezenext_halves_its_maps_as_published():
    """At 224 pixels: 110 after the first convolution, 55 after the pooling, then 28, 14 and 7."""
    with shapes_only():
        network = build_backbone(ModelConfig(backbone="squeezenext", image_size=224))
        images, sides = torch.empty(1, 3, 224, 224), []
        for layer in network.network:
            images = layer(images)
            sides.append(images.shape[-1])
    assert list(dict.fromkeys(sides)) == [110, 55, 28, 14, 7]
    assert network.map_size(224) == (7, 7) and network.map_size(112) == (4, 4) and network.map_size(16) == (1, 1)


@pytest.mark.parametrize("side", [17, 37, 41])
def test_squeezenext_says_the_size_of_its_maps_where_the_pooling_pads_all_around(side):
    with shapes_only():
        network = SqueezeNext(side, blocks=(1, 1, 1, 1)).eval()
        assert network(torch.empty(1, 3, side, side)).shape[2:] == network.map_size(side)


def test_the_width_leaves_the_ends_of_squeezenext_as_they_are():
    with shapes_only():
        narrow, wide = (SqueezeNext(112, width=width) for width in (0.125, 2.0))
    for network, widths in ((narrow, [4, 8, 16, 32]), (wide, [64, 128, 256, 512])):
        convolutions = [layer for layer in network.network if isinstance(layer, nn.Conv2d)]
        assert [layer.out_channels for layer in convolutions] == [64, *widths, 128]
        blocks = [layer for layer in network.network if isinstance(layer, Block)]
        assert len(blocks) == 21 and {layer.out_channels for layer in blocks[0] if isinstance(layer, nn.Conv2d)} == {
            widths[0] // 4,
            widths[0] // 2,
            widths[0],
        }


def test_the_momentum_of_squeezenext_is_that_of_every_norm():
    with shapes_only():
        networks = SqueezeNext(112), SqueezeNext(112, momentum=0.003)
    for network, momentum in zip(networks, (0.1, 0.003)):
        assert {layer.momentum for layer in network.modules() if isinstance(layer, nn.BatchNorm2d)} == {momentum}


def test_mobilenet_v2_has_larger_maps_where_its_stem_has_stride_one():
    for stride, side in ((2, 4), (1, 7)):
        with shapes_only():
            network = MobileNetV2(stem_stride=stride)
            maps = network(torch.empty(1, 3, 112, 112))
        assert maps.shape[2:] == network.map_size(112) == (side, side)


def test_without_norms_images_are_still_told_apart_at_first():
    """With the usual first weights of the tensor library, the maps of different images differ ten times less."""
    torch.manual_seed(0)
    network = InceptionResNetV1(75, blocks=(2, 2, 2), norm=False)
    assert not any(isinstance(module, nn.BatchNorm2d) for module in network.modules())
    convolutions = [module for module in network.modules() if isinstance(module, nn.Conv2d)]
    assert all(not layer.bias.any() for layer in convolutions)
    for layer in convolutions:
        inputs, outputs = (layer.weight[0].numel(), layer.out_channels * layer.weight[0, 0].numel())
        assert layer.weight.std().item() == pytest.approx((2 / (inputs + outputs)) ** 0.5, rel=0.1)
    with torch.no_grad():
        assert network(torch.randn(4, 3, 75, 75)).std(0).mean() > 0.001


@pytest.mark.parametrize(
    ("backbone", "message"),
    [
        ({"name": "squeezenext", "width": 0.3}, "option width is 0.3, .*multiple of 0.125"),
        ({"name": "squeezenext", "width": 0}, "option width is 0, .*greater than or equal to 0.125"),
        ({"name": "squeezenext", "blocks": [2, 4, 14]}, "blocks should be 4 numbers, each from 1 to 100"),
        ({"name": "squeezenext", "blocks": [2, 4, 14, 0]}, "blocks should be 4 numbers, each from 1 to 100"),
        ({"name": "squeezenext", "momentum": 2}, "option momentum is 2, .*less than or equal to 1"),
        ({"name": "mobilenet_v2", "stem_stride": 3}, "option stem_stride is 3, .*1 or 2"),
        ({"name": "mobilenet_v2", "width": 0.0}, "option width is 0.0, .*greater than or equal to 0.1"),
    ],
)
def test_wrong_options_are_one_sentence(backbone, message):
    with pytest.raises(InputError, match=message):
        build_embedder(ModelConfig(backbone=backbone))
