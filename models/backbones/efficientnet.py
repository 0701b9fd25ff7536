"""EfficientNet-B0 (Tan and Le, ICML 2019, arXiv 1905.11946) from the package efficientnet-pytorch, without its weights."""

from efficientnet_pytorch import EfficientNet
from efficientnet_pytorch.utils import Conv2dStaticSamePadding
from torch import Tensor, nn


class EfficientNetB0(nn.Module):
    """Images [B, 3, H, W] float32 -> pooled features [B, 1280]; 4,007,548 parameters.

    image_size: side H = W in pixels; TensorFlow's "same" padding of the strided convolutions depends on it.
    drop_connect: largest drop-connect rate, growing linearly with depth.
    momentum: share of a batch in BatchNorm's running statistics. The published 0.01 is meant for long training: within a
        few hundred steps the statistics lag behind the weights, and a model that trains well validates like a random one.
    """

    def __init__(self, image_size: int, drop_connect: float = 0.2, momentum: float = 0.01):
        super().__init__()
        self.network = EfficientNet.from_name(
            "efficientnet-b0",
            image_size=image_size,
            include_top=False,
            drop_connect_rate=drop_connect,
            batch_norm_momentum=1 - momentum,  # the package counts the other way
        )
        self.out_channels = self.network._bn1.num_features
        for module in self.network.modules():
            # The same functions, computed by the tensor library's own kernels, which are faster on a CPU.
            if hasattr(module, "_swish"):
                module._swish = nn.SiLU()
            if isinstance(module, Conv2dStaticSamePadding):
                _fold_padding(module)

    def forward(self, images: Tensor) -> Tensor:
        return self.network.extract_features(images).mean(dim=(2, 3))


def _fold_padding(convolution: Conv2dStaticSamePadding) -> None:
    """Let the convolution pad by itself where "same" padding is symmetric, which saves a copy of the map."""
    if isinstance(convolution.static_padding, nn.ZeroPad2d):
        left, right, top, bottom = convolution.static_padding.padding
        if left == right == top == bottom:
            convolution.static_padding = nn.Identity()
            convolution.padding = (top, left)
