"""What sets apart the small networks (GhostNet, ReXNet, VarGFaceNet, EfficientNet with a stem that has no stride)."""

import pytest
import torch
from torch import nn

from common.config import ModelConfig
from common.errors import InputError
from models.backbones import ghostnet, rexnet, vargfacenet
from models.embedder import build_backbone, build_embedder, shapes_only
from models.layers.blocks import divisible


@pytest.mark.parametrize("side", [112, 75])
def test_efficientnet_without_stride_in_its_stem_pads_as_the_package_does_when_it_sees_the_sizes(side):
    from efficientnet_pytorch import EfficientNet

    torch.manual_seed(0)
    ours = build_backbone(ModelConfig(backbone={"name": "efficientnet_b0", "stem_stride": 1}, image_size=side)).eval()
    reference = EfficientNet.from_name("efficientnet-b0", image_size=None, include_top=False).eval()
    reference._conv_stem.stride = (1, 1)
    reference.load_state_dict({name.removeprefix("network."): value for name, value in ours.state_dict().items()})
    images = torch.randn(1, 3, side, side)
    with torch.no_grad():
        torch.testing.assert_close(ours(images), reference.extract_features(images), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ["efficientnet_b0", "ghostnet", "rexnet"])
@pytest.mark.parametrize(("stem_stride", "size"), [(1, 5), (2, 3)])
def test_the_stride_of_the_stem_is_that_of_the_maps(name, stem_stride, size):
    with shapes_only(), torch.inference_mode():
        network = build_backbone(ModelConfig(backbone={"name": name, "stem_stride": stem_stride}, image_size=75)).eval()
        assert network(torch.zeros(1, 3, 75, 75)).shape == (1, network.out_channels, size, size)
    assert network.map_size(75) == (size, size) and network.stride == 16 * stem_stride
    with pytest.raises(InputError, match=f"'{name}': option stem_stride is 3, which is wrong: input should be 1 or 2"):
        build_backbone(ModelConfig(backbone={"name": name, "stem_stride": 3}))


def test_widths_are_divisible_and_not_much_smaller():
    for divisor in (4, 8):
        for tenths in range(1, 2000):
            channels = tenths / 10
            width = divisible(channels, divisor)
            assert width % divisor == 0 and 0.9 * channels <= width
            below = width - divisor
            assert not below or below < 0.9 * channels or abs(width - channels) <= abs(below - channels)
    assert [divisible(channels, 8) for channels in (1, 11.9, 12, 16.6, 19.2)] == [8, 16, 16, 16, 24]


def test_half_of_ghost_channels_are_filters_of_the_other_half():
    torch.manual_seed(0)
    ghost = ghostnet.Ghost(6, 8, activated=True).eval()
    made = ghost(torch.randn(2, 6, 5, 5))
    kernel = ghost.cheap[0].weight
    for channel in range(4):
        one = nn.functional.conv2d(made[:, channel : channel + 1], kernel[channel : channel + 1], padding=1)
        torch.testing.assert_close(made[:, 4 + channel], (one[:, 0] / (1 + ghost.cheap[1].eps) ** 0.5).relu())


def test_rexnet_adds_the_input_to_the_first_channels():
    torch.manual_seed(0)
    images = torch.randn(2, 6, 5, 5)
    for outputs, stride, residual in [(9, 1, True), (6, 1, True), (5, 1, False), (9, 2, False)]:
        block = rexnet.Block(6, outputs, 6, stride, squeezed=True).eval()
        made, without = block(images), nn.Sequential.forward(block, images)
        if residual:
            assert torch.equal(made[:, :6], without[:, :6] + images) and torch.equal(made[:, 6:], without[:, 6:])
        else:
            assert torch.equal(made, without)


def test_rexnet_grows_evenly():
    with shapes_only():
        network = rexnet.ReXNet(se=True).network
    blocks = [module for module in network.modules() if isinstance(module, rexnet.Block)]
    widths = [16, 27, 38, 50, 61, 72, 84, 95, 106, 117, 128, 140, 151, 162, 174, 185]
    assert [block[-1].num_features for block in blocks] == widths
    assert [block.inputs for block in blocks] == [32, *widths[:-1]]


@pytest.mark.parametrize("width", [0.1, 0.3, 1.0, 1.25, 1.7, 4.0])
def test_vargfacenet_filters_whole_groups_of_8_at_any_width(width):
    with shapes_only():
        network = vargfacenet.VarGFaceNet(width=width)
    filters = [one for one in network.modules() if isinstance(one, nn.Conv2d) and one.kernel_size == (3, 3)][1:]
    assert {one.in_channels // one.groups for one in filters} == {8}
    assert {norm.eps for norm in network.modules() if isinstance(norm, nn.BatchNorm2d)} == {2e-5}
    assert network.network.stage4[0].activation.num_parameters == pytest.approx(256 * width, abs=7)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ({"backbone": {"name": "vargfacenet", "width": 0.0}}, "option width is 0.0, .* greater than or equal to 0.1"),
        ({"backbone": {"name": "ghostnet", "width": 5.0}}, "option width is 5.0, .* less than or equal to 4"),
        ({"backbone": "ghostnet"}, "ghostnet, head flatten, 512 dimensions. has 26,759,364 parameters, more than"),
        (
            {"backbone": "small", "head": {"name": "depthwise", "group": 7}},
            "'depthwise' cannot be built with .*: group is 7; it should divide the 64 channels of the maps",
        ),
        ({"backbone": "small", "head": {"name": "depthwise", "group": 0}}, "option group is 0, .* greater than 0"),
        ({"backbone": "small", "head": {"name": "depthwise", "inner": -1}}, "option inner is -1, .* greater than or equal to 0"),
        ({"backbone": "small", "head": {"name": "depthwise", "inner": 10**18}}, "option inner is 1000.*, which is wrong"),
    ],
)
def test_options_that_make_no_sense_are_one_sentence(model, message):
    with pytest.raises(InputError, match=message):
        build_embedder(ModelConfig(image_size=112, **model))
