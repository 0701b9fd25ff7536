"""A depthwise convolution as large as the map, which weighs every place, as in MobileFaceNet (Chen et al., CCBR 2018, arXiv
1804.07573) and PocketNet (Boutros et al., arXiv 2108.10710)."""

from torch import Tensor, nn

from common.ranges import Share
from models.heads.head import Head
from models.layers.convolution import Conv2d


class Depthwise(Head):
    """Maps [B, C, h, w] of one size -> embeddings [B, D]: depthwise convolution, BatchNorm, linear layer without bias,
    BatchNorm; C * h * w + 2 * C + C * D + 2 * D parameters.

    dropout: share of the values ahead of the linear layer that a training step leaves out; published without.
    """

    def __init__(self, in_channels: int, map_size: tuple[int, int], embedding_size: int, dropout: Share = 0.0):
        super().__init__()
        self.depthwise = Conv2d(in_channels, in_channels, map_size, groups=in_channels, bias=False)
        self.maps_norm = nn.BatchNorm2d(in_channels)
        self.dropout = nn.Dropout(dropout)
        self.linear = nn.Linear(in_channels, embedding_size, bias=False)
        self.norm = nn.BatchNorm1d(embedding_size)

    def features(self, maps: Tensor) -> Tensor:
        return self.dropout(self.maps_norm(self.depthwise(maps)).flatten(1))
