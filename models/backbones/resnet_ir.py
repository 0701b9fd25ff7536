"""Improved residual networks (Deng et al., CVPR 2019, arXiv 1801.07698) in the form of FaceX-Zoo (Wang et al., arXiv
2101.04407), which has no BatchNorm between a unit's first convolution and its PReLU."""

import math
from collections.abc import Sequence

from torch import Tensor, nn

from models.layers.convolution import Conv2d


class ResNetIR(nn.Module):
    """Images [B, 3, S, S] float32 -> features [B, 512 * (S / 16)^2], S / 16 rounded up; 30,728,384 parameters at any S.

    The last map is normalised and handed on place by place: at S = 112 as 25,088 features. So the embedding layer after
    it is large, and the whole with 512 dimensions has 43,573,952 parameters.

    image_size: S.
    units: residual units of the four stages: 3, 4, 14, 3 is ResNet50-ir; 3, 13, 30, 3 is 100; 3, 8, 36, 3 is 152.
    se: whether a squeeze-and-excitation ends each residual (IR-SE).
    """

    WIDTHS = (64, 128, 256, 512)

    def __init__(self, image_size: int, units: Sequence[int] = (3, 4, 14, 3), se: bool = False):
        super().__init__()
        if len(units) != len(self.WIDTHS) or min(units) < 1:
            raise ValueError(f"units should be {len(self.WIDTHS)} numbers, each at least 1")
        width = self.WIDTHS[0]
        layers = [Conv2d(3, width, 3, padding=1, bias=False), nn.BatchNorm2d(width), nn.PReLU(width)]
        for outputs, count in zip(self.WIDTHS, units):
            for position in range(count):
                layers.append(Unit(width, outputs, stride=1 if position else 2, se=se))
                width = outputs
        self.network = nn.Sequential(*layers, nn.BatchNorm2d(width))
        self.out_channels = width * math.ceil(image_size / 16) ** 2

    def forward(self, images: Tensor) -> Tensor:
        return self.network(images).flatten(1)


class Unit(nn.Module):
    """[B, C, H, W] -> [B, D, H / stride, W / stride]; no activation follows the sum, so that identities add up unhindered."""

    def __init__(self, inputs: int, outputs: int, stride: int, se: bool):
        super().__init__()
        self.residual = nn.Sequential(
            nn.BatchNorm2d(inputs),
            Conv2d(inputs, outputs, 3, padding=1, bias=False),
            nn.PReLU(outputs),
            Conv2d(outputs, outputs, 3, stride=stride, padding=1, bias=False),
            nn.BatchNorm2d(outputs),
            *([SqueezeExcitation(outputs)] if se else []),
        )
        if inputs != outputs:
            self.shortcut = nn.Sequential(Conv2d(inputs, outputs, 1, stride=stride, bias=False), nn.BatchNorm2d(outputs))
        else:
            self.shortcut = nn.MaxPool2d(1, stride) if stride > 1 else nn.Identity()  # every stride-th place

    def forward(self, images: Tensor) -> Tensor:
        return self.residual(images) + self.shortcut(images)


class SqueezeExcitation(nn.Module):
    """[B, C, H, W] -> the same, each channel weighed by what all channels are on average (Hu et al., arXiv 1709.01507)."""

    REDUCTION = 16

    def __init__(self, channels: int):
        super().__init__()
        inner = channels // self.REDUCTION
        self.weigh = nn.Sequential(
            nn.AdaptiveAvgPool2d(1),
            Conv2d(channels, inner, 1, bias=False),
            nn.ReLU(),
            Conv2d(inner, channels, 1, bias=False),
            nn.Sigmoid(),
        )

    def forward(self, images: Tensor) -> Tensor:
        return images * self.weigh(images)
