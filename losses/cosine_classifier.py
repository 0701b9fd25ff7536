"""What the identity heads over cosines share: the classifier, the scale and the warm-up of the margin."""

import math
from collections.abc import Callable
from typing import ClassVar, Literal

import torch
from pydantic import NonNegativeInt, PositiveFloat
from torch import Tensor, nn
from torch.nn import functional

from common.ranges import Share

Scale = PositiveFloat | Literal["auto"]
"""Factor on the cosines, or "auto": see `automatic_scale`."""
LEAST_SQUARED_SINE = 1e-8  # below it the sine of an angle has no usable gradient


class CosineClassifier(nn.Module):
    """Cross-entropy over the cosines between an embedding and one direction per training identity.

    A head derives from it and says in `class_logits` how cosines become logits: where its margin lowers the own cosine, and
    what it does to the others. The logits are the formulas of FaceX-Zoo (Wang et al., "FaceX-Zoo: A PyTorch Toolbox for Face
    Recognition", ACM Multimedia 2021, arXiv 2101.04407), whose defaults are the heads' own, unless a head says otherwise.
    `weights` are the directions, [identities, D], and start at random with length 1; their lengths do not matter.

    embedding_size: 0 for a head whose cosines come from elsewhere, such as those with a queue of prototypes, and are handed to
        `forward`: it has no `weights`.
    scale: factor on the cosines; "auto" is that of few classes, sqrt(2) ln(identities - 1).
    margin: by how much the own cosine, or the own angle in radians, has to be better (0 to 1).
    warmup: steps over which the margin grows linearly from 0 to its value; a buffer counts the training steps, so that a
        resumed run goes on where it was, and a training that starts from the weights of an earlier one goes on, too.

    `logits` gives the cosines, so that the classifier is computed once, and apart from what a head makes of them; `scaled`
    makes logits of them that have no margin.
    """

    class_logits: Callable[..., Tensor]
    """cosines [B, C], own (bool [B, C], where the own identity is), target [B, 1] (its cosines), and what else the head hands
    to `cross_entropy` -> logits [B, C]."""
    for_each_identity: ClassVar[bool] = False
    """Whether it learns something for each identity beside its direction."""
    steps: Tensor

    def __init__(self, embedding_size: int, identities: int, scale: Scale, margin: Share = 0.0, warmup: NonNegativeInt = 0):
        super().__init__()
        if embedding_size:
            self.weights = nn.Parameter(functional.normalize(torch.randn(identities, embedding_size)))
        self.scale = automatic_scale(identities) if scale == "auto" else float(scale)
        self.margin = margin
        self.warmup = warmup
        if warmup:
            self.register_buffer("steps", torch.zeros((), dtype=torch.int64))

    def logits(self, embeddings: Tensor) -> Tensor:
        """embeddings [B, D] -> cosines [B, identities], float32 also where autocast is on: an angle needs more than 8 bits."""
        with torch.autocast(embeddings.device.type, enabled=False):
            return functional.linear(functional.normalize(at_least_float32(embeddings)), functional.normalize(self.weights))

    def scaled(self, logits: Tensor) -> Tensor:
        """cosines [B, identities] -> what their softmax, the probabilities of the identities, is computed from: without a
        margin, with the scale in force."""
        return self.scale * logits

    def forward(self, logits: Tensor, labels: Tensor) -> Tensor | dict[str, Tensor]:
        """logits: cosines [B, identities]; labels [B] int64 -> scalar, the batch mean. Buffers move in training mode only."""
        return self.cross_entropy(logits, labels)

    def cross_entropy(self, cosines: Tensor, labels: Tensor, *more: Tensor) -> Tensor:
        """The scalar of one step, which is counted in training mode. more: what else `class_logits` takes."""
        cosines = at_least_float32(cosines)
        own = labels[:, None] == torch.arange(cosines.shape[1], device=labels.device)  # [B, C]
        target = torch.where(own, cosines, 0.0).sum(dim=1, keepdim=True)  # [B, 1]
        loss = functional.cross_entropy(self.class_logits(cosines, own, target, *more), labels)
        if self.warmup and self.training:
            self.steps += 1
        return loss

    def warmed(self) -> float | Tensor:
        """Share of the margin that is in force, 0 to 1."""
        return (self.steps / self.warmup).clamp(max=1.0) if self.warmup else 1.0

    def current_margin(self) -> float | Tensor:
        """The margin that is in force."""
        return self.margin * self.warmed()


def automatic_scale(identities: int) -> float:
    """sqrt(2) ln(C - 1), the fixed scale of AdaCos (Zhang et al., CVPR 2019, arXiv 1905.00292) for C classes.

    It would be 0 for two identities, whose logits would then say nothing; they, or one, have that of three: 0.98.
    """
    return math.sqrt(2) * math.log(max(identities, 3) - 1)


def at_least_float32(values: Tensor) -> Tensor:
    """The values as float32, or as they are where they are more exact."""
    return values.to(torch.promote_types(values.dtype, torch.float32))


def cosine_of_sum(cosines: Tensor, margin: float | Tensor) -> Tensor:
    """cos(theta + margin) of cos(theta), margin in radians; finite, as is its gradient, also at cosines of 1 and -1."""
    margin = torch.as_tensor(margin, dtype=cosines.dtype, device=cosines.device)
    sines = (1 - cosines.square()).clamp(min=LEAST_SQUARED_SINE).sqrt()
    return cosines * margin.cos() - sines * margin.sin()


def angular_margin(target: Tensor, margin: float | Tensor, beyond: Tensor) -> Tensor:
    """cos(theta + margin) where theta + margin is below pi; past it that would rise again, and `beyond` stands there."""
    within = target > -torch.as_tensor(margin, dtype=target.dtype, device=target.device).cos()  # cos(pi - margin)
    return torch.where(within, cosine_of_sum(target, margin), beyond)
