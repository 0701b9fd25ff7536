"""EfficientNet-B0 (Tan and Le, ICML 2019, arXiv 1905.11946) from the package efficientnet-pytorch, without its weights."""

from itertools import accumulate
from typing import Literal

import torch
from efficientnet_pytorch import EfficientNet
from efficientnet_pytorch.model import MBConvBlock
from efficientnet_pytorch.utils import Conv2dStaticSamePadding, drop_connect
from torch import Tensor, nn

from common.ranges import Share
from models.backbones.backbone import Backbone
from models.layers.convolution import Conv2d, Pad
from models.layers.pooling import squeezed


class EfficientNetB0(Backbone):
    """Images [B, 3, H, W] float32 -> maps [B, 1280, H / 32, W / 32]; 4,007,548 parameters.

    image_size: side H = W in pixels, or (H, W); TensorFlow's "same" padding of the strided convolutions depends on it.
    drop_connect: largest drop-connect rate, growing linearly with depth.
    momentum: share of a batch in BatchNorm's running statistics. The published 0.01 is meant for long training: within a
        few hundred steps the statistics lag behind the weights, and a model that trains well validates like a random one.
    stem_stride: of the first convolution. 1 is for images of 112 pixels a side: maps [B, 1280, H / 16, W / 16], which FaceX-Zoo
        (Wang et al., arXiv 2101.04407) reads with the head `flatten`. Paddings are those of the true sizes, where FaceX-Zoo
        reckons with half of them.
    """

    BLOCKS = (1, 2, 2, 3, 3, 4, 1)  # of the seven stages
    head = {"name": "pool"}
    rectangles = True

    def __init__(
        self,
        image_size: int | tuple[int, int],
        drop_connect: Share = 0.2,
        momentum: Share = 0.01,
        stem_stride: Literal[1, 2] = 2,
    ):
        super().__init__()
        sides = (image_size, image_size) if isinstance(image_size, int) else image_size
        self.network = EfficientNet.from_name(
            "efficientnet-b0",
            image_size=[side * 2 // stem_stride for side in sides],  # the package halves it behind the first convolution
            include_top=False,
            drop_connect_rate=drop_connect,
            batch_norm_momentum=1 - momentum,  # the package counts the other way
        )
        self.out_channels, self.stride = self.network._bn1.num_features, 16 * stem_stride
        if stem_stride == 1:
            self.network._conv_stem.stride, self.network._conv_stem.static_padding = (1, 1), nn.ZeroPad2d(1)
        # The same functions, computed by kernels that are faster on a CPU.
        self.network._blocks = nn.ModuleList(Block(block) for block in self.network._blocks)
        for module in list(self.network.modules()):
            if hasattr(module, "_swish"):
                module._swish = nn.SiLU()
            for name, child in module.named_children():
                if isinstance(child, Conv2dStaticSamePadding):
                    setattr(module, name, SameConv2d(child))

    def forward(self, images: Tensor) -> Tensor:
        return self.network.extract_features(images)

    def stages(self) -> dict[str, nn.Module]:
        blocks = {f"stage{number}": self.network._blocks[end - 1] for number, end in enumerate(accumulate(self.BLOCKS), 1)}
        return {**blocks, "last": self}  # the last activation has no module of its own: the stem's is used again


class Block(MBConvBlock):
    """An inverted residual block of the package with its parts, squeezed and excited with a cheaper gradient."""

    def __init__(self, block: MBConvBlock):
        nn.Module.__init__(self)
        self.__dict__.update(vars(block))  # the parts are there already

    def forward(self, inputs: Tensor, drop_connect_rate: float = 0.0) -> Tensor:
        """[B, C, H, W] -> [B, D, H', W']"""
        images, shape = inputs, self._block_args
        if shape.expand_ratio != 1:
            images = self._swish(self._bn0(self._expand_conv(images)))
        images = self._swish(self._bn1(self._depthwise_conv(images)))
        means, images = squeezed(images)
        images = images * torch.sigmoid(self._se_expand(self._swish(self._se_reduce(means))))
        images = self._bn2(self._project_conv(images))
        if shape.stride == 1 and shape.input_filters == shape.output_filters:
            images = drop_connect(images, drop_connect_rate, self.training) if drop_connect_rate else images
            images = images + inputs
        return images


class SameConv2d(Conv2d):
    """A convolution of the package with its weights, padding by itself wherever TensorFlow's "same" padding is symmetric."""

    def __init__(self, convolution: Conv2dStaticSamePadding):
        left, right, top, bottom = getattr(convolution.static_padding, "padding", (0, 0, 0, 0))  # none is an Identity
        symmetric = left == right and top == bottom
        super().__init__(
            convolution.in_channels,
            convolution.out_channels,
            convolution.kernel_size,
            stride=convolution.stride,
            padding=(top, left) if symmetric else 0,
            groups=convolution.groups,
            bias=False,
            device="meta",  # the weights are there already
        )
        self.weight, self.bias = convolution.weight, convolution.bias
        self.before = nn.Identity() if symmetric else convolution.static_padding

    def forward(self, images: Tensor) -> Tensor:
        if torch.is_grad_enabled() and isinstance(self.before, nn.ZeroPad2d):
            return super().forward(Pad.apply(images, *self.before.padding))
        return super().forward(self.before(images))
