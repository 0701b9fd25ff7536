"""ReXNet (Han et al., CVPR 2021, arXiv 2007.00992) in the form of FaceX-Zoo (Wang et al., arXiv 2101.04407): channels that grow
evenly from block to block, so that none is a bottleneck."""

from typing import Literal

import torch
from torch import Tensor, nn

from models.backbones.backbone import Backbone
from models.layers.blocks import SqueezeExcitation, convolution, relu, silu


class ReXNet(Backbone):
    """Images [B, 3, H, W] float32 -> maps [B, 512, H / 16, W / 16]; 2,349,512 parameters, with its published head and 512
    dimensions 15,197,128 at 112 pixels.

    se: whether the blocks from the third stage on are squeezed and excited; 1,022,745 parameters more.
    stem_stride: of the first convolution. 1, as in FaceX-Zoo, is for images of 112 pixels a side; the paper has 2 for 224.
    """

    STEM = 32
    BLOCKS = (1, 2, 2, 3, 3, 5)  # of the stages
    STRIDES = (1, 2, 2, 2, 1, 2)  # of the first block of each
    CHANNELS = 16, 180  # of the first block, and how many more the one after the last would have
    head = {"name": "flatten", "dropout": 0.2}

    def __init__(self, se: bool = False, stem_stride: Literal[1, 2] = 1):
        super().__init__()
        channels = self.STEM
        first, growth = self.CHANNELS
        self.network = nn.Sequential()
        self.network.add_module("stem", nn.Sequential(*convolution(3, channels, 3, stride=stem_stride, activation=silu)))
        self.stride, place = stem_stride, 0
        for number, (count, stride) in enumerate(zip(self.BLOCKS, self.STRIDES, strict=True), 1):
            stage = nn.Sequential()
            for position in range(count):
                outputs = round(first + growth * place / sum(self.BLOCKS))
                stage.append(Block(channels, outputs, 6 if place else 1, 1 if position else stride, se and number >= 3))
                channels, place = outputs, place + 1
            self.network.add_module(f"stage{number}", stage)
            self.stride *= stride
        self.out_channels = 512
        self.network.add_module("last", nn.Sequential(*convolution(channels, self.out_channels, 1, activation=silu)))

    def forward(self, images: Tensor) -> Tensor:
        return self.network(images)

    def stages(self) -> dict[str, nn.Module]:
        return {name: module for name, module in self.network.named_children() if name != "stem"}


class Block(nn.Sequential):
    """[B, C, H, W] -> [B, D, H / stride, W / stride]: widened to `expansion` times C, filtered channel by channel, narrowed
    without activation; the C channels of the input are added to the first C of the D, where the maps keep their size and D is
    not smaller."""

    SQUEEZE = 12  # by how much the squeeze and excitation is narrower

    def __init__(self, inputs: int, outputs: int, expansion: int, stride: int, squeezed: bool):
        inner = expansion * inputs
        super().__init__(
            *(convolution(inputs, inner, 1, activation=silu) if expansion > 1 else ()),
            *convolution(inner, inner, 3, stride=stride, groups=inner),
            *([SqueezeExcitation(inner, inner // self.SQUEEZE, normed_relu)] if squeezed else []),
            nn.ReLU6(),
            *convolution(inner, outputs, 1),
        )
        self.inputs, self.residual = inputs, stride == 1 and inputs <= outputs

    def forward(self, images: Tensor) -> Tensor:
        made = super().forward(images)
        if not self.residual:
            return made
        return torch.cat([made[:, : self.inputs] + images, made[:, self.inputs :]], dim=1)


def normed_relu(channels: int) -> nn.Module:
    """What stands between the two convolutions of this network's squeeze and excitation."""
    return nn.Sequential(nn.BatchNorm2d(channels), relu(channels))
