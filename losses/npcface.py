"""NPCFace: the margin of an image grows with how alike the identities are that it is mistaken for."""

from typing import Annotated

import torch
from pydantic import Field, NonNegativeInt
from torch import Tensor

from common.ranges import Share
from losses.cosine_classifier import CosineClassifier, Scale, cosine_of_sum


class NPCFace(CosineClassifier):
    """Zeng et al., "NPCFace: Negative-Positive Cooperation Training for Large-scale Face Recognition", arXiv 2007.10172.

    Another identity is hard for an image if its cosine exceeds cos(own angle + mining); it becomes
    hardness * cosine + shift. The own logit is cos(own angle + margin + growth * mean cosine of the hard ones) where the own
    cosine exceeds 0, else the plain cosine; that margin has no gradient.

    margin, growth, hardness, shift: constants of FaceX-Zoo's code, there without a setting. mining: its one option `margin`.
    warmup: of all that is added to the own angle, also for finding the hard identities.
    """

    def __init__(
        self,
        embedding_size: int,
        identities: int,
        scale: Scale = 32.0,
        margin: Share = 0.4,
        growth: Share = 0.2,
        mining: Share = 0.35,
        hardness: Annotated[float, Field(ge=1.0, le=10.0)] = 1.1,
        shift: Share = 0.2,
        warmup: NonNegativeInt = 0,
    ):
        super().__init__(embedding_size, identities, scale, margin, warmup)
        self.growth = growth
        self.mining = mining
        self.hardness = hardness
        self.shift = shift

    def class_logits(self, cosines: Tensor, own: Tensor, target: Tensor) -> Tensor:
        with torch.no_grad():
            hard = (cosines > cosine_of_sum(target, self.warmed() * self.mining)) & ~own
            sums = torch.where(hard, cosines, 0.0).sum(dim=1, keepdim=True)
            means = sums / hard.sum(dim=1, keepdim=True).clamp(min=1)
            margins = self.warmed() * (self.margin + self.growth * means)  # [B, 1]
        others = torch.where(hard, self.hardness * cosines + self.shift, cosines)
        lowered = torch.where(target > 0, cosine_of_sum(target, margins), target)
        return self.scale * torch.where(own, lowered, others)
