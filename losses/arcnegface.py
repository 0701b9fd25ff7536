"""ArcNegFace: other identities count by how close their cosines come to the own one."""

import torch
from pydantic import NonNegativeInt
from torch import Tensor

from common.ranges import Share
from losses.arcface import lowering
from losses.cosine_classifier import CosineClassifier, Scale, angular_margin


class ArcNegFace(CosineClassifier):
    """Liu et al., "Towards Flops-constrained Face Recognition", ICCV Workshops 2019, arXiv 1909.00632.

    The own angle has the margin of ArcFace, which gives a. Any other cosine becomes t * cosine + t - 1 with
    t = 1.2 exp(-(cosine - a)^2 / 2), which has no gradient.
    """

    def __init__(
        self,
        embedding_size: int,
        identities: int,
        scale: Scale = 64.0,
        margin: Share = 0.5,
        warmup: NonNegativeInt = 0,
    ):
        super().__init__(embedding_size, identities, scale, margin, warmup)

    def class_logits(self, cosines: Tensor, own: Tensor, target: Tensor) -> Tensor:
        margin = self.current_margin()
        lowered = angular_margin(target, margin, beyond=target - lowering(margin))
        t = 1.2 * (-(cosines - lowered).detach().square() / 2).exp()
        return self.scale * torch.where(own, lowered, t * cosines + t - 1)
