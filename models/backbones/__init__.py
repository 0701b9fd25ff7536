"""Backbones: images [B, 3, H, W] float32 -> maps [B, out_channels, h, w]. One network per file."""

from common.registry import Registry
from models.backbones.attention import AttentionNet
from models.backbones.efficientnet import EfficientNetB0
from models.backbones.inception_resnet import InceptionResNetV1
from models.backbones.lightcnn import LightCNN
from models.backbones.mobilefacenet import MobileFaceNet
from models.backbones.repvgg import RepVGG
from models.backbones.resnet_ir import ResNetIR
from models.backbones.small import SmallNet
from models.backbones.tf_nas import TFNASA
from models.backbones.timm_network import Timm

BACKBONES = Registry(
    "backbone",
    {
        "attention": AttentionNet,
        "efficientnet_b0": EfficientNetB0,
        "inception_resnet_v1": InceptionResNetV1,
        "lightcnn": LightCNN,
        "mobilefacenet": MobileFaceNet,
        "repvgg": RepVGG,
        "resnet_ir": ResNetIR,
        "small": SmallNet,
        "tf_nas_a": TFNASA,
        "timm": Timm,
    },
)
