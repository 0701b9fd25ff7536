"""Backbones: images [B, 3, H, W] float32 -> maps [B, out_channels, h, w]. One network per file."""

from common.registry import Registry
from models.backbones.efficientnet import EfficientNetB0
from models.backbones.inception_resnet import InceptionResNetV1
from models.backbones.mobilefacenet import MobileFaceNet
from models.backbones.mobilenet_v2 import MobileNetV2
from models.backbones.pocketnet import PocketNet
from models.backbones.resnet_ir import ResNetIR
from models.backbones.small import SmallNet
from models.backbones.squeezenext import SqueezeNext

BACKBONES = Registry(
    "backbone",
    {
        "efficientnet_b0": EfficientNetB0,
        "inception_resnet_v1": InceptionResNetV1,
        "mobilefacenet": MobileFaceNet,
        "mobilenet_v2": MobileNetV2,
        "pocketnet": PocketNet,
        "resnet_ir": ResNetIR,
        "small": SmallNet,
        "squeezenext": SqueezeNext,
    },
)
