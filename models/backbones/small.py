"""A network of a few thousand parameters, for smoke runs and tests of everything around a network."""

from torch import Tensor, nn

from models.backbones.backbone import Backbone


class SmallNet(Backbone):
    """Images [B, 3, H, W] float32 -> maps [B, 64, H / 16, W / 16]; four strided 3x3 convolutions with BatchNorm and SiLU."""

    WIDTHS = (16, 32, 64, 64)
    stride = 16
    head = {"name": "pool"}

    def __init__(self):
        super().__init__()
        layers = []
        channels = 3
        for width in self.WIDTHS:
            layers += [nn.Conv2d(channels, width, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(width), nn.SiLU()]
            channels = width
        self.network = nn.Sequential(*layers)
        self.out_channels = channels

    def forward(self, images: Tensor) -> Tensor:
        return self.network(images)

    def stages(self) -> dict[str, nn.Module]:
        activations = [layer for layer in self.network if isinstance(layer, nn.SiLU)]
        return {f"stage{number}": layer for number, layer in enumerate(activations, 1)}
