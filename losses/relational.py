"""Relational distillation: distances and angles between the images of a batch."""

import torch
from pydantic import NonNegativeFloat
from torch import Tensor, nn
from torch.nn import functional

from losses.cosine_classifier import at_least_float32
from losses.matching import SHORTEST, of_teacher, others, unit_rows

MOST_AT_ONCE = 2**22  # numbers in the largest tensor of the angles


class Relational(nn.Module):
    """Park et al., "Relational Knowledge Distillation", CVPR 2019, arXiv 1904.05068. Huber's loss with threshold 1 between
    student and teacher, of two relations:

    distances: of every pair of images, divided by their mean over the pairs of the batch.
    angles: the cosine of the angle at one image between two others, of every three images; 0 with fewer than three.

    Each is averaged over the pairs or threes of different images. The options of these names are the factors on the parts;
    1 and 2 are the ratio of the paper for metric learning.
    normalise: compare unit-length embeddings.

    Student and teacher may have different numbers of dimensions. The angles of a batch are B^3 numbers, which are never in
    memory all at once.
    """

    def __init__(self, distances: NonNegativeFloat = 1.0, angles: NonNegativeFloat = 2.0, normalise: bool = False):
        super().__init__()
        self.distances = distances
        self.angles = angles
        self.normalise = normalise

    def forward(self, embeddings: Tensor, teacher_embeddings: Tensor) -> dict[str, Tensor]:
        """embeddings [B, D], teacher_embeddings [B, Dt], B at least 2."""
        student, teacher = at_least_float32(embeddings), of_teacher(teacher_embeddings)
        if self.normalise:
            student, teacher = unit_rows(student), unit_rows(teacher)
        distances = functional.smooth_l1_loss(relative_distances(student), relative_distances(teacher))
        return {"distances": self.distances * distances, "angles": self.angles * AngleLoss.apply(student, teacher)}


def relative_distances(rows: Tensor) -> Tensor:
    """[B, D] -> [B, B - 1], the distances from every row to the others, divided by their mean."""
    # From differences: the rounding of a difference of squares is as large as the distance of near rows.
    distances = others(torch.cdist(rows, rows, compute_mode="donot_use_mm_for_euclid_dist"))
    return distances / distances.mean().clamp(min=SHORTEST)


class AngleLoss(torch.autograd.Function):
    """Huber's loss of the cosines of the angles between any three of the rows [B, D] and [B, Dt] of student and teacher,
    averaged over all threes of different rows.

    The gradient is computed at once, for a few vertices at a time, and only its sum is kept.
    """

    @staticmethod
    def forward(ctx, student: Tensor, teacher: Tensor) -> Tensor:
        count = len(student)
        at_once = max(1, MOST_AT_ONCE // (count * max(count, student.shape[1], teacher.shape[1])))
        total, gradient = student.new_zeros(()), torch.zeros_like(student)
        rows = student.detach().requires_grad_()
        for start in range(0, count, at_once):
            with torch.enable_grad():
                part = angle_differences(rows, teacher, slice(start, start + at_once))
            total += part.detach()
            gradient += torch.autograd.grad(part, rows)[0]
        threes = max(1, count * (count - 1) * (count - 2))
        ctx.save_for_backward(gradient / threes)
        return total / threes

    @staticmethod
    def backward(ctx, gradient: Tensor) -> tuple[Tensor, None]:
        return gradient * ctx.saved_tensors[0], None


def angle_differences(student: Tensor, teacher: Tensor, vertices: slice) -> Tensor:
    """The sum of Huber's losses of the angles at some of the rows."""
    losses = functional.smooth_l1_loss(cosines_at(student, vertices), cosines_at(teacher, vertices), reduction="none")
    same = torch.eye(len(student), dtype=torch.bool, device=student.device)
    return losses.masked_fill(same, 0.0).sum()


def cosines_at(rows: Tensor, vertices: slice) -> Tensor:
    """[B, D] -> [V, B, B], the cosines of the angles at V of the rows between any two; 0 where one of them is the vertex or
    equals it, which has no direction and no gradient."""
    legs = rows - rows[vertices, None]  # [V, B, D]
    lengths = legs.norm(dim=2, keepdim=True)
    directions = torch.where(lengths > SHORTEST, legs / lengths.clamp(min=SHORTEST), 0.0)
    return directions @ directions.mT
