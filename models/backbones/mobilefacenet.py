"""MobileFaceNet (Chen et al., CCBR 2018, arXiv 1804.07573), with the widths of FaceX-Zoo (Wang et al., arXiv 2101.04407)."""

from torch import Tensor, nn

from models.backbones.backbone import Backbone
from models.layers.convolution import Conv2d


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
        layers = [*_convolution(3, width, 3, stride=2), *_convolution(width, width, 3, groups=width)]
        for outputs, strided, count, inner in self.STAGES:
            layers += [Bottleneck(width, outputs, strided, stride=2)]
            layers += [Bottleneck(outputs, outputs, inner, stride=1) for _ in range(count)]
            width = outputs
        self.out_channels = 512
        self.network = nn.Sequential(*layers, *_convolution(width, self.out_channels, 1))

    def forward(self, images: Tensor) -> Tensor:
        return self.network(images)

    def stages(self) -> dict[str, nn.Module]:
        strided = [place for place, layer in enumerate(self.network) if isinstance(layer, Bottleneck) and not layer.residual]
        ends = [place + count for place, (*_, count, _) in zip(strided, self.STAGES, strict=True)]
        return {**{f"stage{number}": self.network[end] for number, end in enumerate(ends, 1)}, "last": self.network[-1]}


class Bottleneck(nn.Sequential):
    """[B, C, H, W] -> [B, D, H / stride, W / stride]: widened, filtered channel by channel, narrowed without activation
    (Sandler et al., CVPR 2018, arXiv 1801.04381). With stride 1, where C = D, the input is added."""

    def __init__(self, inputs: int, outputs: int, inner: int, stride: int):
        super().__init__(
            *_convolution(inputs, inner, 1),
            *_convolution(inner, inner, 3, stride=stride, groups=inner),
            Conv2d(inner, outputs, 1, bias=False),
            nn.BatchNorm2d(outputs),
        )
        self.residual = stride == 1

    def forward(self, images: Tensor) -> Tensor:
        return images + super().forward(images) if self.residual else super().forward(images)


def _convolution(inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1) -> tuple[nn.Module, ...]:
    """A convolution that keeps the map's size but for its stride, BatchNorm, and PReLU with a slope per channel."""
    convolution = Conv2d(inputs, outputs, kernel, stride=stride, padding=kernel // 2, groups=groups, bias=False)
    return convolution, nn.BatchNorm2d(outputs), nn.PReLU(outputs)
