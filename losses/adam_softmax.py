"""AdaM-Softmax: AM-Softmax whose margin is learned for each identity."""

from typing import Annotated

import torch
from pydantic import Field, NonNegativeFloat, NonNegativeInt
from torch import Tensor, nn

from losses.cosine_classifier import CosineClassifier, Scale

SPREAD = 0.05  # of the margins at the start


class AdaMSoftmax(CosineClassifier):
    """Liu et al., "AdaptiveFace: Adaptive Margin and Sampling for Face Recognition", CVPR 2019.

    Every identity has a margin of its own, kept from 0 to 1; the second term, `regulariser` * (1 - mean margin), makes the
    margins as large as the photographs allow, and so larger where there are many.

    margin: the margins start evenly spread around it, within 0.05.
    warmup: the share in force is a factor on all margins and on the second term, so that what the two settle at stays.
    """

    for_each_identity = True

    def __init__(
        self,
        embedding_size: int,
        identities: int,
        scale: Scale = 32.0,
        margin: Annotated[float, Field(ge=SPREAD, le=1.0 - SPREAD)] = 0.35,
        regulariser: NonNegativeFloat = 70.0,
        warmup: NonNegativeInt = 0,
    ):
        super().__init__(embedding_size, identities, scale, margin, warmup)
        self.margins = nn.Parameter(margin + SPREAD * (2 * torch.rand(identities) - 1))
        self.regulariser = regulariser

    def forward(self, logits: Tensor, labels: Tensor) -> dict[str, Tensor]:
        if self.training:  # where the optimiser has left the range; a margin outside it would have no gradient
            with torch.no_grad():
                self.margins.clamp_(0.0, 1.0)
        regulariser = self.regulariser * self.warmed() * (1 - self.margins.clamp(0.0, 1.0).mean())
        return {"softmax": self.cross_entropy(logits, labels), "margins": regulariser}

    def class_logits(self, cosines: Tensor, own: Tensor, target: Tensor) -> Tensor:
        return self.scale * torch.where(own, cosines - self.warmed() * self.margins.clamp(0.0, 1.0), cosines)
