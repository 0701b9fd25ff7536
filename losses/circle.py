"""Circle loss: cosines weighted by how far they still are from where they should be."""

import torch
from pydantic import PositiveFloat
from torch import Tensor

from common.ranges import Share
from losses.cosine_classifier import CosineClassifier


class Circle(CosineClassifier):
    """Sun et al., "Circle Loss: A Unified Perspective of Pair Similarity Optimization", CVPR 2020, arXiv 2002.10857, with
    class-level labels.

    The own logit is gamma * max(0, 1 + margin - cosine) * (cosine - (1 - margin)), any other is
    gamma * max(0, cosine + margin) * (cosine - margin); the max() are weights, without a gradient.

    Here the margin relaxes the task: cosines should reach 1 - margin and -margin is far enough, and 0 would ask for what
    cannot be. So there is no warm-up, which would begin with it. gamma stands in place of a scale.
    """

    def __init__(self, embedding_size: int, identities: int, gamma: PositiveFloat = 256.0, margin: Share = 0.25):
        super().__init__(embedding_size, identities, gamma, margin)

    def class_logits(self, cosines: Tensor, own: Tensor, target: Tensor) -> Tensor:
        constant = cosines.detach()
        positive = (1 + self.margin - constant).clamp(min=0) * (cosines - (1 - self.margin))
        negative = (constant + self.margin).clamp(min=0) * (cosines - self.margin)
        return self.scale * torch.where(own, positive, negative)
