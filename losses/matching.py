"""What the losses share that compare a student with its teacher: throw-away layers, rows of unit length, maps of one size."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from losses.cosine_classifier import at_least_float32

SHORTEST = 1e-6  # a row of this length or less counts as one without a direction


def of_teacher(values: Tensor) -> Tensor:
    """What the teacher said, float32 and constant."""
    return at_least_float32(values.detach())


def unit_rows(values: Tensor) -> Tensor:
    """values [B, ...] -> [B, N] float32, flattened and of length 1, or less where they were shorter than 1e-6."""
    return functional.normalize(at_least_float32(values).flatten(1), eps=SHORTEST)


def others(matrix: Tensor) -> Tensor:
    """[B, B] -> [B, B - 1]: every row without its element on the diagonal."""
    count = len(matrix)
    return matrix.flatten()[1:].view(count - 1, count + 1)[:, :-1].reshape(count, count - 1)


class Projection(nn.Module):
    """A linear layer between embeddings of the student and of the teacher, where their sizes differ or `always` says so.

    It is needed for training only and never ships.
    """

    def __init__(self, embedding_size: int, teacher_size: int, always: bool):
        super().__init__()
        needed = always or embedding_size != teacher_size
        self.layer = nn.Linear(embedding_size, teacher_size) if needed else nn.Identity()

    def forward(self, embeddings: Tensor) -> Tensor:
        """embeddings [B, D] -> [B, teacher_size] float32"""
        return self.layer(at_least_float32(embeddings))


class Regressors(nn.Module):
    """For every pair of maps a 1x1 convolution from the student's number of channels to the teacher's where they differ, as
    the regressor of FitNets. They are needed for training only and never ship.

    map_channels: the student's and the teacher's number of channels for each pair.
    """

    def __init__(self, map_channels: Sequence[tuple[int, int]]):
        super().__init__()
        self.layers = nn.ModuleList(
            nn.Identity() if student == teacher else nn.Conv2d(student, teacher, 1) for student, teacher in map_channels
        )

    def forward(self, maps: Sequence[Tensor]) -> list[Tensor]:
        """maps [B, c, h, w] each -> [B, ct, h, w] float32 each"""
        return [layer(at_least_float32(each)) for layer, each in zip(self.layers, maps, strict=True)]


def of_one_size(first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
    """Maps [B, c, h, w] and [B, d, k, l], each averaged down to min(h, k) x min(w, l) places."""
    height, width = min(first.shape[2], second.shape[2]), min(first.shape[3], second.shape[3])
    return shrunk(first, height, width), shrunk(second, height, width)


def shrunk(maps: Tensor, height: int, width: int) -> Tensor:
    """maps [B, c, h, w] -> [B, c, height, width], adaptive average pooling.

    It is written as products of matrices because the gradient of torch's own differs from run to run on a GPU, which the
    training does not allow.
    """
    if maps.shape[2:] == (height, width):
        return maps
    return pooling(maps.shape[2], height, maps) @ maps @ pooling(maps.shape[3], width, maps).T


def pooling(size: int, count: int, like: Tensor) -> Tensor:
    """[count, size], whose rows average the places from floor(i size / count) up to ceil((i + 1) size / count)."""
    row = torch.arange(count, device=like.device)[:, None]
    place = torch.arange(size, device=like.device)
    inside = (place >= row * size // count) & (place < ((row + 1) * size + count - 1) // count)
    return inside.to(like.dtype) / inside.sum(dim=1, keepdim=True)
