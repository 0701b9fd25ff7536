"""All places side by side under one large linear layer, as in ArcFace (Deng et al., CVPR 2019, arXiv 1801.07698) and for
every network of FaceX-Zoo (Wang et al., arXiv 2101.04407)."""

import torch
from torch import Tensor, nn

from common.ranges import Share
from models.heads.head import Head, running_statistics


class Flatten(Head):
    """Maps [B, C, h, w] of one size -> embeddings [B, D]: BatchNorm, dropout, linear layer, BatchNorm. The linear layer has
    C * h * w * D weights, most of what the whole network has.

    dropout: share of the values of the maps that a training step leaves out.
    maps_norm: the first BatchNorm. bias: of the linear layer. Some published networks go without one or the other.
    """

    maps_norm: nn.BatchNorm2d | nn.Identity

    def __init__(
        self,
        in_channels: int,
        map_size: tuple[int, int],
        embedding_size: int,
        dropout: Share = 0.2,
        maps_norm: bool = True,
        bias: bool = True,
    ):
        super().__init__()
        self.maps_norm = nn.BatchNorm2d(in_channels) if maps_norm else nn.Identity()
        self.dropout = nn.Dropout(dropout)
        height, width = map_size
        self.linear = nn.Linear(in_channels * height * width, embedding_size, bias=bias)
        self.norm = nn.BatchNorm1d(embedding_size)

    def features(self, maps: Tensor) -> Tensor:
        return self.dropout(self.maps_norm(maps)).flatten(1)

    @torch.no_grad()
    def fold(self) -> None:
        super().fold()
        norm = self.maps_norm
        if isinstance(norm, nn.Identity):
            return
        mean, variance = running_statistics(norm)
        scale = norm.weight * (variance + norm.eps).rsqrt()  # [C], as the next
        shift = norm.bias - mean * scale
        weight = self.linear.weight.unflatten(1, (norm.num_features, -1))  # [D, C, h * w]
        self.linear.bias.add_(weight.sum(dim=2) @ shift)
        self.linear.weight.copy_((weight * scale[:, None]).flatten(1))
        self.maps_norm = nn.Identity()
