"""MV-Softmax: a margin, and more weight for the identities that an image is mistaken for."""

from typing import Annotated, Literal

import torch
from pydantic import Field, NonNegativeInt
from torch import Tensor

from common.ranges import Share
from losses.cosine_classifier import CosineClassifier, Scale, cosine_of_sum


class MVSoftmax(CosineClassifier):
    """Wang et al., "Mis-classified Vector Guided Softmax Loss for Face Recognition", AAAI 2020, arXiv 1912.00833.

    Another identity is hard for an image if its cosine exceeds the own one with the margin; it then becomes
    hardness * cosine + hardness - 1.

    mode: `am`, the own cosine less the margin, where it exceeds the margin; `arc`, the own angle plus the margin, where the
        cosine exceeds 0. Elsewhere the own logit is the plain cosine, as in FaceX-Zoo.
    hardness: from 1, which makes no difference.
    warmup: with a margin of 0 the hard identities are those that an image is taken for.
    """

    def __init__(
        self,
        embedding_size: int,
        identities: int,
        scale: Scale = 32.0,
        margin: Share = 0.35,
        mode: Literal["am", "arc"] = "am",
        hardness: Annotated[float, Field(ge=1.0, le=10.0)] = 1.12,
        warmup: NonNegativeInt = 0,
    ):
        super().__init__(embedding_size, identities, scale, margin, warmup)
        self.mode = mode
        self.hardness = hardness

    def class_logits(self, cosines: Tensor, own: Tensor, target: Tensor) -> Tensor:
        margin = self.current_margin()
        if self.mode == "am":
            lowered, acts = target - margin, target > margin
        else:
            lowered, acts = cosine_of_sum(target, margin), target > 0
        others = torch.where(cosines > lowered, self.hardness * cosines + self.hardness - 1, cosines)
        return self.scale * torch.where(own, torch.where(acts, lowered, target), others)
