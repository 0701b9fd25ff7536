"""GhostNet (Han et al., CVPR 2020, arXiv 1911.11907), which makes half of all channels by cheap filters of the other half."""

from typing import Literal

import torch
from torch import Tensor, nn

from common.ranges import Width
from models.backbones.backbone import Backbone
from models.layers.blocks import SqueezeExcitation, convolution, divisible, relu

DIVISOR = 4  # of the numbers of channels


class GhostNet(Backbone):
    """Images [B, 3, H, W] float32 -> maps [B, 960, H / 16, W / 16]; 2,671,428 parameters, with the head of FaceX-Zoo (Wang et
    al., arXiv 2101.04407) and 512 dimensions 26,759,364 at 112 pixels, with the head `pool` 3,163,460.

    width: multiplies all numbers of channels, which are rounded to multiples of 4.
    stem_stride: of the first convolution. 1, as in FaceX-Zoo, is for images of 112 pixels a side; the paper has 2 for 224.
    """

    STAGES = (
        ((3, 16, 16, False),),
        ((3, 48, 24, False), (3, 72, 24, False)),
        ((5, 72, 40, True), (5, 120, 40, True)),
        (
            (3, 240, 80, False),
            (3, 200, 80, False),
            (3, 184, 80, False),
            (3, 184, 80, False),
            (3, 480, 112, True),
            (3, 672, 112, True),
        ),
        ((5, 672, 160, True), (5, 960, 160, False), (5, 960, 160, True), (5, 960, 160, False), (5, 960, 160, True)),
    )
    """Of each bottleneck: its kernel, which counts where it has a stride or a shortcut of its own, inner width, width, and
    whether it is squeezed and excited. All stages but the first begin with a stride of 2. From table 1 of the paper, and the
    kernels from its code."""
    STEM = 16
    head = {"name": "flatten", "dropout": 0.2}

    def __init__(self, width: Width = 1.0, stem_stride: Literal[1, 2] = 1):
        super().__init__()
        channels = divisible(width * self.STEM, DIVISOR)
        self.network = nn.Sequential()
        self.network.add_module("stem", nn.Sequential(*convolution(3, channels, 3, stride=stem_stride, activation=relu)))
        for number, table in enumerate(self.STAGES, 1):
            stage = nn.Sequential()
            for position, (kernel, inner, outputs, squeezed) in enumerate(table):
                wide, outputs = (divisible(width * base, DIVISOR) for base in (inner, outputs))
                stage.append(Bottleneck(channels, wide, outputs, kernel, 1 if position or number == 1 else 2, squeezed))
                channels = outputs
            self.network.add_module(f"stage{number}", stage)
        self.out_channels = wide  # as the last bottleneck is inside
        self.network.add_module("last", nn.Sequential(*convolution(channels, self.out_channels, 1, activation=relu)))
        self.stride = stem_stride * 2 ** (len(self.STAGES) - 1)

    def forward(self, images: Tensor) -> Tensor:
        return self.network(images)

    def stages(self) -> dict[str, nn.Module]:
        return {name: module for name, module in self.network.named_children() if name != "stem"}


class Ghost(nn.Module):
    """[B, C, H, W] -> [B, D, H, W]: half of the channels by a 1x1 convolution, and those of this half, filtered channel by
    channel, as the other."""

    def __init__(self, inputs: int, outputs: int, activated: bool):
        super().__init__()
        half, activation = outputs // 2, relu if activated else None
        self.primary = nn.Sequential(*convolution(inputs, half, 1, activation=activation))
        self.cheap = nn.Sequential(*convolution(half, half, 3, groups=half, activation=activation))

    def forward(self, images: Tensor) -> Tensor:
        primary = self.primary(images)
        return torch.cat([primary, self.cheap(primary)], dim=1)


class Bottleneck(nn.Module):
    """[B, C, H, W] -> [B, D, H / stride, W / stride]: widened to `inner` channels, made smaller where there is a stride,
    and narrowed, beside a shortcut; no activation follows the sum."""

    SQUEEZE = 0.25  # hidden channels of the squeeze and excitation, as a share of its own

    def __init__(self, inputs: int, inner: int, outputs: int, kernel: int, stride: int, squeezed: bool):
        super().__init__()
        hidden = divisible(self.SQUEEZE * inner, DIVISOR)
        self.residual = nn.Sequential(
            Ghost(inputs, inner, activated=True),
            *(convolution(inner, inner, kernel, stride=stride, groups=inner) if stride > 1 else ()),
            *([SqueezeExcitation(inner, hidden, gate=nn.Hardsigmoid)] if squeezed else []),
            Ghost(inner, outputs, activated=False),
        )
        self.shortcut = nn.Sequential()
        if stride > 1 or inputs != outputs:
            self.shortcut.extend(convolution(inputs, inputs, kernel, stride=stride, groups=inputs))
            self.shortcut.extend(convolution(inputs, outputs, 1))

    def forward(self, images: Tensor) -> Tensor:
        return self.residual(images) + self.shortcut(images)
