"""The pretext model: a backbone that must tell attributes of the photograph, such as camera angle and expression."""

from collections.abc import Mapping

from torch import Tensor, nn

from models.backbones.backbone import Backbone
from models.layers.pooling import pooled


class PretextModel(nn.Module):
    """Images [B, 3, H, W] -> for each attribute its logits [B, number of values]: one linear layer each on the means over
    all places of the backbone's maps.

    sizes: number of values of each attribute; it may have any name, since no module is named after it. dropout: share of the
        means that a training step leaves out.
    """

    def __init__(self, backbone: Backbone, sizes: Mapping[str, int], dropout: float = 0.0):
        super().__init__()
        self.backbone = backbone
        self.dropout = nn.Dropout(dropout)
        self.attributes = list(sizes)
        self.heads = nn.ModuleList(nn.Linear(backbone.out_channels, size) for size in sizes.values())

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        features = self.dropout(pooled(self.backbone(images)))
        return {name: head(features) for name, head in zip(self.attributes, self.heads)}
