"""The mean over all places and one linear layer, as EfficientNet has it before its classifier."""

from torch import Tensor, nn

from common.ranges import Share
from models.heads.head import Head
from models.layers.pooling import pooled


class Pool(Head):
    """Maps [B, C, h, w] of any size -> embeddings [B, D]; C * D + D parameters.

    dropout: share of the means that a training step leaves out.
    norm: a BatchNorm after the linear layer, with 2 * D parameters more.
    """

    def __init__(self, in_channels: int, embedding_size: int, dropout: Share = 0.2, norm: bool = False):
        super().__init__()
        self.dropout = nn.Dropout(dropout)
        self.linear = nn.Linear(in_channels, embedding_size)
        self.norm = nn.BatchNorm1d(embedding_size) if norm else nn.Identity()

    def features(self, maps: Tensor) -> Tensor:
        return self.dropout(pooled(maps))
