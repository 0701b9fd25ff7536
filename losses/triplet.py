"""Batch-hard triplet loss, with a margin or with the soft margin."""

from typing import Literal

import torch
from pydantic import NonNegativeFloat, NonNegativeInt
from torch import Tensor, nn
from torch.nn import functional


class Triplet(nn.Module):
    """Hermans, Beyer and Leibe, "In Defense of the Triplet Loss", arXiv 1703.07737.

    For every anchor the farthest image of its person and the nearest image of another, by Euclidean distance. With
    `margin=None` the soft margin ln(1 + exp(positive - negative)) of Triarchy, which never stops pulling and equals
    ln 2 when the distances do not differ; else the hinge max(0, margin + positive - negative).
    normalise: compare unit-length embeddings.
    projection: compare what a linear layer, trained for this alone, makes of the embeddings, so many numbers each; 0: the
        embeddings themselves.
    without_positive: an anchor whose person has no other image in the batch is skipped, or counts with a positive distance
        of zero.

    The NTU teacher-student system has margin 1, projection 128 and zero.
    """

    def __init__(
        self,
        margin: NonNegativeFloat | None = None,
        normalise: bool = False,
        projection: NonNegativeInt = 0,
        without_positive: Literal["skip", "zero"] = "skip",
        embedding_size: int = 0,
    ):
        super().__init__()
        self.margin = margin
        self.normalise = normalise
        # Without a bias, which no distance would show.
        self.projection = nn.Linear(embedding_size, projection, bias=False) if projection else nn.Identity()
        self.without_positive = without_positive

    def forward(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        """embeddings [B, D] float32, labels [B] int64 -> scalar, the mean over anchors that have both a positive and a
        negative; 0 if none has."""
        embeddings = self.projection(embeddings)
        if self.normalise:
            embeddings = functional.normalize(embeddings)
        distances = euclidean_distances(embeddings)  # [B, B]
        same = labels[:, None] == labels[None, :]
        other = ~torch.eye(len(labels), dtype=torch.bool, device=labels.device)
        positive = distances.masked_fill(~(same & other), -torch.inf).amax(dim=1)  # [B]
        if self.without_positive == "zero":
            positive = torch.where(positive.isfinite(), positive, 0.0)
        negative = distances.masked_fill(same, torch.inf).amin(dim=1)  # [B]
        valid = positive.isfinite() & negative.isfinite()
        gap = torch.where(valid, positive - negative, 0.0)
        losses = functional.softplus(gap) if self.margin is None else functional.relu(self.margin + gap)
        return (losses * valid).sum() / valid.sum().clamp(min=1)


def euclidean_distances(embeddings: Tensor) -> Tensor:
    """Distances between all rows of [B, D] -> [B, B]; the tiny floor keeps the gradient of equal rows finite."""
    squared = embeddings.square().sum(dim=1)
    return (squared[:, None] + squared[None, :] - 2 * embeddings @ embeddings.T).clamp(min=1e-12).sqrt()
