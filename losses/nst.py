"""Neuron selectivity transfer: where in the image channels respond, whichever channel it is."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from losses.cosine_classifier import at_least_float32
from losses.matching import of_one_size, of_teacher


class NST(nn.Module):
    """Huang and Wang, "Like What You Like: Knowledge Distill via Neuron Selectivity Transfer", arXiv 1707.01219, with the
    polynomial kernel of degree 2 and no constant.

    A channel of a map, over its places and of unit length, is one sample; the loss is the squared maximum mean discrepancy
    between the student's channels and the teacher's, averaged over the batch and the pairs of maps. Numbers of channels may
    differ, so that no layer stands between; the larger of two maps is averaged down to the size of the other.
    """

    def __init__(self):
        super().__init__()

    def forward(self, maps: list[Tensor], teacher_maps: list[Tensor]) -> Tensor:
        """maps [B, c, h, w] each, teacher_maps [B, ct, ht, wt] each -> scalar, 0 to 2."""
        values = []
        for student, teacher in zip(maps, teacher_maps, strict=True):
            student, teacher = of_one_size(at_least_float32(student), of_teacher(teacher))
            s, t = (functional.normalize(each.flatten(2), dim=2, eps=1e-6) for each in (student, teacher))
            values.append(mean_kernel(s, s) + mean_kernel(t, t) - 2 * mean_kernel(s, t))
        return torch.stack(values).mean()


def mean_kernel(first: Tensor, second: Tensor) -> Tensor:
    """The mean of (x y)^2 over the batch and all pairs of a row x of [B, c, N] and a row y of [B, d, N]."""
    return (first @ second.mT).square().mean()
