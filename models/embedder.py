"""The inference model: a backbone and a head. Nothing else ships."""

from collections.abc import Iterator
from contextlib import contextmanager
from inspect import signature
from typing import Any

import torch
from torch import Tensor, nn

from common.config import ModelConfig
from common.errors import InputError
from common.registry import name_and_options
from models.backbones import BACKBONES
from models.backbones.backbone import Backbone
from models.backbones.upper import UpperPart, upper_rows
from models.counts import parameter_count
from models.heads import HEADS
from models.heads.head import Head

PUBLISHED = "published"


class Embedder(nn.Module):
    """Images [B, 3, H, W] float32 in [-1, 1] -> embeddings [B, D] float32, not normalised.

    EfficientNet-B0 with the head `pool` and D = 512, as in Triarchy, has exactly 4,663,420 parameters.
    """

    def __init__(self, backbone: Backbone, head: Head):
        super().__init__()
        self.backbone = backbone
        self.head = head

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.backbone(images))


def build_backbone(config: ModelConfig, image_size: int | None = None) -> Backbone:
    """The configured backbone with random weights, for images of `image_size` (default: the model's own). Raises InputError,
    also for images too small for it, and for a part of them that it cannot read."""
    side, name = image_size or config.image_size, config.backbone["name"]
    if config.part == "whole":
        return BACKBONES.build(config.backbone, image_size=side)
    constructor = BACKBONES[name]
    if "image_size" in signature(constructor).parameters and not getattr(constructor, "rectangles", False):
        raise InputError(f"model.part is {config.part!r}, and {name} is made for square images; choose another backbone")
    return UpperPart(BACKBONES.build(config.backbone, image_size=(upper_rows(side), side)))


def chosen_head(config: ModelConfig, backbone: Backbone) -> dict[str, Any]:
    """The configured head; "published" is that of the backbone, with the options given laid on its own."""
    name, options = name_and_options(config.head)
    return {**backbone.head, **options} if name == PUBLISHED else config.head


def build_embedder(config: ModelConfig) -> Embedder:
    """The configured embedder with random weights; InputError if it has more than `config.max_parameters`."""
    embedder_shapes(config)
    return _assembled(config)


def embedder_shapes(config: ModelConfig) -> Embedder:
    """What `build_embedder` returns or raises, on the meta device: shapes without values, and so without memory."""
    with shapes_only():
        embedder = _assembled(config)
    size = parameter_count(embedder)
    if size > config.max_parameters:
        head = chosen_head(config, embedder.backbone)["name"]
        raise InputError(
            f"the embedder ({config.backbone['name']}, head {head}, {config.embedding_size:,} dimensions) has {size:,}"
            f" parameters, more than model.max_parameters = {config.max_parameters:,}; choose a smaller one or raise the limit"
        )
    return embedder


def _assembled(config: ModelConfig) -> Embedder:
    backbone = build_backbone(config)
    head = HEADS.build(
        chosen_head(config, backbone),
        in_channels=backbone.out_channels,
        map_size=backbone.map_size(config.image_size),
        embedding_size=config.embedding_size,
    )
    return Embedder(backbone, head)


@contextmanager
def shapes_only() -> Iterator[None]:
    """What is built inside takes no memory for its tensors, which have shapes and no values, and no random generator moves."""
    with torch.random.fork_rng(devices=[]), torch.device("meta"):
        yield
