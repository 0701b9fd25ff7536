"""Means over the places of a map, with gradients that keep its channels-last layout."""

import torch
from torch import Tensor


def pooled(images: Tensor) -> Tensor:
    """Images [B, C, H, W] -> [B, C], their means. The gradient of torch's own mean lies in another order than
    channels-last images, which slows down whatever takes it next."""
    return images.permute(0, 2, 3, 1).mean(dim=(1, 2))


def squeezed(images: Tensor) -> tuple[Tensor, Tensor]:
    """Images [B, C, H, W] -> means [B, C, 1, 1] and the images, for squeeze and excitation (Hu et al., arXiv 1709.01507).

    Whoever goes on with the images returned, not those given, gets both gradients added up in one pass over memory.
    """
    return Squeeze.apply(images) if torch.is_grad_enabled() else (images.mean(dim=(2, 3), keepdim=True), images)


class Squeeze(torch.autograd.Function):
    """The means over all places, and the images passed through."""

    @staticmethod
    def forward(ctx, images: Tensor) -> tuple[Tensor, Tensor]:
        ctx.places = images.shape[2] * images.shape[3]
        return images.mean(dim=(2, 3), keepdim=True), images

    @staticmethod
    def backward(ctx, of_means: Tensor, of_images: Tensor) -> Tensor:
        return of_images + of_means / ctx.places
