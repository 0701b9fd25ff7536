"""Hints: the student's maps should be the teacher's."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from losses.matching import Regressors, of_one_size, of_teacher


class FitNet(nn.Module):
    """Romero et al., "FitNets: Hints for Thin Deep Nets", ICLR 2015, arXiv 1412.6550: the mean squared difference between maps
    of student and teacher, averaged over the pairs of maps. FaceX-Zoo compares the last ones, its stage 4.

    A throw-away 1x1 convolution stands behind the student's maps where the numbers of channels differ; the larger of two maps
    is averaged down to the size of the other.
    """

    def __init__(self, map_channels: list[tuple[int, int]]):
        super().__init__()
        self.regressors = Regressors(map_channels)

    def forward(self, maps: list[Tensor], teacher_maps: list[Tensor]) -> Tensor:
        """maps [B, c, h, w] each, teacher_maps [B, ct, ht, wt] each -> scalar."""
        pairs = zip(self.regressors(maps), map(of_teacher, teacher_maps), strict=True)
        return torch.stack([functional.mse_loss(*of_one_size(student, teacher)) for student, teacher in pairs]).mean()
