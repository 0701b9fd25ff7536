"""Fake quantisation: float values rounded to those that 8 bits can hold, and ranges that training finds for them.

The integers are those of an exported file (`models.serving.quantise`): weights int8 from -127 to 127 with a scale for each
output channel, activations uint8 with one scale and one zero point for a tensor, zero being held exactly.
"""

from collections.abc import Iterable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from distributed.collectives import largest

LEVELS = 255  # steps between the 256 values of a uint8
WEIGHT_LEVELS = 127  # steps on either side of zero: -128 is not used
RATE = 0.01  # share of a batch's extremes in a running range
TINY = torch.finfo(torch.float32).tiny


class Bounds(NamedTuple):
    """The float value of the integer q, from 0 to 255, is (q - zero_point) * scale."""

    scale: float
    zero_point: int


def weight_scale(weight: Tensor) -> Tensor:
    """float32 [C, ...] -> [C], of each channel the largest magnitude / 127."""
    scale = weight.detach().abs().flatten(1).amax(dim=1) / WEIGHT_LEVELS
    return torch.where(scale < TINY, 1.0, scale)  # of a channel of zeros


def quantised_weight(weight: Tensor) -> Tensor:
    """float32 [C, ...] -> the same shape, each of the C channels rounded to multiples of its scale. The gradient goes straight
    through (Bengio et al., arXiv 1308.3432)."""
    scale = weight_scale(weight)
    zero = torch.zeros_like(scale, dtype=torch.int32)
    return torch.fake_quantize_per_channel_affine(weight, scale, zero, 0, -WEIGHT_LEVELS, WEIGHT_LEVELS)


class Rounding(torch.autograd.Function):
    """Values rounded to (q - zero_point) * scale, q from 0 to 255.

    Values within the range have their own gradient, as if they had not been rounded, and those beyond it none. The gradient
    by the scale s is that of LSQ (Esser et al., "Learned Step Size Quantization", ICLR 2020, arXiv 1902.08153), with v = x / s
    and the zero point z: round(v) - v within the range, -z below it, 255 - z above it, summed over all values and multiplied
    by 1 / sqrt(N * 255), where N is how many values an image has.
    """

    @staticmethod
    def forward(ctx, values: Tensor, scale: Tensor, zero_point: Tensor) -> Tensor:
        """values float32 [B, ...], scale float32 [], zero_point int32 [] -> [B, ...]"""
        rounded = torch.fake_quantize_per_tensor_affine(values, scale, zero_point, 0, LEVELS)
        ctx.save_for_backward(values, rounded, scale, zero_point)
        return rounded

    @staticmethod
    def backward(ctx, gradient: Tensor) -> tuple[Tensor, Tensor | None, None]:
        values, rounded, scale, zero_point = ctx.saved_tensors
        inside = (values >= -zero_point * scale) & (values <= (LEVELS - zero_point) * scale)
        of_scale = None
        if ctx.needs_input_grad[1]:
            by_scale = torch.where(inside, rounded - values, rounded) / scale  # beyond the range `rounded` is its end
            of_scale = (gradient * by_scale).sum() / (LEVELS * values[0].numel()) ** 0.5
        return gradient * inside, of_scale, None


class Range(nn.Module):
    """Rounds the values of one tensor to uint8, once its range is set, and sees in training which values come.

    ceiling: the largest value there can be, such as the 6 of ReLU6: an exported file leaves the limit to the range.
    """

    def __init__(self, ceiling: float = float("inf")):
        super().__init__()
        self.ceiling = ceiling
        self.rounds = True
        self.seen: Tensor | None = None  # least and largest value of the last batch that it saw, [2]

    def scale_and_zero_point(self) -> tuple[Tensor, Tensor]:
        """float32 [] and int32 []"""
        raise NotImplementedError

    def set(self, low: Tensor, high: Tensor) -> None:
        """Make [low, high], float32 [] each, the range, widened to hold zero."""
        raise NotImplementedError

    def bounds(self) -> Bounds:
        scale, zero_point = self.scale_and_zero_point()
        return Bounds(scale.item(), int(zero_point))

    def forward(self, values: Tensor) -> Tensor:
        if self.training:
            self.seen = torch.stack(torch.aminmax(values.detach()))
        return Rounding.apply(values, *self.scale_and_zero_point()) if self.rounds else values


class RunningRange(Range):
    """From the least to the largest value: moving averages of the extremes of the batches."""

    low: Tensor
    high: Tensor

    def __init__(self, ceiling: float = float("inf")):
        super().__init__(ceiling)
        self.register_buffer("low", torch.zeros(()))
        self.register_buffer("high", torch.zeros(()))

    def scale_and_zero_point(self) -> tuple[Tensor, Tensor]:
        return affine(self.low, self.high)

    def set(self, low: Tensor, high: Tensor) -> None:
        self.low.copy_(low)
        self.high.copy_(high)


class LearnedRange(Range):
    """A scale that learns (LSQ), as its logarithm, so that steps of one length suit large and small ones; the zero point stays
    what it was set to. The published start, 2 mean|x| / sqrt(255), is meant for few bits; `set` takes the whole range."""

    zero_point: Tensor

    def __init__(self, ceiling: float = float("inf")):
        super().__init__(ceiling)
        self.log_scale = nn.Parameter(torch.zeros(()))
        self.register_buffer("zero_point", torch.zeros((), dtype=torch.int32))

    def scale_and_zero_point(self) -> tuple[Tensor, Tensor]:
        scale = self.log_scale.exp()
        if self.ceiling < float("inf"):
            scale = scale.clamp(max=self.ceiling / LEVELS)  # the zero point is then 0
        return scale, self.zero_point

    @torch.no_grad()
    def set(self, low: Tensor, high: Tensor) -> None:
        scale, zero_point = affine(low, high)
        self.log_scale.copy_(scale.log())
        self.zero_point.copy_(zero_point)


RANGES = {"running": RunningRange, "learned": LearnedRange}


def affine(low: Tensor, high: Tensor) -> tuple[Tensor, Tensor]:
    """Scale, float32 [], and zero point, int32 [], of the range [low, high], widened to hold zero."""
    low, high = low.clamp(max=0.0), high.clamp(min=0.0)
    scale = (high - low) / LEVELS
    scale = torch.where(scale < TINY, 1.0, scale)  # of a tensor of zeros
    return scale, (-low / scale).round().to(torch.int32)


def extremes(ranges: Iterable[Range]) -> Tensor:
    """Least and largest value that each range saw in the last batch, of all processes' shares, float32 [R, 2]."""
    seen: list[Any] = [each.seen for each in ranges]
    low, high = torch.stack(seen).unbind(dim=1)
    low, high = largest(torch.stack([-low, high])).unbind()
    return torch.stack([-low, high], dim=1)


def follow(ranges: Iterable[Range]) -> None:
    """Move running ranges on by what they saw in the last batch."""
    running = [each for each in ranges if isinstance(each, RunningRange)]
    if running:
        for each, (low, high) in zip(running, extremes(running), strict=True):
            each.low.lerp_(low, RATE)
            each.high.lerp_(high, RATE)
