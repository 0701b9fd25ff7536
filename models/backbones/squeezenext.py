"""SqueezeNext (Gholami et al., CVPR workshops 2018, arXiv 1803.10615), as a TensorFlow project of National Taiwan University
built its SqNxt-23v5 for CelebA identities."""

from collections.abc import Sequence
from itertools import accumulate
from typing import Annotated

from pydantic import Field
from torch import Tensor, nn

from common.ranges import Share
from models.backbones.backbone import Backbone
from models.layers.blocks import convolution, relu


class SqueezeNext(Backbone):
    """Images [B, 3, H, W] float32 -> maps [B, 128, h, w]; 802,016 parameters, with width 2 3,094,912.

    The first convolution does not pad, so that the maps are about H / 32 and W / 32 and never more.

    image_size: side H = W in pixels; TensorFlow's "same" padding of the max pooling depends on it.
    width: multiplies the channels of the blocks, in eighths; the first and the last convolution always have 64 and 128.
    blocks: residual blocks of the four stages.
    momentum: share of a batch in BatchNorm's running statistics. With the published 0.003 half of them is still what they
        started from after 230 steps; the default suits trainings of a few hundred steps, too.
    """

    STEM, LAST = 64, 128
    WIDTHS = (32, 64, 128, 256)
    DEEPEST = 100  # blocks of a stage
    stride = 32
    head = {"name": "pool"}

    def __init__(
        self,
        image_size: int,
        width: Annotated[float, Field(ge=0.125, le=4.0, multiple_of=0.125)] = 1.0,
        blocks: Sequence[int] = (2, 4, 14, 1),
        momentum: Share = 0.1,
    ):
        super().__init__()
        if len(blocks) != len(self.WIDTHS) or not all(1 <= count <= self.DEEPEST for count in blocks):
            raise ValueError(f"blocks should be {len(self.WIDTHS)} numbers, each from 1 to {self.DEEPEST}")
        channels = self.STEM
        stem = convolution(3, channels, 5, 2, activation=relu, padding=0)
        layers = [*stem, same_max_pool(unpadded(image_size))]
        for number, (base, count) in enumerate(zip(self.WIDTHS, blocks)):
            outputs = int(base * width)
            layers += convolution(channels, outputs, 1, 2 if number else 1, activation=relu)
            layers += [Block(outputs) for _ in range(count)]
            channels = outputs
        self.network = nn.Sequential(*layers, *convolution(channels, self.LAST, 1, activation=relu))
        self.blocks = tuple(blocks)
        self.out_channels = self.LAST
        for module in self.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.momentum = momentum

    def forward(self, images: Tensor) -> Tensor:
        return self.network(images)

    def stages(self) -> dict[str, nn.Module]:
        blocks = [layer for layer in self.network if isinstance(layer, Block)]
        ends = {f"stage{number}": blocks[end - 1] for number, end in enumerate(accumulate(self.blocks), 1)}
        return {**ends, "last": self.network[-1]}

    def map_size(self, image_size: int) -> tuple[int, int]:
        side = -(-unpadded(image_size) // (self.stride // 2))
        return side, side


class Block(nn.Sequential):
    """[B, C, H, W] -> the same: squeezed in two steps to C / 4 channels, filtered by a column and a row, expanded, and added to
    the input, without activation after the sum."""

    def __init__(self, channels: int):
        half, quarter = channels // 2, channels // 4
        super().__init__(
            *convolution(channels, half, 1, activation=relu),
            *convolution(half, quarter, 1, activation=relu),
            *convolution(quarter, half, (3, 1), activation=relu),
            *convolution(half, half, (1, 3), activation=relu),
            *convolution(half, channels, 1, activation=relu),
        )

    def forward(self, images: Tensor) -> Tensor:
        return images + super().forward(images)


def unpadded(side: int) -> int:
    """Side of the maps that a 5x5 convolution of stride 2 without padding makes of images with this `side`."""
    return (side - 5) // 2 + 1


def same_max_pool(side: int) -> nn.MaxPool2d:
    """3x3 of stride 2 for maps [B, C, side, side] -> [B, C, side / 2, side / 2], rounded up, padded as TensorFlow's "same": all
    around where the side is odd, and else only below and on the right."""
    return nn.MaxPool2d(3, 2, padding=1) if side % 2 else nn.MaxPool2d(3, 2, ceil_mode=True)
