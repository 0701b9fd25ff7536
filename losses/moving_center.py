"""Center loss whose centers are moving averages, apart from the optimiser."""

from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor, nn


class MovingCenter(nn.Module):
    """Wen et al., "A Discriminative Feature Learning Approach for Deep Face Recognition", ECCV 2016, as the NTU teacher-student
    system has it: the squared difference from the center of the own identity, averaged over the batch and the D dimensions.

    At every training step, after the loss is computed, each image moves its person's center by `rate` of its difference from
    it. Centers are a buffer and start at 0. With n images of a person in a batch a center goes n * rate of the way to their
    mean, and would swing ever further from 2 on.
    """

    centers: Tensor

    def __init__(self, embedding_size: int, identities: int, rate: Annotated[float, Field(gt=0.0, le=1.0)] = 0.05):
        super().__init__()
        self.register_buffer("centers", torch.zeros(identities, embedding_size))
        self.rate = rate

    def forward(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        """embeddings [B, D] float32, labels [B] int64 -> scalar."""
        differences = embeddings - self.centers[labels]
        if self.training:
            self.centers.index_add_(0, labels, differences.detach(), alpha=self.rate)
        return differences.square().mean()
