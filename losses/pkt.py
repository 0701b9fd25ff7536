"""Probabilistic knowledge transfer: who is how likely whose neighbour."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from losses.matching import of_teacher, others, unit_rows

EPSILON = 1e-6  # added to every affinity, whose logarithm is taken


class PKT(nn.Module):
    """Passalis and Tefas, "Learning Deep Representations with Probabilistic Knowledge Transfer", ECCV 2018, arXiv 1803.10837,
    with the cosine kernel.

    The affinity of two images is (cosine + 1) / 2; divided by the sum over the other images of the batch it is the probability
    of picking one as the neighbour of another. The loss is KL(teacher's || student's) of these probabilities, averaged over
    the images. An image is not its own neighbour, as in the paper; in FaceX-Zoo it is, and the sum is divided by B^2, so that
    a weight there is about B times the one here. Student and teacher may have different numbers of dimensions. With two
    images the loss is 0.
    """

    def __init__(self):
        super().__init__()

    def forward(self, embeddings: Tensor, teacher_embeddings: Tensor) -> Tensor:
        """embeddings [B, D], teacher_embeddings [B, Dt], B at least 2 -> scalar."""
        student, teacher = log_neighbours(embeddings), log_neighbours(of_teacher(teacher_embeddings))
        return functional.kl_div(student, teacher, reduction="batchmean", log_target=True)


def log_neighbours(embeddings: Tensor) -> Tensor:
    """[B, D] -> [B, B - 1], the logarithms of the probabilities of the other images of the batch."""
    units = unit_rows(embeddings)
    affinities = others((units @ units.T + 1) / 2).clamp(min=0.0) + EPSILON
    return torch.log(affinities / affinities.sum(dim=1, keepdim=True))
