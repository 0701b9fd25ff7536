"""Center loss: every person's embeddings gather around a learned center."""

import torch
from torch import Tensor, nn


class Center(nn.Module):
    """Wen et al., "A Discriminative Feature Learning Approach for Deep Face Recognition", ECCV 2016.

    Squared distance to the center of the own identity, summed over the D dimensions and averaged over the batch, as in
    the original Triarchy; centers are parameters and learn with the optimiser of everything else. The sum over
    dimensions makes this term large, and shrinking all embeddings is its cheapest minimum: choose its weight with the
    logged embedding norm in view.
    """

    def __init__(self, embedding_size: int, identities: int):
        super().__init__()
        self.centers = nn.Parameter(torch.randn(identities, embedding_size) / embedding_size**0.5)

    def forward(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        """embeddings [B, D] float32, labels [B] int64 -> scalar."""
        return (embeddings - self.centers[labels]).square().sum(dim=1).mean()
