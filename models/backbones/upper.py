"""The upper part of a face alone, which a mask leaves bare: FaceX-Zoo (Wang et al., arXiv 2101.04407) reads 60 rows of 112."""

from torch import Tensor, nn

from models.backbones.backbone import Backbone

ROWS, OF = 15, 28  # 60 of 112 pixels


def upper_rows(side: int) -> int:
    """Rows of the upper part of an image of `side` pixels, rounded down."""
    return side * ROWS // OF


class UpperPart(Backbone):
    """Images [B, 3, S, S] float32 -> maps [B, out_channels, h, w] that `whole` makes of their upper rows."""

    def __init__(self, whole: Backbone):
        super().__init__()
        self.whole = whole
        self.out_channels, self.stride, self.head = whole.out_channels, whole.stride, whole.head  # type: ignore[misc]

    def forward(self, images: Tensor) -> Tensor:
        return self.whole(images[:, :, : upper_rows(images.shape[2])])

    def stages(self) -> dict[str, nn.Module]:
        return self.whole.stages()

    def map_size(self, image_size: int) -> tuple[int, int]:
        return self.whole.map_size(upper_rows(image_size))[0], self.whole.map_size(image_size)[1]
