"""FSP: how the maps of one stage become those of the next."""

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from common.errors import InputError
from losses.matching import Regressors, of_one_size, of_teacher


class FSP(nn.Module):
    """Yim et al., "A Gift from Knowledge Distillation: Fast Optimization, Network Minimization and Transfer Learning", CVPR
    2017: the flow of the solution procedure.

    The flow from one map to the next is the matrix [c, d] of the products of their channels, averaged over the places; the
    larger map is averaged down to the size of the other, as in FaceX-Zoo. The loss is the mean squared difference between
    the student's and the teacher's matrices, averaged over the steps from map to map, of which FaceX-Zoo has three.

    The matrices have to be of one size: where student and teacher have different numbers of channels, a throw-away 1x1
    convolution stands behind the student's map. Raises InputError for fewer than two maps.
    """

    def __init__(self, map_channels: list[tuple[int, int]]):
        super().__init__()
        if len(map_channels) < 2:
            raise InputError("loss term 'fsp' looks at steps from map to map, and there is only one map; name at least two")
        self.regressors = Regressors(map_channels)

    def forward(self, maps: list[Tensor], teacher_maps: list[Tensor]) -> Tensor:
        """maps [B, c, h, w] each, teacher_maps [B, ct, ht, wt] each, in the order of the network -> scalar."""
        pairs = zip(flows(self.regressors(maps)), flows([of_teacher(each) for each in teacher_maps]), strict=True)
        return torch.stack([functional.mse_loss(student, teacher) for student, teacher in pairs]).mean()


def flows(maps: Sequence[Tensor]) -> list[Tensor]:
    """Maps [B, c, h, w] -> a matrix [B, c, d] for each step from one map to the next."""
    sized = [of_one_size(first, second) for first, second in pairwise(maps)]
    return [first.flatten(2) @ second.flatten(2).mT / second[0, 0].numel() for first, second in sized]
