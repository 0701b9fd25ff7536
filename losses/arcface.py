"""ArcFace: the own angle enlarged by a margin."""

import math
from typing import Literal

import torch
from pydantic import NonNegativeInt
from torch import Tensor

from common.ranges import Share
from losses.cosine_classifier import CosineClassifier, Scale, angular_margin


class ArcFace(CosineClassifier):
    """Deng et al., "ArcFace: Additive Angular Margin Loss for Deep Face Recognition", CVPR 2019, arXiv 1801.07698.

    beyond: the own logit where angle + margin exceeds pi. `cosine`: the plain cosine, as in FaceX-Zoo. `lowered`: the cosine
        less margin * sin(margin), as in the authors' InsightFace and in PocketNet, so that it goes on falling with the angle.

    InsightFace and PocketNet have scale 64 and margin 0.5.
    """

    def __init__(
        self,
        embedding_size: int,
        identities: int,
        scale: Scale = 32.0,
        margin: Share = 0.35,
        beyond: Literal["cosine", "lowered"] = "cosine",
        warmup: NonNegativeInt = 0,
    ):
        super().__init__(embedding_size, identities, scale, margin, warmup)
        self.beyond = beyond

    def class_logits(self, cosines: Tensor, own: Tensor, target: Tensor) -> Tensor:
        margin = self.current_margin()
        beyond = target - lowering(margin) if self.beyond == "lowered" else target
        return self.scale * torch.where(own, angular_margin(target, margin, beyond), cosines)


def lowering(margin: float | Tensor) -> float | Tensor:
    """margin * sin(pi - margin): by how much ArcFace lowers a cosine whose angle is too large for the margin."""
    return margin * (margin.sin() if isinstance(margin, Tensor) else math.sin(margin))
