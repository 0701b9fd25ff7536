"""Backbones: images [B, 3, H, W] float32 -> pooled features [B, out_channels]. One network per file."""

from models.backbones.efficientnet import EfficientNetB0
from models.backbones.small import SmallNet
from registry import Registry

BACKBONES = Registry(
    "backbone",
    {
        "efficientnet_b0": EfficientNetB0,
        "small": SmallNet,
    },
)
