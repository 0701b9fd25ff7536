"""VarGFaceNet (Yan et al., ICCV Workshops 2019, arXiv 1910.04985): convolutions in groups of a fixed number of channels, after
VarGNet (Zhang et al., arXiv 1907.05653), with the widths of the symbol in insightface."""

from functools import partial

from torch import Tensor, nn

from common.ranges import Width
from models.backbones.backbone import Backbone
from models.layers.blocks import Activation, SqueezeExcitation, convolution, divisible

GROUP = 8  # channels that a 3x3 convolution filters together
EPS = 2e-5  # of every BatchNorm here; those of the head have the usual 1e-5
layers = partial(convolution, eps=EPS)


class VarGFaceNet(Backbone):
    """Images [B, 3, H, W] float32 -> maps [B, 1024, H / 16, W / 16]; with its published head and 512 dimensions 5,198,292
    parameters at 112 pixels, with width 1 3,948,432.

    width: multiplies the channels of all maps but the last, which are rounded to whole groups of 8.
    """

    WIDTHS = (32, 64, 128, 256)  # of the four stages, before `width` multiplies them
    UNITS = (2, 6, 3)  # that follow the reductions of the last three
    stride = 16
    head = {"name": "depthwise", "group": GROUP, "inner": 512, "bias": True}

    def __init__(self, width: Width = 1.25):
        super().__init__()
        channels, *further = (divisible(width * base, GROUP) for base in self.WIDTHS)
        self.network = nn.Sequential()
        self.network.add_module("stem", nn.Sequential(*layers(3, channels, 3, activation=nn.PReLU)))
        self.network.add_module("stage1", Unit(channels, factor=1, stride=2))
        for number, (outputs, units) in enumerate(zip(further, self.UNITS, strict=True), 2):
            stage = nn.Sequential(Reduction(channels, outputs), *(Unit(outputs) for _ in range(units)))
            self.network.add_module(f"stage{number}", stage)
            channels = outputs
        self.out_channels = 1024
        self.network.add_module("last", nn.Sequential(*layers(channels, self.out_channels, 1, activation=nn.PReLU)))

    def forward(self, images: Tensor) -> Tensor:
        return self.network(images)

    def stages(self) -> dict[str, nn.Module]:
        return {name: module for name, module in self.network.named_children() if name != "stem"}


def separable(
    inputs: int, outputs: int, stride: int = 1, factor: int = 2, activation: Activation | None = None
) -> tuple[nn.Module, ...]:
    """[B, inputs, H, W] -> [B, outputs, H / stride, W / stride], one after the other: a 3x3 convolution of groups of 8 channels,
    which makes `factor` times as many of them, and a 1x1 one. The activation given is that of the second."""
    inner = factor * inputs
    return (
        *layers(inputs, inner, 3, stride=stride, groups=inputs // GROUP, activation=nn.PReLU),
        *layers(inner, outputs, 1, activation=activation),
    )


class Unit(nn.Module):
    """[B, C, H, W] -> [B, C, H / stride, W / stride]: two separable convolutions, squeezed and excited, beside a shortcut."""

    SQUEEZE = 4  # by how much the squeeze and excitation is narrower

    def __init__(self, channels: int, factor: int = 2, stride: int = 1):
        super().__init__()
        self.residual = nn.Sequential(
            *separable(channels, channels, stride, factor, nn.PReLU),
            *separable(channels, channels, factor=factor),
            SqueezeExcitation(channels, channels // self.SQUEEZE, nn.PReLU),
        )
        self.shortcut = nn.Sequential(*(separable(channels, channels, stride, factor) if stride > 1 else ()))
        self.activation = nn.PReLU(channels)

    def forward(self, images: Tensor) -> Tensor:
        return self.activation(self.residual(images) + self.shortcut(images))


class Reduction(nn.Module):
    """[B, C, H, W] -> [B, D, H / 2, W / 2]: the sum of two separable convolutions, a third one, and another as shortcut."""

    def __init__(self, inputs: int, outputs: int):
        super().__init__()
        self.branches = nn.ModuleList(nn.Sequential(*separable(inputs, outputs, stride=2)) for _ in range(2))
        self.merged = nn.Sequential(nn.PReLU(outputs), *separable(outputs, outputs))
        self.shortcut = nn.Sequential(*separable(inputs, outputs, stride=2))
        self.activation = nn.PReLU(outputs)

    def forward(self, images: Tensor) -> Tensor:
        first, second = (branch(images) for branch in self.branches)
        return self.activation(self.merged(first + second) + self.shortcut(images))
