"""Residual attention networks (Wang et al., CVPR 2017, arXiv 1704.06904) in the form of FaceX-Zoo (Wang et al., arXiv
2101.04407), without a pooling after the first convolution."""

from collections.abc import Sequence

from pydantic import PositiveInt
from torch import Tensor, nn
from torch.nn import functional

from models.backbones.backbone import Backbone
from models.layers.convolution import Conv2d


class AttentionNet(Backbone):
    """Images [B, 3, H, W] float32 -> maps [B, 32 * width, H / 16, W / 16]; 29,757,632 parameters, with its published
    head and 512 dimensions 81,138,880 at 112 pixels. FaceX-Zoo's has 17,825,792 more in shortcuts that it never runs.

    modules: attention modules of the three stages that have some: 1, 1, 1 is Attention-56, and 1, 2, 3 is Attention-92.
    width: channels after the first convolution; the stages have 4, 8, 16 and 32 times as many.
    """

    DEPTHS = (3, 2, 1)
    """How often the mask of a module halves the map, in the three stages."""
    MOST = 100  # modules of a stage
    stride = 16
    head = {"name": "flatten", "dropout": 0.0, "maps_norm": False, "bias": False}

    def __init__(self, modules: Sequence[int] = (1, 1, 1), width: PositiveInt = 64):
        super().__init__()
        if len(modules) != len(self.DEPTHS) or not all(1 <= count <= self.MOST for count in modules):
            raise ValueError(f"modules should be {len(self.DEPTHS)} numbers, each from 1 to {self.MOST}")
        self.stem = nn.Sequential(Conv2d(3, width, 7, stride=2, padding=3, bias=False), nn.BatchNorm2d(width), nn.ReLU())
        stages, inputs = [], width
        for number, (count, depth) in enumerate(zip(modules, self.DEPTHS)):
            outputs = 4 * width * 2**number
            shrink = Residual(inputs, outputs, stride=2 if number else 1)
            stages.append(nn.Sequential(shrink, *(Attention(outputs, depth) for _ in range(count))))
            inputs = outputs
        self.out_channels = 2 * inputs
        last = nn.Sequential(Residual(inputs, self.out_channels, stride=2), *residuals(self.out_channels, 2))
        self.network = nn.Sequential(*stages, last)

    def forward(self, images: Tensor) -> Tensor:
        return self.network(self.stem(images))

    def stages(self) -> dict[str, nn.Module]:
        return {f"stage{number}": stage for number, stage in enumerate(self.network, 1)}


class Residual(nn.Module):
    """[B, C, H, W] -> [B, D, H / stride, W / stride]: a bottleneck whose BatchNorms and ReLUs stand ahead of its convolutions
    (He et al., ECCV 2016, arXiv 1603.05027). Where the shapes differ, what is added is a 1x1 convolution of the input behind
    the first of them."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1):
        super().__init__()
        inner = outputs // 4
        self.activate = nn.Sequential(nn.BatchNorm2d(inputs), nn.ReLU())
        self.residual = nn.Sequential(
            Conv2d(inputs, inner, 1, bias=False),
            nn.BatchNorm2d(inner),
            nn.ReLU(),
            Conv2d(inner, inner, 3, stride=stride, padding=1, bias=False),
            nn.BatchNorm2d(inner),
            nn.ReLU(),
            Conv2d(inner, outputs, 1, bias=False),
        )
        self.shortcut = Conv2d(inputs, outputs, 1, stride=stride, bias=False) if inputs != outputs or stride > 1 else None

    def forward(self, images: Tensor) -> Tensor:
        active = self.activate(images)
        return self.residual(active) + (images if self.shortcut is None else self.shortcut(active))


def residuals(width: int, count: int) -> list[nn.Module]:
    return [Residual(width, width) for _ in range(count)]


class Attention(nn.Module):
    """[B, C, H, W] -> the same: a trunk of residual units, each value of which is weighed with 1 to 2 by a mask that sees far
    around it, since it comes from maps of half the size, and again half, `depth` times."""

    def __init__(self, width: int, depth: int):
        super().__init__()
        self.first, self.last = Residual(width, width), Residual(width, width)
        self.trunk = nn.Sequential(*residuals(width, 2))
        self.around = Around(width, depth)
        weigh = []
        for _ in range(2):
            weigh += [nn.BatchNorm2d(width), nn.ReLU(), Conv2d(width, width, 1, bias=False)]
        self.weigh = nn.Sequential(*weigh, nn.Sigmoid())

    def forward(self, images: Tensor) -> Tensor:
        images = self.first(images)
        trunk = self.trunk(images)
        mask = self.weigh(enlarged(self.around(images), trunk) + trunk)
        return self.last((1 + mask) * trunk)


class Around(nn.Module):
    """[B, C, H, W] -> [B, C, H / 2, W / 2], rounded up: the map pooled and, `depth` - 1 times, what comes of that pooled again
    added to it, enlarged to its size."""

    down: nn.Module

    def __init__(self, width: int, depth: int):
        super().__init__()
        self.pool = nn.MaxPool2d(3, stride=2, padding=1)
        if depth == 1:
            self.down = nn.Sequential(*residuals(width, 2))
            self.deeper = None
        else:
            self.down, self.skip, self.up = residuals(width, 3)
            self.deeper = Around(width, depth - 1)

    def forward(self, images: Tensor) -> Tensor:
        small = self.down(self.pool(images))
        if self.deeper is None:
            return small
        return self.up(enlarged(self.deeper(small), small) + small + self.skip(small))


def enlarged(images: Tensor, like: Tensor) -> Tensor:
    """[B, C, h, w] -> [B, C, H, W], the size of `like`, bilinearly; corners fall on corners."""
    return functional.interpolate(images, size=like.shape[2:], mode="bilinear", align_corners=True)
