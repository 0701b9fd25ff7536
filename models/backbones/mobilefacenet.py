"""MobileFaceNet (Chen et al., CCBR 2018, arXiv 1804.07573), with the widths of FaceX-Zoo (Wang et al., arXiv 2101.04407)."""

from torch import Tensor, nn

from models.backbones.backbone import Backbone
from models.layers.blocks import InvertedResidual, convolution


class MobileFaceNet(Backbone):
    """Images [B, 3, H, W] float32 -> maps [B, 512, H / 16, W / 16]; 911,232 parameters, with its published head and 512
    dimensions 1,200,512 at 112 pixels."""

    STAGES = ((64, 128, 4, 128), (128, 256, 6, 256), (128, 512, 2, 256))
    """Of each stage: its width, the inner width of its strided bottleneck, how many residual ones follow, and theirs."""
    stride = 16
    head = {"name": "depthwise"}

    def __init__(self):
        super().__init__()
        width = self.STAGES[0][0]
        layers = [*convolution(3, width, 3, 2, activation=nn.PReLU), *convolution(width, width, 3, 1, width, nn.PReLU)]
        for outputs, strided, count, inner in self.STAGES:
            layers += [InvertedResidual(width, outputs, strided, 3, 2, nn.PReLU)]
            layers += [InvertedResidual(outputs, outputs, inner, 3, 1, nn.PReLU) for _ in range(count)]
            width = outputs
        self.out_channels = 512
        self.network = nn.Sequential(*layers, *convolution(width, self.out_channels, 1, activation=nn.PReLU))

    def forward(self, images: Tensor) -> Tensor:
        return self.network(images)

    def stages(self) -> dict[str, nn.Module]:
        strided = [
            place for place, layer in enumerate(self.network) if isinstance(layer, InvertedResidual) and not layer.residual
        ]
        ends = [place + count for place, (*_, count, _) in zip(strided, self.STAGES, strict=True)]
        return {**{f"stage{number}": self.network[end] for number, end in enumerate(ends, 1)}, "last": self.network[-1]}
