"""MagFace: the margin of an image grows with the length of its embedding, which comes to say how good the image is."""

import torch
from pydantic import NonNegativeFloat, NonNegativeInt, PositiveFloat
from torch import Tensor

from common.ranges import Share
from losses.cosine_classifier import CosineClassifier, Scale, angular_margin, at_least_float32


class MagFace(CosineClassifier):
    """Meng et al., "MagFace: A Universal Representation for Face Recognition and Quality Assessment", CVPR 2021,
    arXiv 2103.06627.

    An embedding of length a has the margin of ArcFace, from margins[0] at a = lengths[0] linearly to margins[1] at
    a = lengths[1]; the gradient reaches the length through it. The second term, regulariser * mean(1 / a + a / lengths[1]^2),
    rewards length. Lengths outside `lengths` are taken for its ends, and have no gradient of either.

    margins, lengths: two ascending numbers each.
    warmup: of the margins; the regulariser does not wait for it.
    """

    def __init__(
        self,
        embedding_size: int,
        identities: int,
        scale: Scale = 64.0,
        margins: tuple[Share, Share] = (0.45, 0.8),
        lengths: tuple[PositiveFloat, PositiveFloat] = (10.0, 110.0),
        regulariser: NonNegativeFloat = 20.0,
        warmup: NonNegativeInt = 0,
    ):
        super().__init__(embedding_size, identities, scale, warmup=warmup)
        if not lengths[0] < lengths[1] or not margins[0] <= margins[1]:
            raise ValueError(f"lengths are {list(lengths)} and margins {list(margins)}; the first should be the smaller")
        self.margins = margins
        self.lengths = lengths
        self.regulariser = regulariser

    def forward(self, logits: Tensor, labels: Tensor, embeddings: Tensor) -> dict[str, Tensor]:  # type: ignore[override]
        """logits: cosines [B, identities]; labels [B] int64; embeddings [B, D], whose cosines they are."""
        least, most = self.lengths
        lengths = at_least_float32(embeddings).norm(dim=1, keepdim=True).clamp(least, most)  # [B, 1]
        slope = (self.margins[1] - self.margins[0]) / (most - least)
        margins = self.warmed() * (self.margins[0] + slope * (lengths - least))
        regulariser = self.regulariser * (1 / lengths + lengths / most**2).mean()
        return {"softmax": self.cross_entropy(logits, labels, margins), "lengths": regulariser}

    def class_logits(self, cosines: Tensor, own: Tensor, target: Tensor, margins: Tensor) -> Tensor:
        return self.scale * torch.where(own, angular_margin(target, margins, beyond=target), cosines)
