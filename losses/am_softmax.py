"""AM-Softmax, also named CosFace: the own cosine lowered by a margin."""

from pydantic import NonNegativeInt
from torch import Tensor, where

from common.ranges import Share
from losses.cosine_classifier import CosineClassifier, Scale


class AMSoftmax(CosineClassifier):
    """Wang et al., "Additive Margin Softmax for Face Verification", IEEE Signal Processing Letters 2018, arXiv 1801.05599;
    Wang et al., "CosFace: Large Margin Cosine Loss for Deep Face Recognition", CVPR 2018, arXiv 1801.09414."""

    def __init__(
        self,
        embedding_size: int,
        identities: int,
        scale: Scale = 32.0,
        margin: Share = 0.35,
        warmup: NonNegativeInt = 0,
    ):
        super().__init__(embedding_size, identities, scale, margin, warmup)

    def class_logits(self, cosines: Tensor, own: Tensor, target: Tensor) -> Tensor:
        return self.scale * where(own, target - self.current_margin(), cosines)
