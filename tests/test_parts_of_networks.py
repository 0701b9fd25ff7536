"""The parts of networks that are unlike those of all others: checked against what they are meant to compute, place by place."""

import copy

import pytest
import torch
from torch import nn

from common.config import ModelConfig
from common.errors import InputError
from models.backbones.attention import enlarged
from models.backbones.lightcnn import MaxFeatureMap, Pool
from models.backbones.repvgg import Block
from models.embedder import build_backbone


@pytest.mark.parametrize(("inputs", "outputs", "stride", "branches"), [(3, 8, 1, 2), (8, 8, 2, 2), (8, 8, 1, 3)])
def test_a_folded_block_of_repvgg_is_the_sum_of_its_branches(inputs, outputs, stride, branches):
    torch.manual_seed(0)
    block = Block(inputs, outputs, stride)
    assert len(block.branches) == branches
    for norm in (module for module in block.modules() if isinstance(module, nn.BatchNorm2d)):
        for value in (norm.running_mean, norm.weight, norm.bias):
            nn.init.normal_(value)
        nn.init.uniform_(norm.running_var, 0.5, 2.0)
    images = torch.randn(2, inputs, 9, 9)
    small = copy.deepcopy(block.eval())
    small.fold()
    small.fold()  # there is nothing left to fold
    assert [name for name, _ in small.named_parameters()] == ["branches.0.weight", "branches.0.bias"]
    torch.testing.assert_close(small(images), block(images), rtol=1e-4, atol=1e-4)
    block.train()(images).sum().backward()  # the one that was copied goes on training
    assert all(weight.grad is not None for weight in block.parameters())


def test_max_feature_maps_take_the_larger_of_two_channels():
    layer = MaxFeatureMap(2, 3, 3)
    images = torch.randn(1, 2, 4, 5)
    before = nn.functional.conv2d(images, layer.convolution.weight, layer.convolution.bias, padding=1)
    expected = torch.stack([torch.maximum(before[:, channel], before[:, channel + 3]) for channel in range(3)], dim=1)
    torch.testing.assert_close(layer(images), expected)


def test_light_cnn_pools_to_the_sum_of_largest_and_mean():
    images = torch.tensor([[1.0, 2.0, 9.0], [3.0, 6.0, 9.0]])[None, None]
    assert Pool()(images).tolist() == [[[[6.0 + 3.0]]]]


def test_light_cnn_needs_sixteen_pixels():
    config = ModelConfig(backbone="lightcnn")
    build_backbone(config, image_size=16)
    with pytest.raises(InputError, match="lightcnn takes images of at least 16 pixels a side, and these have 15"):
        build_backbone(config, image_size=15)


def test_masks_are_enlarged_corner_to_corner():
    small = torch.tensor([[0.0, 4.0], [8.0, 12.0]])[None, None]
    rows, columns = torch.meshgrid(torch.arange(5.0), torch.arange(3.0), indexing="ij")
    torch.testing.assert_close(enlarged(small, torch.empty(1, 1, 5, 3))[0, 0], rows / 4 * 8 + columns / 2 * 4)


@pytest.mark.parametrize(
    ("choice", "message"),
    [
        ({"name": "attention", "modules": [1, 2]}, "modules should be 3 numbers, each from 1 to 100"),
        ({"name": "attention", "width": 0}, "greater than 0"),
        ({"name": "lightcnn", "blocks": [1, 2, 3, 0]}, "blocks should be 4 numbers, each from 1 to 100"),
        ({"name": "repvgg", "version": "C0"}, "'A0', 'A1', 'A2', 'B0', 'B1', 'B2' or 'B3'"),
    ],
)
def test_wrong_options_are_one_sentence(choice, message):
    with pytest.raises(InputError, match=message):
        build_backbone(ModelConfig(backbone=choice))
