"""The operations between the nodes of a cell of a differentiable architecture search (DARTS: Liu et al., ICLR 2019, arXiv
1806.09055), in the form of PocketNet (Boutros et al., arXiv 2108.10710), whose convolutions are all depthwise separable."""

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn

from models.layers.convolution import Conv2d

Operation = Callable[[int, int, bool], nn.Module]
"""Channels C, stride (1 or 2) and affine -> [B, C, H, W] -> [B, C, H / stride, W / stride], rounded up. affine: whether its
BatchNorms learn a scale and a shift. A search does without, since they could undo the weight it gives to an operation."""


def separable(inputs: int, outputs: int, kernel: int, stride: int = 1, affine: bool = True) -> nn.Sequential:
    """[B, inputs, H, W] -> [B, outputs, H / stride, W / stride]: PReLU, depthwise and 1x1 convolution, BatchNorm."""
    return nn.Sequential(
        nn.PReLU(inputs),
        Conv2d(inputs, inputs, kernel, stride=stride, padding=kernel // 2, groups=inputs, bias=False),
        Conv2d(inputs, outputs, 1, bias=False),
        nn.BatchNorm2d(outputs, affine=affine),
    )


class FactorizedReduce(nn.Module):
    """[B, inputs, H, W] -> [B, outputs, H / 2, W / 2], rounded up: half of the channels see the places with even row and
    column, half those with odd ones, of which one beyond an odd H or W is 0. `outputs` is even."""

    def __init__(self, inputs: int, outputs: int, affine: bool = True):
        super().__init__()
        self.activation = nn.PReLU(inputs)
        self.even = Conv2d(inputs, inputs, 1, stride=2, groups=inputs, bias=False)
        self.odd = Conv2d(inputs, inputs, 1, stride=2, padding=1, groups=inputs, bias=False)  # at -1, 1, 3 ...
        self.narrow_even = Conv2d(inputs, outputs // 2, 1, bias=False)
        self.narrow_odd = Conv2d(inputs, outputs // 2, 1, bias=False)
        self.norm = nn.BatchNorm2d(outputs, affine=affine)

    def forward(self, images: Tensor) -> Tensor:
        images = self.activation(images)
        even, odd = self.even(images), self.odd(images)[:, :, 1:, 1:]  # without -1
        return self.norm(torch.cat([self.narrow_even(even), self.narrow_odd(odd)], dim=1))


def _separable(kernel: int) -> Operation:
    return lambda channels, stride, affine: separable(channels, channels, kernel, stride, affine)


def _pool(pool: Callable[..., nn.Module]) -> Operation:
    """3x3, and a BatchNorm."""
    return lambda channels, stride, affine: nn.Sequential(pool(3, stride, padding=1), nn.BatchNorm2d(channels, affine=affine))


def _skip(channels: int, stride: int, affine: bool) -> nn.Module:
    return nn.Identity() if stride == 1 else FactorizedReduce(channels, channels, affine)


OPERATIONS: dict[str, Operation] = {
    "max_pool_3x3": _pool(nn.MaxPool2d),
    "avg_pool_3x3": _pool(partial(nn.AvgPool2d, count_include_pad=False)),
    "skip_connect": _skip,
    "dw_conv_1x1": _separable(1),
    "dw_conv_3x3": _separable(3),
    "dw_conv_5x5": _separable(5),
    "dw_conv_7x7": _separable(7),
}
"""By the names that genotypes have for them. The "none" of a search is a weight that no operation gets, and so not one."""
