"""Backbones: images [B, 3, H, W] float32 -> maps [B, out_channels, h, w]. One network per file."""

from common.registry import Registry
from models.backbones.efficientnet import EfficientNetB0
from models.backbones.ghostnet import GhostNet
from models.backbones.inception_resnet import InceptionResNetV1
from models.backbones.mobilefacenet import MobileFaceNet
from models.backbones.mobilenet_v2 import MobileNetV2
from models.backbones.pocketnet import PocketNet
from models.backbones.resnet_ir import ResNetIR
from models.backbones.rexnet import ReXNet
from models.backbones.small import SmallNet
from models.backbones.squeezenext import SqueezeNext
from models.backbones.vargfacenet import VarGFaceNet

BACKBONES = Registry(
    "backbone",
    {
        "efficientnet_b0": EfficientNetB0,
        "ghostnet": GhostNet,
        "inception_resnet_v1": InceptionResNetV1,
        "mobilefacenet": MobileFaceNet,
        "mobilenet_v2": MobileNetV2,
        "pocketnet": PocketNet,
        "resnet_ir": ResNetIR,
        "rexnet": ReXNet,
        "small": SmallNet,
        "squeezenext": SqueezeNext,
        "vargfacenet": VarGFaceNet,
    },
)
