"""Inception-ResNet-v1 (Szegedy et al., AAAI 2017, arXiv 1602.07261), as the package facenet-pytorch builds it or, without
BatchNorm, a TensorFlow project of National Taiwan University on CelebA identities."""

from collections.abc import Callable, Iterable, Sequence
from functools import partial

import torch
from torch import Tensor, nn

from common.errors import InputError
from models.backbones.backbone import Backbone
from models.layers.convolution import Conv2d


class InceptionResNetV1(Backbone):
    """Images [B, 3, H, W] float32 -> maps [B, 1792, h, w]; 22,564,096 parameters, without BatchNorm 22,549,808.

    Most strided layers do not pad: the first place takes 75 pixels and each further one, by the stride, 32 more.

    image_size: the smaller of H and W.
    blocks: residual blocks of the three kinds; one more of the last kind, without activation, ends the network.
    norm: whether a BatchNorm stands behind every convolution of a branch or of the stem. Without, they have biases, and all
        weights start as in Glorot and Bengio (AISTATS 2010), so that signals and gradients keep their size through the layers.
    """

    SMALLEST = 75
    MOST = 100  # blocks of a kind
    stride = 32
    head = {"name": "pool"}

    def __init__(self, image_size: int, blocks: Sequence[int] = (5, 10, 5), norm: bool = True):
        super().__init__()
        if len(blocks) != 3 or not all(1 <= count <= self.MOST for count in blocks):
            raise ValueError(f"blocks should be 3 numbers, each from 1 to {self.MOST}")
        if image_size < self.SMALLEST:
            raise InputError(
                f"inception_resnet_v1 takes images of at least {self.SMALLEST} pixels a side, and these have {image_size};"
                " set model.image_size (and augment.crop.side, where there is one) accordingly"
            )
        layer = partial(Convolution, norm=norm)
        self.network = nn.Sequential(
            layer(3, 32, 3, stride=2),
            layer(32, 32, 3),
            layer(32, 64, 3, padding=1),
            nn.MaxPool2d(3, stride=2),
            layer(64, 80, 1),
            layer(80, 192, 3),
            layer(192, 256, 3, stride=2),
            *(block35(layer) for _ in range(blocks[0])),
            Branches(
                layer(256, 384, 3, stride=2),
                nn.Sequential(layer(256, 192, 1), layer(192, 192, 3, padding=1), layer(192, 256, 3, stride=2)),
                nn.MaxPool2d(3, stride=2),
            ),
            *(block17(layer) for _ in range(blocks[1])),
            Branches(
                nn.Sequential(layer(896, 256, 1), layer(256, 384, 3, stride=2)),
                nn.Sequential(layer(896, 256, 1), layer(256, 256, 3, stride=2)),
                nn.Sequential(layer(896, 256, 1), layer(256, 256, 3, padding=1), layer(256, 256, 3, stride=2)),
                nn.MaxPool2d(3, stride=2),
            ),
            *(block8(layer, 0.2, nn.ReLU()) for _ in range(blocks[2])),
            block8(layer, 1.0, nn.Identity()),
        )
        self.out_channels = 1792
        if not norm:
            for module in self.modules():
                if isinstance(module, nn.Conv2d) and module.bias is not None:
                    nn.init.xavier_uniform_(module.weight)
                    nn.init.zeros_(module.bias)

    def forward(self, images: Tensor) -> Tensor:
        return self.network(images)

    def stages(self) -> dict[str, nn.Module]:
        kinds = {layer.up.out_channels: layer for layer in self.network if isinstance(layer, Residual)}  # the last of each
        return {f"stage{number}": layer for number, layer in enumerate(kinds.values(), 1)}

    def map_size(self, image_size: int) -> tuple[int, int]:
        side = (image_size - self.SMALLEST) // self.stride + 1
        return side, side


Size = int | tuple[int, int]
Layer = Callable[..., nn.Module]
"""Makes a `Convolution`, which has a BatchNorm or not."""


class Convolution(nn.Sequential):
    """[B, C, H, W] -> [B, D, H', W']: a convolution, padded only where told, BatchNorm and ReLU.

    norm: without the BatchNorm, the convolution has a bias.
    """

    def __init__(self, inputs: int, outputs: int, kernel: Size, stride: int = 1, padding: Size = 0, *, norm: bool):
        super().__init__(
            Conv2d(inputs, outputs, kernel, stride=stride, padding=padding, bias=not norm),
            *([nn.BatchNorm2d(outputs, eps=1e-3)] if norm else []),
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


def block35(layer: Layer) -> Residual:
    """For the first maps, 35 x 35 in the paper: [B, 256, H, W] -> the same."""
    branches = (
        layer(256, 32, 1),
        nn.Sequential(layer(256, 32, 1), layer(32, 32, 3, padding=1)),
        nn.Sequential(layer(256, 32, 1), layer(32, 32, 3, padding=1), layer(32, 32, 3, padding=1)),
    )
    return Residual(branches, 96, 256, scale=0.17, activation=nn.ReLU())


def block17(layer: Layer) -> Residual:
    """For the next, 17 x 17 in the paper: [B, 896, H, W] -> the same."""
    return Residual(crossed(layer, 896, 128, 7), 256, 896, scale=0.1, activation=nn.ReLU())


def block8(layer: Layer, scale: float, activation: nn.Module) -> Residual:
    """For the last, 8 x 8 in the paper: [B, 1792, H, W] -> the same."""
    return Residual(crossed(layer, 1792, 192, 3), 384, 1792, scale, activation)


def crossed(layer: Layer, inputs: int, outputs: int, length: int) -> tuple[nn.Module, nn.Module]:
    """Two branches, each [B, inputs, H, W] -> [B, outputs, H, W]: places alone, and a row of them followed by a column."""
    row = layer(outputs, outputs, (1, length), padding=(0, length // 2))
    column = layer(outputs, outputs, (length, 1), padding=(length // 2, 0))
    return layer(inputs, outputs, 1), nn.Sequential(layer(inputs, outputs, 1), row, column)
