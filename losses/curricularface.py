"""CurricularFace: hard identities count more as the training goes on."""

import torch
from pydantic import NonNegativeInt
from torch import Tensor

from common.ranges import Share
from losses.arcface import lowering
from losses.cosine_classifier import CosineClassifier, Scale, angular_margin, cosine_of_sum

RATE = 0.01  # of the running mean


class CurricularFace(CosineClassifier):
    """Huang et al., "CurricularFace: Adaptive Curriculum Learning Loss for Deep Face Recognition", CVPR 2020,
    arXiv 2004.00288.

    The own angle has the margin of ArcFace. A cosine of another identity that exceeds the own one with the margin becomes
    cosine * (t + cosine), where the buffer t, from 0, is a running mean of the own cosines, moved at every training step
    before use.

    warmup: with a margin of 0 the hard identities are those that an image is taken for; t does not wait for it.
    """

    t: Tensor

    def __init__(
        self,
        embedding_size: int,
        identities: int,
        scale: Scale = 64.0,
        margin: Share = 0.5,
        warmup: NonNegativeInt = 0,
    ):
        super().__init__(embedding_size, identities, scale, margin, warmup)
        self.register_buffer("t", torch.zeros(()))

    def class_logits(self, cosines: Tensor, own: Tensor, target: Tensor) -> Tensor:
        if self.training:
            self.t.lerp_(target.detach().mean().to(self.t.dtype), RATE)
        margin = self.current_margin()
        hard = cosines > cosine_of_sum(target, margin)
        others = torch.where(hard, cosines * (self.t + cosines), cosines)
        lowered = angular_margin(target, margin, beyond=target - lowering(margin))
        return self.scale * torch.where(own, lowered, others)
