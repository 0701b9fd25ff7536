"""LightCNN (Wu et al., IEEE TIFS 2018, arXiv 1511.02683): the larger of two channels in place of an activation."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from common.errors import InputError
from models.backbones.backbone import Backbone
from models.layers.convolution import Conv2d


class LightCNN(Backbone):
    """Images [B, 3, H, W] float32 -> maps [B, 128, H / 16, W / 16], rounded down; 8,383,264 parameters, with its published
    head and 512 dimensions 11,596,320 at 112 pixels. This is LightCNN-29 in its second version, which has no BatchNorm, with
    the head of FaceX-Zoo (Wang et al., arXiv 2101.04407).

    image_size: side H = W in pixels.
    blocks: residual blocks of the four stages.
    """

    WIDTHS = ((48, 96), (96, 192), (192, 128), (128, 128))
    """Of each stage: the width of its blocks, and that after it."""
    POOLED = (True, True, False, True)  # whether the stage ends in a pooling
    MOST = 100  # blocks of a stage
    stride = 16
    head = {"name": "flatten"}

    def __init__(self, image_size: int, blocks: Sequence[int] = (1, 2, 3, 4)):
        super().__init__()
        if len(blocks) != len(self.WIDTHS) or not all(1 <= count <= self.MOST for count in blocks):
            raise ValueError(f"blocks should be {len(self.WIDTHS)} numbers, each from 1 to {self.MOST}")
        if image_size < self.stride:
            raise InputError(
                f"lightcnn takes images of at least {self.stride} pixels a side, and these have {image_size}; set"
                " model.image_size (and augment.crop.side, where there is one) accordingly"
            )
        self.stem = nn.Sequential(MaxFeatureMap(3, self.WIDTHS[0][0], 5), Pool())
        self.network = nn.Sequential(
            *(
                nn.Sequential(
                    *(Residual(width) for _ in range(count)),
                    MaxFeatureMap(width, width, 1),
                    MaxFeatureMap(width, outputs, 3),
                    *([Pool()] if pooled else []),
                )
                for (width, outputs), count, pooled in zip(self.WIDTHS, blocks, self.POOLED)
            )
        )
        self.out_channels = self.WIDTHS[-1][-1]

    def forward(self, images: Tensor) -> Tensor:
        return self.network(self.stem(images))

    def stages(self) -> dict[str, nn.Module]:
        return {f"stage{number}": stage for number, stage in enumerate(self.network, 1)}

    def map_size(self, image_size: int) -> tuple[int, int]:
        return image_size // self.stride, image_size // self.stride


class MaxFeatureMap(nn.Module):
    """[B, C, H, W] -> [B, D, H, W]: a convolution to 2 D channels, and of channels i and D + i the larger value."""

    def __init__(self, inputs: int, outputs: int, kernel: int):
        super().__init__()
        self.convolution = Conv2d(inputs, 2 * outputs, kernel, padding=kernel // 2)

    def forward(self, images: Tensor) -> Tensor:
        first, second = self.convolution(images).chunk(2, dim=1)
        return torch.maximum(first, second)


class Residual(nn.Module):
    """[B, C, H, W] -> the same: two convolutions of 3x3, and the input added."""

    def __init__(self, width: int):
        super().__init__()
        self.residual = nn.Sequential(MaxFeatureMap(width, width, 3), MaxFeatureMap(width, width, 3))

    def forward(self, images: Tensor) -> Tensor:
        return self.residual(images) + images


class Pool(nn.Module):
    """[B, C, H, W] -> [B, C, H / 2, W / 2], rounded down: of each 2x2 places the sum of the largest value and the mean."""

    def forward(self, images: Tensor) -> Tensor:
        return functional.max_pool2d(images, 2) + functional.avg_pool2d(images, 2)
