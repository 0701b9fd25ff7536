"""Inception-ResNet-v1 (Szegedy et al., AAAI 2017, arXiv 1602.07261), as the package facenet-pytorch builds it."""

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn

from common.errors import InputError
from models.backbones.backbone import Backbone
from models.layers.convolution import Conv2d


class InceptionResNetV1(Backbone):
    """Images [B, 3, H, W] float32 -> maps [B, 1792, h, w]; 22,564,096 parameters.

    Most strided layers do not pad: the first place takes 75 pixels and each further one, by the stride, 32 more.

    image_size: the smaller of H and W.
    blocks: residual blocks of the three kinds; one more of the last kind, without activation, ends the network.
    """

    SMALLEST = 75
    MOST = 100  # blocks of a kind
    stride = 32
    head = {"name": "pool"}

    def __init__(self, image_size: int, blocks: Sequence[int] = (5, 10, 5)):
        super().__init__()
        if len(blocks) != 3 or not all(1 <= count <= self.MOST for count in blocks):
            raise ValueError(f"blocks should be 3 numbers, each from 1 to {self.MOST}")
        if image_size < self.SMALLEST:
            raise InputError(
                f"inception_resnet_v1 takes images of at least {self.SMALLEST} pixels a side, and these have {image_size};"
                " set model.image_size (and augment.crop.side, where there is one) accordingly"
            )
        self.network = nn.Sequential(
            Convolution(3, 32, 3, stride=2),
            Convolution(32, 32, 3),
            Convolution(32, 64, 3, padding=1),
            nn.MaxPool2d(3, stride=2),
            Convolution(64, 80, 1),
            Convolution(80, 192, 3),
            Convolution(192, 256, 3, stride=2),
            *(block35() for _ in range(blocks[0])),
            Branches(
                Convolution(256, 384, 3, stride=2),
                nn.Sequential(Convolution(256, 192, 1), Convolution(192, 192, 3, padding=1), Convolution(192, 256, 3, stride=2)),
                nn.MaxPool2d(3, stride=2),
            ),
            *(block17() for _ in range(blocks[1])),
            Branches(
                nn.Sequential(Convolution(896, 256, 1), Convolution(256, 384, 3, stride=2)),
                nn.Sequential(Convolution(896, 256, 1), Convolution(256, 256, 3, stride=2)),
                nn.Sequential(Convolution(896, 256, 1), Convolution(256, 256, 3, padding=1), Convolution(256, 256, 3, stride=2)),
                nn.MaxPool2d(3, stride=2),
            ),
            *(block8(0.2, nn.ReLU()) for _ in range(blocks[2])),
            block8(1.0, nn.Identity()),
        )
        self.out_channels = 1792

    def forward(self, images: Tensor) -> Tensor:
        return self.network(images)

    def stages(self) -> dict[str, nn.Module]:
        kinds = {layer.up.out_channels: layer for layer in self.network if isinstance(layer, Residual)}  # the last of each
        return {f"stage{number}": layer for number, layer in enumerate(kinds.values(), 1)}

    def map_size(self, image_size: int) -> tuple[int, int]:
        side = (image_size - self.SMALLEST) // self.stride + 1
        return side, side


class Convolution(nn.Sequential):
    """[B, C, H, W] -> [B, D, H', W']: a convolution, padded only where told, BatchNorm and ReLU."""

    def __init__(
        self, inputs: int, outputs: int, kernel: int | tuple[int, int], stride: int = 1, padding: int | tuple[int, int] = 0
    ):
        super().__init__(
            Conv2d(inputs, outputs, kernel, stride=stride, padding=padding, bias=False),
            nn.BatchNorm2d(outputs, eps=1e-3),
            nn.ReLU(),
        )


class Branches(nn.ModuleList):
    """[B, C, H, W] -> [B, D, H', W']: what each branch makes of the input, one after the other along the channels."""

    def __init__(self, *branches: nn.Module):
        super().__init__(branches)

    def forward(self, images: Tensor) -> Tensor:
        return torch.cat([branch(images) for branch in self], dim=1)


class Residual(nn.Module):
    """[B, C, H, W] -> the same, plus `scale` times what the branches, D channels together, add to it.

    scale: small, since with more than a thousand channels unscaled sums let the network die early (section 3.3 of the paper).
    """

    def __init__(self, branches: Iterable[nn.Module], inner: int, channels: int, scale: float, activation: nn.Module):
        super().__init__()
        self.branches = Branches(*branches)
        self.up = Conv2d(inner, channels, 1)
        self.scale = scale
        self.activation = activation

    def forward(self, images: Tensor) -> Tensor:
        return self.activation(images + self.scale * self.up(self.branches(images)))


def block35() -> Residual:
    """For the first maps, 35 x 35 in the paper: [B, 256, H, W] -> the same."""
    branches = (
        Convolution(256, 32, 1),
        nn.Sequential(Convolution(256, 32, 1), Convolution(32, 32, 3, padding=1)),
        nn.Sequential(Convolution(256, 32, 1), Convolution(32, 32, 3, padding=1), Convolution(32, 32, 3, padding=1)),
    )
    return Residual(branches, 96, 256, scale=0.17, activation=nn.ReLU())


def block17() -> Residual:
    """For the next, 17 x 17 in the paper: [B, 896, H, W] -> the same."""
    return Residual(crossed(896, 128, 7), 256, 896, scale=0.1, activation=nn.ReLU())


def block8(scale: float, activation: nn.Module) -> Residual:
    """For the last, 8 x 8 in the paper: [B, 1792, H, W] -> the same."""
    return Residual(crossed(1792, 192, 3), 384, 1792, scale, activation)


def crossed(inputs: int, outputs: int, length: int) -> tuple[nn.Module, nn.Module]:
    """Two branches, each [B, inputs, H, W] -> [B, outputs, H, W]: places alone, and a row of them followed by a column."""
    row = Convolution(outputs, outputs, (1, length), padding=(0, length // 2))
    column = Convolution(outputs, outputs, (length, 1), padding=(length // 2, 0))
    return Convolution(inputs, outputs, 1), nn.Sequential(Convolution(inputs, outputs, 1), row, column)
