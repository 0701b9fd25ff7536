"""The reference candidate: the plain recipe as the original solution runs it, from the public packages as they come.

NCHW images, the package's memory-efficient swish, Adam without options, decoding and resizing by Pillow in the main process,
both photographs of every pair embedded anew.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import torch
from efficientnet_pytorch import EfficientNet
from PIL import Image
from torch import Tensor, nn


class ReferenceEmbedder(nn.Module):
    """efficientnet-pytorch's B0 with the embedding layer: images [B, 3, H, W] float32 -> [B, 512]."""

    def __init__(self, image_size: int, dropout: float = 0.2, embedding_size: int = 512):
        super().__init__()
        self.network = EfficientNet.from_name("efficientnet-b0", image_size=image_size, include_top=False)
        self.dropout = nn.Dropout(dropout)
        self.embedding = nn.Linear(1280, embedding_size)

    def forward(self, images: Tensor) -> Tensor:
        pooled = nn.functional.adaptive_avg_pool2d(self.network.extract_features(images), 1).flatten(1)
        return self.embedding(self.dropout(pooled))


def read_images(paths: Iterable[Path], side: int, random: np.random.Generator | None = None) -> Tensor:
    """Decode and resize -> float32 [B, 3, side, side] in [-1, 1]; with `random`, each image is mirrored half of the time."""
    return torch.stack([_read(path, side, random is not None and random.random() < 0.5) for path in paths])


def _read(path: Path, side: int, mirror: bool) -> Tensor:
    with Image.open(path) as image:
        resized = image.convert("RGB").resize((side, side), Image.Resampling.BILINEAR)
    if mirror:
        resized = resized.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    return torch.from_numpy(np.asarray(resized).copy()).permute(2, 0, 1).float() / 127.5 - 1


@torch.no_grad()
def score_pairs_anew(embedder: nn.Module, pairs: list[tuple[Path, Path]], side: int, batch_size: int = 32) -> Iterator[float]:
    """Negative distance of every pair, both of whose photographs are decoded and embedded for it."""
    for start in range(0, len(pairs), batch_size):
        batch = pairs[start : start + batch_size]
        first, second = (embedder(read_images([pair[place] for pair in batch], side)) for place in (0, 1))
        yield from (-(first - second).norm(dim=1)).tolist()
