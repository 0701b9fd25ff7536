"""Convolutions that train faster on a CPU than the tensor library's own."""

import torch
from torch import Tensor, nn
from torch.nn import functional

Pair = tuple[int, int]  # vertical, horizontal

WIDEST = 3  # columns of the depthwise kernels whose weight gradient oneDNN has fast code for


class Conv2d(nn.Conv2d):
    """nn.Conv2d to rounding. Where a gradient is wanted on a CPU, two kinds of convolution are computed another way:
    1x1 ones as a matrix product over all places, and depthwise ones without bias as in `Depthwise`."""

    def forward(self, images: Tensor) -> Tensor:
        """[B, C, H, W] -> [B, D, H', W']"""
        if torch.is_grad_enabled() and images.device.type == "cpu":
            if self.groups == self.in_channels == self.out_channels and self.bias is None and self.dilation == (1, 1):
                return Depthwise.apply(*_autocast(images, self.weight), self.stride, self.padding)
            if self.kernel_size == self.stride == (1, 1) and self.padding == (0, 0) and self.groups == 1:
                places = images.permute(0, 2, 3, 1)  # [B, H, W, C], which channels-last images are without a copy
                return functional.linear(places, self.weight.flatten(1), self.bias).permute(0, 3, 1, 2)
        return super().forward(images)


def _autocast(*tensors: Tensor) -> list[Tensor]:
    """The tensors in the type that autocast, where it is on, would run a convolution in."""
    if not torch.is_autocast_enabled("cpu"):
        return list(tensors)
    return [tensor.to(torch.get_autocast_dtype("cpu")) for tensor in tensors]


class Depthwise(torch.autograd.Function):
    """Depthwise convolution with the gradients computed by those of oneDNN's kernels that are fast.

    It has fast code for the weight gradient of kernels up to three columns wide, and for bfloat16 none for the input
    gradient of strided ones; what it takes otherwise is ten to fifty times slower. So a wider kernel's gradient is put
    together from slices of three columns, and a strided bfloat16 one is computed in float32.
    """

    @staticmethod
    def forward(ctx, images: Tensor, weight: Tensor, stride: Pair, padding: Pair) -> Tensor:
        """images [B, C, H, W], weight [C, 1, h, w] -> [B, C, H', W']"""
        ctx.save_for_backward(images, weight)
        ctx.geometry = stride, padding
        return torch.conv2d(images, weight, None, stride, padding, 1, len(weight))

    @staticmethod
    def backward(ctx, gradient: Tensor) -> tuple[Tensor | None, Tensor | None, None, None]:
        images, weight = ctx.saved_tensors
        stride, padding = ctx.geometry
        to_images, to_weight = ctx.needs_input_grad[:2]
        gradient = gradient.contiguous(memory_format=torch.channels_last)
        return (
            image_gradient(gradient, images, weight, stride, padding) if to_images else None,
            weight_gradient(gradient, images, weight, stride, padding) if to_weight else None,
            None,
            None,
        )


def image_gradient(gradient: Tensor, images: Tensor, weight: Tensor, stride: Pair, padding: Pair) -> Tensor:
    """Gradient of the loss by the images, [B, C, H, W], from that by the output."""
    precise = torch.float32 if max(stride) > 1 and images.dtype == torch.bfloat16 else images.dtype
    shaped = torch.empty_like(images, dtype=precise)  # only its shape and layout are read
    given = gradient.to(precise), shaped, weight.to(precise)
    return _convolution_backward(*given, stride, padding, (True, False, False))[0].to(images.dtype)


def weight_gradient(
    gradient: Tensor, images: Tensor, weight: Tensor, stride: tuple[int, int], padding: tuple[int, int]
) -> Tensor:
    """Gradient of the loss by the weight, [C, 1, h, w], from that by the output."""
    rows, columns = weight.shape[2:]
    vertical, horizontal = padding
    around = vertical if images.shape[2] < rows else 0  # on a map lower than the kernel oneDNN's own padding is slow, too
    if columns <= WIDEST and not around:
        return _convolution_backward(gradient, images, weight, stride, padding, (False, True, False))[1]
    reach = (gradient.shape[3] - 1) * stride[1]  # from the first to the last place of one kernel column
    slices = []
    for first in range(0, columns, WIDEST):
        kernel = weight[..., first : first + WIDEST].contiguous()
        left = horizontal - first
        right = reach + kernel.shape[3] - images.shape[3] - left
        seen = padded(images, left, right, around, around)  # what these columns look at; < 0 cuts off
        slices.append(_convolution_backward(gradient, seen, kernel, stride, (vertical - around, 0), (False, True, False))[1])
    return torch.cat(slices, dim=3)


class Pad(torch.autograd.Function):
    """Zero padding of [B, C, H, W] that writes every place once; what the tensor library has fills all, then copies."""

    @staticmethod
    def forward(ctx, images: Tensor, left: int, right: int, top: int, bottom: int) -> Tensor:
        """-> [B, C, top + H + bottom, left + W + right]"""
        ctx.inner = images.shape, left, top
        return padded(images, left, right, top, bottom)

    @staticmethod
    def backward(ctx, gradient: Tensor) -> tuple[Tensor | None, ...]:
        (*_, height, width), left, top = ctx.inner
        return gradient[:, :, top : top + height, left : left + width], None, None, None, None


def padded(images: Tensor, left: int, right: int, top: int, bottom: int) -> Tensor:
    """Images [B, C, H, W] with so many zeros around, [B, C, top + H + bottom, left + W + right] in channels-last order;
    a number below 0 cuts off."""
    images = images[:, :, max(-top, 0) : images.shape[2] - max(-bottom, 0), max(-left, 0) : images.shape[3] - max(-right, 0)]
    left, right, top, bottom = (max(side, 0) for side in (left, right, top, bottom))
    count, channels, height, width = images.shape
    size = (count, channels, top + height + bottom, left + width + right)
    whole = torch.empty(size, dtype=images.dtype, device=images.device, memory_format=torch.channels_last)
    whole[:, :, :top] = 0
    whole[:, :, top + height :] = 0
    rows = whole[:, :, top : top + height]
    rows[..., :left] = 0
    rows[..., left + width :] = 0
    rows[..., left : left + width] = images
    return whole


def _convolution_backward(gradient, images, weight, stride, padding, wanted):
    return torch.ops.aten.convolution_backward(
        gradient, images, weight, None, stride, padding, (1, 1), False, (0, 0), len(weight), wanted
    )
