"""A convolution as large as the map, which weighs every place: channel by channel as in MobileFaceNet (Chen et al., CCBR 2018,
arXiv 1804.07573) and PocketNet (Boutros et al., arXiv 2108.10710), in groups as in VarGFaceNet (Yan et al., ICCV Workshops
2019, arXiv 1910.04985)."""

from typing import Annotated

from pydantic import Field, PositiveInt
from torch import Tensor, nn

from common.ranges import Share
from models.heads.head import Head
from models.layers.blocks import convolution
from models.layers.convolution import Conv2d


class Depthwise(Head):
    """Maps [B, C, h, w] of one size -> embeddings [B, D]: depthwise convolution, BatchNorm, linear layer, BatchNorm;
    C * h * w + 2 * C + C * D + 2 * D parameters.

    dropout: share of the values ahead of the last linear layer that a training step leaves out; published without.
    group: channels that the convolution filters together, with as many times the weights; it divides C.
    inner: channels of a 1x1 convolution with BatchNorm and PReLU ahead of the linear layer, which then reads these; 0: none.
    bias: of the linear layer.
    """

    def __init__(
        self,
        in_channels: int,
        map_size: tuple[int, int],
        embedding_size: int,
        dropout: Share = 0.0,
        group: PositiveInt = 1,
        inner: Annotated[int, Field(ge=0, le=8192)] = 0,
        bias: bool = False,
    ):
        super().__init__()
        if in_channels % group:
            raise ValueError(f"group is {group}; it should divide the {in_channels} channels of the maps")
        self.depthwise = Conv2d(in_channels, in_channels, map_size, groups=in_channels // group, bias=False)
        self.maps_norm = nn.BatchNorm2d(in_channels)
        self.inner = nn.Sequential(*(convolution(in_channels, inner, 1, activation=nn.PReLU) if inner else ()))
        self.dropout = nn.Dropout(dropout)
        self.linear = nn.Linear(inner or in_channels, embedding_size, bias=bias)
        self.norm = nn.BatchNorm1d(embedding_size)

    def features(self, maps: Tensor) -> Tensor:
        return self.dropout(self.inner(self.maps_norm(self.depthwise(maps))).flatten(1))
