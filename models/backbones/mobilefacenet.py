"""MobileFaceNet (Chen et al., CCBR 2018, arXiv 1804.07573), with the widths of FaceX-Zoo (Wang et al., arXiv 2101.04407)."""

import math

from torch import Tensor, nn

from models.layers.convolution import Conv2d


class MobileFaceNet(nn.Module):
    """Images [B, 3, S, S] float32 -> features [B, 512]; 937,344 parameters at S = 112.

    image_size: S. The last map is weighed place by place in one convolution as large as itself, S / 16 rounded up, so
    the weights of another size do not fit.
    """

    STAGES = ((64, 128, 4, 128), (128, 256, 6, 256), (128, 512, 2, 256))
    """Of each stage: its width, the inner width of its strided bottleneck, how many residual ones follow, and theirs."""
    FEATURES = 512

    def __init__(self, image_size: int):
        super().__init__()
        width = self.STAGES[0][0]
        layers = [*_convolution(3, width, 3, stride=2), *_convolution(width, width, 3, groups=width)]
        for outputs, strided, count, inner in self.STAGES:
            layers += [Bottleneck(width, outputs, strided, stride=2)]
            layers += [Bottleneck(outputs, outputs, inner, stride=1) for _ in range(count)]
            width = outputs
        self.out_channels = self.FEATURES
        side = math.ceil(image_size / 16)
        layers += [
            *_convolution(width, self.FEATURES, 1),
            Conv2d(self.FEATURES, self.FEATURES, side, groups=self.FEATURES, bias=False),
            nn.BatchNorm2d(self.FEATURES),
        ]
        self.network = nn.Sequential(*layers)

    def forward(self, images: Tensor) -> Tensor:
        return self.network(images).flatten(1)


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
