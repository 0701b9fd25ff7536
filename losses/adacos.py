"""AdaCos: no margin, and a scale that follows the training."""

import math

import torch
from torch import Tensor

from losses.cosine_classifier import CosineClassifier, Scale, automatic_scale

LEAST_SCALE = automatic_scale(3)


class AdaCos(CosineClassifier):
    """Zhang et al., "AdaCos: Adaptively Scaling Cosine Logits for Effectively Learning Deep Face Representations", CVPR 2019,
    arXiv 1905.00292, with the dynamic scale.

    At every training step, before use, scale = ln B / cos(min(pi / 4, median own angle)), where B is the sum over the other
    identities of exp(scale * cosine), averaged over the batch. For very few identities, whose directions lie opposite one
    another, that may be 0 or less; it is kept above 0.98, the fixed scale of three. The scale is a buffer. There is no margin,
    and so no warm-up.

    scale: at the start; "auto" as published.
    """

    adapted: Tensor

    def __init__(self, embedding_size: int, identities: int, scale: Scale = "auto"):
        super().__init__(embedding_size, identities, scale)
        self.register_buffer("adapted", torch.tensor(self.scale))

    def class_logits(self, cosines: Tensor, own: Tensor, target: Tensor) -> Tensor:
        if self.training:
            self.adapt(cosines.detach(), own, target.detach())
        return self.scaled(cosines)

    def scaled(self, logits: Tensor) -> Tensor:
        return self.adapted.clone() * logits  # a copy, which the next step does not change under this one's gradient

    def adapt(self, cosines: Tensor, own: Tensor, target: Tensor) -> None:
        """Set the scale to what the batch asks for."""
        others = (self.adapted * cosines).masked_fill(own, -torch.inf)
        log_b = others.flatten().logsumexp(dim=0) - math.log(len(others))
        angle = target.clamp(-1.0, 1.0).acos().median().clamp(max=math.pi / 4)
        self.adapted.copy_((log_b / angle.cos()).clamp(min=LEAST_SCALE))
