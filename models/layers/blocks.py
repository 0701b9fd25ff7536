"""What many networks are built of: a convolution with BatchNorm and activation, squeeze and excitation, inverted residuals."""

from collections.abc import Callable

from torch import Tensor, nn

from models.layers.convolution import Conv2d
from models.layers.pooling import squeezed

Activation = Callable[[int], nn.Module]
"""Channels -> an activation for so many: nn.PReLU, which has a slope for each, or one of the functions below."""


def relu(channels: int) -> nn.Module:
    return nn.ReLU()


def relu6(channels: int) -> nn.Module:
    return nn.ReLU6()


def silu(channels: int) -> nn.Module:
    return nn.SiLU()


def divisible(channels: float, divisor: int) -> int:
    """The multiple of `divisor` nearest to `channels`, or the next one where that is more than a tenth smaller (from the code
    of MobileNet; it keeps the numbers of channels of scaled networks whole)."""
    nearest = max(divisor, int(channels + divisor / 2) // divisor * divisor)
    return nearest if nearest >= 0.9 * channels else nearest + divisor


def convolution(
    inputs: int,
    outputs: int,
    kernel: int | tuple[int, int],
    stride: int = 1,
    groups: int = 1,
    activation: Activation | None = None,
    padding: int | tuple[int, int] | None = None,
    eps: float = 1e-5,
) -> tuple[nn.Module, ...]:
    """[B, inputs, H, W] -> [B, outputs, H', W'], one after the other: a convolution without bias, BatchNorm and, where there
    is one, the activation. padding None: half the kernel, so that H' is H / stride, rounded up. eps: of the BatchNorm."""
    if padding is None:
        padding = kernel // 2 if isinstance(kernel, int) else (kernel[0] // 2, kernel[1] // 2)
    layers = (
        Conv2d(inputs, outputs, kernel, stride=stride, padding=padding, groups=groups, bias=False),
        nn.BatchNorm2d(outputs, eps=eps),
    )
    return (*layers, activation(outputs)) if activation else layers


class SqueezeExcitation(nn.Module):
    """[B, C, H, W] -> the same, each channel weighed by what all channels are on average (Hu et al., CVPR 2018, arXiv
    1709.01507): two 1x1 convolutions with `inner` channels between them. gate: what turns their output into weights."""

    def __init__(
        self, channels: int, inner: int, activation: Activation = relu, bias: bool = True, gate: type[nn.Module] = nn.Sigmoid
    ):
        super().__init__()
        reduce, expand = Conv2d(channels, inner, 1, bias=bias), Conv2d(inner, channels, 1, bias=bias)
        self.weigh = nn.Sequential(reduce, activation(inner), expand, gate())

    def forward(self, images: Tensor) -> Tensor:
        means, images = squeezed(images)
        return images * self.weigh(means)


class InvertedResidual(nn.Sequential):
    """[B, C, H, W] -> [B, D, H / stride, W / stride]: widened to `inner` channels, filtered channel by channel, narrowed
    without activation; the input is added where the shapes are equal (Sandler et al., CVPR 2018, arXiv 1801.04381).

    It is not widened where inner = C. squeeze: hidden channels of a squeeze and excitation ahead of the narrowing; 0: none.
    """

    def __init__(self, inputs: int, outputs: int, inner: int, kernel: int, stride: int, activation: Activation, squeeze: int = 0):
        super().__init__(
            *(convolution(inputs, inner, 1, activation=activation) if inner != inputs else ()),
            *convolution(inner, inner, kernel, stride=stride, groups=inner, activation=activation),
            *([SqueezeExcitation(inner, squeeze, activation)] if squeeze else []),
            *convolution(inner, outputs, 1),
        )
        self.residual = stride == 1 and inputs == outputs

    def forward(self, images: Tensor) -> Tensor:
        return images + super().forward(images) if self.residual else super().forward(images)
