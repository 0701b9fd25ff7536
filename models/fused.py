"""Several embedders as one: their embeddings side by side, each of unit length."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.network_input import resized


class Fused(nn.Module):
    """Images [B, 3, S, S] float32 in [-1, 1] -> embeddings [B, D1 + D2 + ...] of unit length, whose cosine is the mean of the
    cosines of the members' embeddings (as FaceX-Zoo fuses two networks for masked faces: Wang et al., arXiv 2101.04407).

    sides: of the images that the members read, the largest of which is S; to the others the images come smaller, as
    `network_input.resized` makes them.
    """

    def __init__(self, members: Sequence[nn.Module], sides: Sequence[int]):
        super().__init__()
        self.members = nn.ModuleList(members)
        self.image_size = max(sides)
        for place, side in enumerate(sides):  # which is linear: a product with a matrix from either side, in every runtime
            self.register_buffer(f"smaller_{place}", shrinking(self.image_size, side), persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        parts = []
        for place, member in enumerate(self.members):
            smaller = getattr(self, f"smaller_{place}")
            seen = images if smaller is None else smaller @ images @ smaller.T
            parts.append(functional.normalize(member(seen)))
        return torch.cat(parts, dim=1) / len(parts) ** 0.5


def shrinking(size: int, side: int) -> Tensor | None:
    """What `resized` does to a column of `size` pixels, float32 [side, size]; None where it leaves it as it is."""
    if side == size:
        return None
    columns = torch.eye(size)[:, None, :, None].expand(-1, 1, -1, size)  # [size, 1, size, size]: images of equal columns
    return resized(columns.contiguous(), side)[:, 0, :, 0].T.contiguous()
