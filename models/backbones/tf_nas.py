"""TF-NAS-A (Hu et al., ECCV 2020, arXiv 2008.05314), a searched network, in the form of FaceX-Zoo (Wang et al., arXiv
2101.04407), whose first convolution keeps the size of the image."""

from torch import Tensor, nn

from models.backbones.backbone import Backbone
from models.layers.blocks import InvertedResidual, convolution, relu, silu


class TFNASA(Backbone):
    """Images [B, 3, H, W] float32 -> maps [B, 1280, H / 16, W / 16]; 7,476,527 parameters, with its published head and 512
    dimensions 39,590,703 at 112 pixels."""

    STAGES = (
        ((83, 32, 24, 3, 2), (128, 0, 24, 5, 1)),
        ((138, 48, 40, 3, 2), (297, 0, 40, 3, 1), (170, 80, 40, 5, 1)),
        ((248, 80, 80, 5, 2), (500, 0, 80, 3, 1), (424, 0, 80, 3, 1), (477, 0, 80, 3, 1)),
        ((504, 160, 112, 3, 1), (796, 0, 112, 3, 1), (723, 224, 112, 3, 1), (555, 224, 112, 3, 1)),
        ((813, 0, 192, 3, 2), (1370, 0, 192, 3, 1), (1138, 384, 192, 3, 1), (1359, 384, 192, 3, 1)),
        ((1203, 384, 320, 5, 1),),
    )
    """Of each block that the search found: inner width, hidden channels of the squeeze and excitation, width, kernel, stride.
    The first stage has ReLU, all others SiLU."""
    stride = 16
    head = {"name": "flatten", "dropout": 0.2, "maps_norm": False}

    def __init__(self):
        super().__init__()
        width, activation = 16, relu
        layers = [*convolution(3, 32, 3, activation=activation), InvertedResidual(32, width, 32, 3, 1, activation, squeeze=8)]
        for stage in self.STAGES:
            for inner, squeeze, outputs, kernel, stride in stage:
                layers.append(InvertedResidual(width, outputs, inner, kernel, stride, activation, squeeze))
                width = outputs
            activation = silu
        self.network = nn.Sequential(*layers)
        self.out_channels = 1280
        self.last = nn.Sequential(*convolution(width, self.out_channels, 1))

    def forward(self, images: Tensor) -> Tensor:
        return self.last(self.network(images))

    def stages(self) -> dict[str, nn.Module]:
        _, *blocks = (layer for layer in self.network if isinstance(layer, InvertedResidual))
        stages = {}
        for number, stage in enumerate(self.STAGES, 1):
            stages[f"stage{number}"] = blocks[len(stage) - 1]
            blocks = blocks[len(stage) :]
        return {**stages, "last": self.last}
