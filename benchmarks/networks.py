"""The networks that are compared, with random weights: speed does not depend on what they have learned."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch

from common.config import ModelConfig
from common.devices import channels_last
from models.embedder import Embedder, build_embedder
from models.serving.runtime import OnnxEmbedder

NO_LIMIT = 10**9


@dataclass(frozen=True)
class Entry:
    """A network as its users build it."""

    name: str
    model: ModelConfig


def entries(side: int) -> list[Entry]:
    """Ours first, then what one would pick in its place."""
    common = ModelConfig(image_size=side, max_parameters=NO_LIMIT)
    return [
        Entry("EfficientNet-B0 (ours)", replace(common, backbone="efficientnet_b0")),
        Entry("MobileFaceNet", replace(common, backbone="mobilefacenet")),
        Entry("Inception-ResNet-v1", replace(common, backbone="inception_resnet_v1", head={"name": "pool", "norm": True})),
        Entry("ResNet50-ir", replace(common, backbone="resnet_ir")),
    ]


def build(model: ModelConfig) -> Embedder:
    """The embedder with random weights, ready to embed."""
    torch.manual_seed(0)
    return channels_last(build_embedder(model).eval())


def onnx_embedder(graph: bytes, model: ModelConfig) -> OnnxEmbedder:
    return OnnxEmbedder({"graph": graph}, model, "the exported network")


def calibration(side: int, batches: int = 4, size: int = 8) -> Iterator[np.ndarray]:
    """Input to quantise with; noise does, as nothing is verified here."""
    random = np.random.default_rng(0)
    for _ in range(batches):
        yield random.uniform(-1, 1, (size, 3, side, side)).astype(np.float32)
