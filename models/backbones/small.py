"""A network of a few thousand parameters, for smoke runs and tests of everything around a network."""

from torch import Tensor, nn

from models.layers.pooling import pooled


class SmallNet(nn.Module):
    """Images [B, 3, H, W] float32 -> pooled features [B, 64]; four strided 3x3 convolutions with BatchNorm and SiLU."""

    WIDTHS = (16, 32, 64, 64)

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
        return pooled(self.network(images))
