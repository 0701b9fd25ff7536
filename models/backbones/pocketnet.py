"""PocketNet (Boutros et al., IEEE Access 2022, arXiv 2108.10710): cells found by a search, stacked."""

from typing import Annotated, Any

import torch
from pydantic import Field
from torch import Tensor, nn

from models.backbones.backbone import Backbone
from models.backbones.genotypes import NODES, Pair, checked_genotype
from models.layers.blocks import convolution
from models.layers.darts import OPERATIONS, FactorizedReduce, separable


class PocketNet(Backbone):
    """Images [B, 3, H, W] float32 -> maps [B, out_channels, H / 16, W / 16].

    The default is PocketNetS, with its published head, 112 pixels and 128 dimensions 925,632 parameters, with 256 dimensions
    991,424. PocketNetM has channels 32 and cells 9: 1,686,656 and 1,752,448. Both have out_channels 1024 for 512 dimensions.

    genotype: how the cells are wired, as in `models.backbones.genotypes`: `casia`, `cifar` or a mapping.
    channels: C of each node of the first cells, an even number; those behind a reduction have twice as many as those ahead.
    cells: how many; those a third and two thirds of the way and the last one reduce.
    """

    stride = 16
    head = {"name": "depthwise"}

    def __init__(
        self,
        genotype: str | dict[str, Any] = "casia",
        channels: Annotated[int, Field(ge=2, le=256, multiple_of=2)] = 16,
        cells: Annotated[int, Field(ge=4, le=100)] = 18,
        out_channels: Annotated[int, Field(ge=1, le=8_192)] = 512,
    ):
        super().__init__()
        wiring = checked_genotype(genotype)
        self.reductions = (cells // 3, 2 * cells // 3, cells - 1)
        before = last = NODES * channels
        self.stem = nn.Sequential(*convolution(3, last, 3, 2))
        self.cells = nn.ModuleList()
        for place in range(cells):
            reduces = place in self.reductions
            channels *= 2 if reduces else 1
            pairs = wiring["reduction" if reduces else "normal"]
            self.cells.append(Cell(pairs, before, last, channels, reduces, larger=place - 1 in self.reductions))
            before, last = last, NODES * channels
        self.tail = nn.Sequential(nn.PReLU(last), *convolution(last, out_channels, 1, activation=nn.PReLU))
        self.out_channels = out_channels
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_uniform_(module.weight)

    def forward(self, images: Tensor) -> Tensor:
        before = last = self.stem(images)
        for cell in self.cells:
            before, last = last, cell(before, last)
        return self.tail(last)

    def stages(self) -> dict[str, nn.Module]:
        ends = [*(place - 1 for place in self.reductions), len(self.cells) - 1]
        return {**{f"stage{number}": self.cells[end] for number, end in enumerate(ends, 1)}, "last": self.tail}


class Cell(nn.Module):
    """The outputs of the two cells before, [B, before, H, W] and [B, last, H, W] -> [B, 4 * channels, H, W], or half as high
    and wide if it `reduces`.

    larger: whether the maps of the cell before the last are twice as high and wide as those of the last, which reduced them.
    """

    def __init__(self, pairs: list[Pair], before: int, last: int, channels: int, reduces: bool, larger: bool):
        super().__init__()
        self.before = FactorizedReduce(before, channels) if larger else separable(before, channels, 1)
        self.last = separable(last, channels, 1)
        self.operations = nn.ModuleList(
            OPERATIONS[operation](channels, 2 if reduces and node < 2 else 1, True) for operation, node in pairs
        )
        self.read = [node for _, node in pairs]

    def forward(self, before: Tensor, last: Tensor) -> Tensor:
        nodes = [self.before(before), self.last(last)]
        for place in range(0, len(self.read), 2):
            first, second = (self.operations[each](nodes[self.read[each]]) for each in (place, place + 1))
            nodes.append(first + second)
        return torch.cat(nodes[2:], dim=1)
