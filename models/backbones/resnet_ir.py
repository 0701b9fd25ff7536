"""Improved residual networks (Deng et al., CVPR 2019, arXiv 1801.07698) in the form of FaceX-Zoo (Wang et al., arXiv
2101.04407), which has no BatchNorm between a unit's first convolution and its PReLU."""

from collections.abc import Sequence
from itertools import accumulate

from torch import Tensor, nn

from models.backbones.backbone import Backbone
from models.layers.blocks import SqueezeExcitation
from models.layers.convolution import Conv2d


class ResNetIR(Backbone):
    """Images [B, 3, H, W] float32 -> maps [B, 512, H / 16, W / 16]; 30,727,360 parameters, with its published head and 512
    dimensions 43,574,976 at 112 pixels.

    units: residual units of the four stages: 3, 4, 14, 3 is ResNet50-ir; 3, 13, 30, 3 is 100; 3, 8, 36, 3 is 152.
    se: whether a squeeze-and-excitation ends each residual (IR-SE).
    """

    WIDTHS = (64, 128, 256, 512)
    DEEPEST = 100  # units of a stage
    stride = 16
    head = {"name": "flatten", "dropout": 0.4}

    def __init__(self, units: Sequence[int] = (3, 4, 14, 3), se: bool = False):
        super().__init__()
        if len(units) != len(self.WIDTHS) or not all(1 <= count <= self.DEEPEST for count in units):
            raise ValueError(f"units should be {len(self.WIDTHS)} numbers, each from 1 to {self.DEEPEST}")
        width = self.WIDTHS[0]
        layers = [Conv2d(3, width, 3, padding=1, bias=False), nn.BatchNorm2d(width), nn.PReLU(width)]
        for outputs, count in zip(self.WIDTHS, units):
            for position in range(count):
                layers.append(Unit(width, outputs, stride=1 if position else 2, se=se))
                width = outputs
        self.network = nn.Sequential(*layers)
        self.units = tuple(units)
        self.out_channels = width

    def forward(self, images: Tensor) -> Tensor:
        return self.network(images)

    def stages(self) -> dict[str, nn.Module]:
        units = [layer for layer in self.network if isinstance(layer, Unit)]
        return {f"stage{number}": units[end - 1] for number, end in enumerate(accumulate(self.units), 1)}


class Unit(nn.Module):
    """[B, C, H, W] -> [B, D, H / stride, W / stride]; no activation follows the sum, so that identities add up unhindered."""

    REDUCTION = 16  # of the squeeze and excitation
    shortcut: nn.Module

    def __init__(self, inputs: int, outputs: int, stride: int, se: bool):
        super().__init__()
        self.residual = nn.Sequential(
            nn.BatchNorm2d(inputs),
            Conv2d(inputs, outputs, 3, padding=1, bias=False),
            nn.PReLU(outputs),
            Conv2d(outputs, outputs, 3, stride=stride, padding=1, bias=False),
            nn.BatchNorm2d(outputs),
            *([SqueezeExcitation(outputs, outputs // self.REDUCTION, bias=False)] if se else []),
        )
        if inputs != outputs:
            self.shortcut = nn.Sequential(Conv2d(inputs, outputs, 1, stride=stride, bias=False), nn.BatchNorm2d(outputs))
        else:
            self.shortcut = nn.MaxPool2d(1, stride) if stride > 1 else nn.Identity()  # every stride-th place

    def forward(self, images: Tensor) -> Tensor:
        return self.residual(images) + self.shortcut(images)
