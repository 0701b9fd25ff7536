"""A classifier whose directions are embeddings: those of the people seen last, in place of weights that are learned."""

import torch
from torch import Tensor, nn
from torch.nn import functional

NOBODY = -1


class PrototypeQueue(nn.Module):
    """`size` unit columns, each the prototype of one person, of whom the oldest make room for the next batch's (He et al.,
    "Momentum Contrast for Unsupervised Visual Representation Learning", CVPR 2020, arXiv 1911.05722).

    size: a multiple of the batch size, so that a batch never lies across the end. At the start the columns are random
    directions and belong to nobody. All that it remembers are buffers.
    """

    columns: Tensor  # float32 [D, size], each of length 1
    people: Tensor  # int64 [size]: whose columns they are, or NOBODY
    pointer: Tensor  # int64 scalar: the slot of the next batch's first prototype

    def __init__(self, embedding_size: int, size: int):
        super().__init__()
        self.register_buffer("columns", functional.normalize(torch.randn(embedding_size, size), dim=0))
        self.register_buffer("people", torch.full((size,), NOBODY, dtype=torch.int64))
        self.register_buffer("pointer", torch.zeros((), dtype=torch.int64))

    def slots(self, count: int) -> Tensor:
        """Where the prototypes of a batch of `count` people stand or will stand, int64 [count]: the batch's classes."""
        return self.pointer + torch.arange(count, device=self.pointer.device)

    def cosines(self, probes: Tensor, prototypes: Tensor) -> Tensor:
        """probes [B, D] and prototypes [B, D] of the same people -> cosines [B, size], float32, of each probe with every column,
        as if the prototypes were in the queue already. The gradient reaches the probes alone."""
        with torch.autocast(probes.device.type, enabled=False):
            return functional.normalize(probes.float()) @ self._columns_with(prototypes)

    @torch.no_grad()
    def push(self, prototypes: Tensor, people: Tensor) -> None:
        """Keep the prototypes [B, D] of `people`, int64 [B], in place of the oldest."""
        self.columns.copy_(self._columns_with(prototypes))
        self.people.index_copy_(0, self.slots(len(people)), people)
        self.pointer.copy_((self.pointer + len(people)) % len(self.people))

    @torch.no_grad()
    def _columns_with(self, prototypes: Tensor) -> Tensor:
        units = functional.normalize(prototypes.float())
        return self.columns.index_copy(1, self.slots(len(units)), units.T)
