"""From pixels to what a network reads."""

import torch
from torch import Tensor
from torch.nn import functional


def network_input(images: Tensor, device: torch.device | str = "cpu") -> Tensor:
    """uint8 [B, H, W, 3] -> float32 [B, 3, H, W] in [-1, 1], channels last in memory."""
    return images.to(device).permute(0, 3, 1, 2).float().div_(127.5).sub_(1.0)


def resized(images: Tensor, side: int) -> Tensor:
    """float32 [B, C, H, W] -> [B, C, side, side], bilinear and without aliasing; the same tensor where it has that size."""
    if images.shape[-1] == side:
        return images
    smaller = functional.interpolate(images, (side, side), mode="bilinear", antialias=True)
    return smaller.contiguous(memory_format=torch.channels_last)
