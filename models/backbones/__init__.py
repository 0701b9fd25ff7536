"""Backbones: images [B, 3, H, W] float32 -> maps [B, out_channels, h, w]. One network per file."""

from common.registry import Registry
from models.backbones.attention import AttentionNet
from models.backbones.efficientnet import EfficientNetB0
from models.backbones.ghostnet import GhostNet
from models.backbones.inception_resnet import InceptionResNetV1
from models.backbones.lightcnn import LightCNN
from models.backbones.mobilefacenet import MobileFaceNet
from models.backbones.mobilenet_v2 import MobileNetV2
from models.backbones.pocketnet import PocketNet
from models.backbones.repvgg import RepVGG
from models.backbones.resnet_ir import ResNetIR
from models.backbones.rexnet import ReXNet
from models.backbones.small import SmallNet
from models.backbones.squeezenext import SqueezeNext
from models.backbones.tf_nas import TFNASA
from models.backbones.timm_network import Timm
from models.backbones.vargfacenet import VarGFaceNet

BACKBONES = Registry(
    "backbone",
    {
        "attention": AttentionNet,
        "efficientnet_b0": EfficientNetB0,
        "ghostnet": GhostNet,
        "inception_resnet_v1": InceptionResNetV1,
        "lightcnn": LightCNN,
        "mobilefacenet": MobileFaceNet,
        "mobilenet_v2": MobileNetV2,
        "pocketnet": PocketNet,
        "repvgg": RepVGG,
        "resnet_ir": ResNetIR,
        "rexnet": ReXNet,
        "small": SmallNet,
        "squeezenext": SqueezeNext,
        "tf_nas_a": TFNASA,
        "timm": Timm,
        "vargfacenet": VarGFaceNet,
    },
)
