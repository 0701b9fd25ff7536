"""The pretext model: a backbone that must tell attributes of the photograph, such as camera angle and expression."""

from collections.abc import Mapping

from torch import Tensor, nn


class PretextModel(nn.Module):
    """Images [B, 3, H, W] -> for each attribute its logits [B, number of values]: one linear head on shared features.

    sizes: number of values of each attribute.
    """

    def __init__(self, backbone: nn.Module, sizes: Mapping[str, int], dropout: float = 0.0):
        super().__init__()
        self.backbone = backbone
        self.dropout = nn.Dropout(dropout)
        self.heads = nn.ModuleDict({name: nn.Linear(backbone.out_channels, size) for name, size in sizes.items()})

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        features = self.dropout(self.backbone(images))
        return {name: head(features) for name, head in self.heads.items()}
