"""The inference model: a backbone and one linear embedding layer. Nothing else ships."""

import torch
from torch import Tensor, nn

from common.config import ModelConfig
from common.errors import InputError
from models.backbones import BACKBONES


class Embedder(nn.Module):
    """Images [B, 3, H, W] float32 in [-1, 1] -> embeddings [B, D] float32, not normalised.

    The layer has a bias and, in Triarchy, no BatchNorm after it: EfficientNet-B0 with D = 512 has exactly 4,663,420
    parameters. `norm=True` adds the baseline's BatchNorm.
    """

    def __init__(self, backbone: nn.Module, embedding_size: int, dropout: float = 0.0, norm: bool = False):
        super().__init__()
        self.backbone = backbone
        self.dropout = nn.Dropout(dropout)
        self.embedding = nn.Linear(backbone.out_channels, embedding_size)
        self.norm = nn.BatchNorm1d(embedding_size) if norm else nn.Identity()
        self.embedding_size = embedding_size

    def forward(self, images: Tensor) -> Tensor:
        return self.norm(self.embedding(self.dropout(self.backbone(images))))


def build_backbone(config: ModelConfig, image_size: int | None = None) -> nn.Module:
    """The configured backbone with random weights, for images of `image_size` (default: the model's own)."""
    return BACKBONES.build(config.backbone, image_size=image_size or config.image_size)


def build_embedder(config: ModelConfig) -> Embedder:
    """The configured embedder with random weights; InputError if it has more than `config.max_parameters`."""

    def build() -> Embedder:
        return Embedder(build_backbone(config), config.embedding_size, config.dropout, config.embedding_norm)

    with torch.random.fork_rng(devices=[]), torch.device("meta"):  # counted before any memory is taken
        size = parameter_count(build())
    if size > config.max_parameters:
        raise InputError(
            f"the embedder ({config.backbone['name']}, {config.embedding_size} dimensions) has {size:,} parameters, more than"
            f" model.max_parameters = {config.max_parameters:,}; choose a smaller one or raise the limit"
        )
    return build()


def parameter_count(module: nn.Module) -> int:
    """Number of trainable and frozen parameters; BatchNorm statistics are not parameters."""
    return sum(parameter.numel() for parameter in module.parameters())
