"""What every backbone says about itself, and its intermediate maps."""

from collections.abc import Iterable
from typing import Any, ClassVar

from torch import Tensor, nn

from common.errors import InputError, listing


class Backbone(nn.Module):
    """Images [B, 3, H, W] float32 in [-1, 1] -> maps [B, out_channels, h, w]. Its constructor may ask for `image_size`, the
    side H = W in pixels; all other parameters are the network's own options.

    out_channels: channels of the maps.
    stride: places that the image has, along a side, for each one of the maps: the product of all strides.
    head: the head that the network was published with, a choice from `models.heads.HEADS`.
    rectangles: whether a constructor that asks for `image_size` also takes (H, W), for images that are no squares.
    traceable: whether folding may look into it, as into any network that does not branch on what it is given.

    A network that cannot read images of some size says so with an InputError in its constructor.
    """

    out_channels: int
    stride: int
    head: ClassVar[dict[str, Any]]
    rectangles: ClassVar[bool] = False
    traceable: ClassVar[bool] = True

    def stages(self) -> dict[str, nn.Module]:
        """The modules whose outputs, [B, C, h, w], are the network's maps from the first to the last, by name. The output of
        the last one is what `forward` returns."""
        raise NotImplementedError

    def map_size(self, image_size: int) -> tuple[int, int]:
        """(h, w) of the maps of images of `image_size` pixels a side: here of a network whose layers pad, so that only
        strides make the maps smaller, each rounding up."""
        side = -(-image_size // self.stride)
        return side, side


def named_maps(backbone: Backbone, images: Tensor, names: Iterable[str]) -> dict[str, Tensor]:
    """The maps [B, C, h, w] of the stages `names`, in that order, from one forward pass; gradients flow through them.

    The last of `backbone.stages()` is the output, so the head makes the embeddings of it. Raises InputError for an unknown
    name.
    """
    return output_and_maps(backbone, images, names)[1]


def output_and_maps(backbone: Backbone, images: Tensor, names: Iterable[str]) -> tuple[Tensor, dict[str, Tensor]]:
    """What the backbone returns for the images, [B, out_channels, h, w], and what `named_maps` does, from one forward pass."""
    names, stages = list(names), backbone.stages()
    unknown = [name for name in names if name not in stages]
    if unknown:
        raise InputError(f"{type(backbone).__name__} has no maps named {listing(unknown)}; known: {listing(stages, most=99)}")
    maps: dict[str, Tensor] = {}

    def keep(name: str):
        return lambda module, inputs, output: maps.update({name: output})

    hooks = [stages[name].register_forward_hook(keep(name)) for name in dict.fromkeys(names)]
    try:
        output = backbone(images)
    finally:
        for hook in hooks:
            hook.remove()
    return output, {name: maps[name] for name in names}
