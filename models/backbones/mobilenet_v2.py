"""MobileNetV2 (Sandler et al., CVPR 2018, arXiv 1801.04381)."""

from itertools import accumulate
from typing import Literal

from torch import Tensor, nn

from common.ranges import Width
from models.backbones.backbone import Backbone
from models.layers.blocks import InvertedResidual, convolution, divisible, relu6

DIVISOR = 8  # of the numbers of channels


class MobileNetV2(Backbone):
    """Images [B, 3, H, W] float32 -> maps [B, 1280, H / 32, W / 32]; 2,223,872 parameters.

    width: multiplies all numbers of channels, which are rounded to multiples of 8; the last one is never less than 1280.
    stem_stride: of the first convolution. The published 2 is for 224 pixels a side; with 1 the maps are twice as high and wide.
    """

    STAGES = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))
    """Of each stage: by how much its blocks widen, its channels, how many blocks, stride of the first: table 2 of the paper."""
    head = {"name": "pool"}

    def __init__(self, width: Width = 1.0, stem_stride: Literal[1, 2] = 2):
        super().__init__()
        channels = divisible(32 * width, DIVISOR)
        layers = [*convolution(3, channels, 3, stem_stride, activation=relu6)]
        for factor, base, count, stride in self.STAGES:
            outputs = divisible(base * width, DIVISOR)
            for position in range(count):
                layers.append(InvertedResidual(channels, outputs, factor * channels, 3, 1 if position else stride, relu6))
                channels = outputs
        self.out_channels = divisible(1280 * max(1.0, width), DIVISOR)
        self.network = nn.Sequential(*layers, *convolution(channels, self.out_channels, 1, activation=relu6))
        self.stride = 16 * stem_stride

    def forward(self, images: Tensor) -> Tensor:
        return self.network(images)

    def stages(self) -> dict[str, nn.Module]:
        blocks = [layer for layer in self.network if isinstance(layer, InvertedResidual)]
        ends = accumulate(count for _, _, count, _ in self.STAGES)
        return {**{f"stage{number}": blocks[end - 1] for number, end in enumerate(ends, 1)}, "last": self.network[-1]}
