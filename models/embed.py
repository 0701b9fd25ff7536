"""Embeddings of photographs: each is decoded and embedded once, however many pairs it stands in."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from models.network_input import network_input


@dataclass(frozen=True)
class Embeddings:
    """file_names: str [N]; plain: float32 [N, D]; mirrored: the same for the mirrored images, or None."""

    file_names: Sequence[str]
    plain: np.ndarray
    mirrored: np.ndarray | None = None

    def vectors(self, flip: bool) -> np.ndarray:
        """Embeddings [N, D], with `flip` the sum of those of the image and of its mirror image."""
        return self.plain + self.mirrored if flip else self.plain


@torch.inference_mode()
def embed_images(
    embedder: nn.Module, images: Iterable[np.ndarray], file_names: Sequence[str], batch_size: int = 64, flip: bool = False
) -> Embeddings:
    """Embed uint8 images [S, S, 3], one for each of `file_names` and in their order; with `flip` also mirrored.

    The embedder is put into evaluation mode.
    """
    embedder.eval()
    device = next((parameter.device for parameter in embedder.parameters()), "cpu")  # an exported embedder has none
    plain, mirrored = [], []
    batch: list[np.ndarray] = []

    def embed() -> None:
        inputs = network_input(torch.from_numpy(np.stack(batch)), device)  # [B, 3, S, S]
        plain.append(embedder(inputs).float().cpu().numpy())
        if flip:
            mirrored.append(embedder(inputs.flip(3)).float().cpu().numpy())
        batch.clear()

    for image in images:
        batch.append(image)
        if len(batch) == batch_size:
            embed()
    if batch:
        embed()
    return Embeddings(list(file_names), np.concatenate(plain), np.concatenate(mirrored) if flip else None)


def join(shares: Sequence[Embeddings]) -> Embeddings:
    """The embeddings of several lists of photographs as those of one, in order; all with mirror images or all without."""
    if len(shares) == 1:
        return shares[0]
    mirrored = None if shares[0].mirrored is None else np.concatenate([share.mirrored for share in shares])
    names = [name for share in shares for name in share.file_names]
    return Embeddings(names, np.concatenate([share.plain for share in shares]), mirrored)
