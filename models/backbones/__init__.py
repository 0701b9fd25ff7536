"""Backbones: images [B, 3, H, W] float32 -> maps [B, out_channels, h, w]. One network per file."""

from common.registry import Registry
from models.backbones.efficientnet import EfficientNetB0
from models.backbones.ghostnet import GhostNet
from models.backbones.inception_resnet import InceptionResNetV1
from models.backbones.mobilefacenet import MobileFaceNet
from models.backbones.resnet_ir import ResNetIR
from models.backbones.rexnet import ReXNet
from models.backbones.small import SmallNet
from models.backbones.vargfacenet import VarGFaceNet

BACKBONES = Registry(
    "backbone",
    {
        "efficientnet_b0": EfficientNetB0,
        "ghostnet": GhostNet,
        "inception_resnet_v1": InceptionResNetV1,
        "mobilefacenet": MobileFaceNet,
        "resnet_ir": ResNetIR,
        "rexnet": ReXNet,
        "small": SmallNet,
        "vargfacenet": VarGFaceNet,
    },
)
