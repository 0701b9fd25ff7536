"""RepVGG (Ding et al., CVPR 2021, arXiv 2101.03697): three branches a block in training, one 3x3 convolution when shipped."""

from collections.abc import Sequence
from itertools import accumulate
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from models.backbones.backbone import Backbone
from models.heads.head import running_statistics
from models.layers.blocks import convolution
from models.layers.convolution import Conv2d

Width = Annotated[float, Field(ge=0.1, le=4.0)]
LIGHT, HEAVY = (2, 4, 14, 1), (4, 6, 16, 1)  # blocks of the four stages of the versions A and B


class RepVGG(Backbone):
    """Images [B, 3, H, W] float32 -> maps [B, C, H / 16, W / 16] with C = 1280 channels in A0, A1 and B0, 1408 in A2, 2048 in
    B1, 2560 in B2 and B3. The first convolution keeps the size of the image, as in FaceX-Zoo (Wang et al., arXiv 2101.04407).

    A0 has 7,827,968 parameters in training, with its published head and 512 dimensions 39,944,704 at 112 pixels; folded,
    7,028,384.

    version: how deep and wide it is, as the paper names it.
    width: multiple of all its widths; A0 of width 0.75 stays below five million parameters, with a head that pools.
    """

    VERSIONS = {
        "A0": (LIGHT, (0.75, 0.75, 0.75, 2.5)),
        "A1": (LIGHT, (1, 1, 1, 2.5)),
        "A2": (LIGHT, (1.5, 1.5, 1.5, 2.75)),
        "B0": (HEAVY, (1, 1, 1, 2.5)),
        "B1": (HEAVY, (2, 2, 2, 4)),
        "B2": (HEAVY, (2.5, 2.5, 2.5, 5)),
        "B3": (HEAVY, (3, 3, 3, 5)),
    }
    """Blocks of the four stages, and their widths as multiples of `WIDTHS`."""
    WIDTHS = (64, 128, 256, 512)
    stride = 16
    head = {"name": "flatten", "dropout": 0.0}

    def __init__(self, version: Literal["A0", "A1", "A2", "B0", "B1", "B2", "B3"] = "A0", width: Width = 1.0):
        super().__init__()
        self.counts, multiples = self.VERSIONS[version]
        widths = [int(base * multiple * width) for base, multiple in zip(self.WIDTHS, multiples)]
        inputs = min(self.WIDTHS[0], widths[0])
        blocks = [Block(3, inputs, stride=1)]
        for outputs, count in zip(widths, self.counts):
            for position in range(count):
                blocks.append(Block(inputs, outputs, stride=1 if position else 2))
                inputs = outputs
        self.network = nn.Sequential(*blocks)
        self.out_channels = inputs

    def forward(self, images: Tensor) -> Tensor:
        return self.network(images)

    def stages(self) -> dict[str, nn.Module]:
        return {f"stage{number}": self.network[end] for number, end in enumerate(accumulate(self.counts), 1)}


class Block(nn.Module):
    """[B, C, H, W] -> [B, D, H / stride, W / stride]: the ReLU of the sum of a 3x3 and a 1x1 convolution and, where the shapes
    are equal, the input itself, each with a BatchNorm of its own."""

    def __init__(self, inputs: int, outputs: int, stride: int):
        super().__init__()
        self.inputs, self.outputs, self.stride = inputs, outputs, stride
        branches = [convolution(inputs, outputs, 3, stride), convolution(inputs, outputs, 1, stride)]
        if inputs == outputs and stride == 1:
            branches.append((nn.BatchNorm2d(outputs),))
        self.branches = nn.ModuleList(nn.Sequential(*branch) for branch in branches)

    def forward(self, images: Tensor) -> Tensor:
        first, *others = (branch(images) for branch in self.branches)
        return functional.relu(sum(others, start=first))

    @torch.no_grad()
    def fold(self) -> None:
        """Make the branches one convolution with a bias: in evaluation mode the same function. For copies that will not be
        trained."""
        if len(self.branches) == 1:
            return
        kernels, biases = zip(*(as_one_kernel(list(branch.children())) for branch in self.branches))
        whole = Conv2d(self.inputs, self.outputs, 3, stride=self.stride, padding=1, device="meta")  # without values
        whole.weight = nn.Parameter(torch.stack(kernels).sum(dim=0))
        whole.bias = nn.Parameter(torch.stack(biases).sum(dim=0))
        self.branches = nn.ModuleList([whole])


def as_one_kernel(layers: Sequence[nn.Module]) -> tuple[Tensor, Tensor]:
    """Kernel [D, C, 3, 3] and bias [D] of the 3x3 convolution that computes a branch: a convolution, perhaps none, and its
    BatchNorm."""
    norm = layers[-1]
    assert isinstance(norm, nn.BatchNorm2d)
    mean, variance = running_statistics(norm)
    weight = torch.eye(len(mean), device=mean.device)[:, :, None, None]  # as a 1x1 convolution
    for layer in layers[:-1]:
        assert isinstance(layer, nn.Conv2d)
        weight = layer.weight
    scale = norm.weight * (variance + norm.eps).rsqrt()
    margin = (3 - weight.shape[-1]) // 2  # a 1x1 kernel is the middle of a 3x3 one
    return functional.pad(weight * scale[:, None, None, None], [margin] * 4), norm.bias - mean * scale
