"""Backbones: images [B, 3, H, W] float32 -> maps [B, out_channels, h, w]. One network per file."""

from common.registry import Registry
from models.backbones.efficientnet import EfficientNetB0
from models.backbones.inception_resnet import InceptionResNetV1
from models.backbones.mobilefacenet import MobileFaceNet
from models.backbones.resnet_ir import ResNetIR
from models.backbones.small import SmallNet

BACKBONES = Registry(
    "backbone",
    {
        "efficientnet_b0": EfficientNetB0,
        "inception_resnet_v1": InceptionResNetV1,
        "mobilefacenet": MobileFaceNet,
        "resnet_ir": ResNetIR,
        "small": SmallNet,
    },
)
