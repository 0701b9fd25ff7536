"""The embedder that ships, from whichever file it comes: weights (.pt) or an exported graph (.onnx)."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from torch import nn

from common.config import ModelConfig
from models.embedder import build_embedder, parameter_count
from models.serving import require_packages
from models.weights import fill, load_weights


class Shipped(NamedTuple):
    """A callable images -> embeddings, and how many parameters it had when it was trained."""

    embedder: nn.Module
    parameters: int


def is_exported(path: str | Path) -> bool:
    return Path(path).suffix.lower() == ".onnx"


def read_model_file(path: str | Path) -> dict[str, Any]:
    """The content of a file, {"kind", "about", ...}: `about` is the same in weights and in what is exported from them.

    Raises InputError for an absent, damaged or foreign file, and for .onnx if the packages to read it are not installed.
    """
    if not is_exported(path):
        return load_weights(path)
    require_packages()
    from models.serving.onnx_file import read_model

    return read_model(path)


def build_shipped(content: Mapping[str, Any], config: ModelConfig, source: str) -> Shipped:
    """The embedder in the `content` of a file, which errors call `source`. Raises InputError if it is not `config`'s."""
    if "graph" in content:
        from models.serving.runtime import OnnxEmbedder

        return Shipped(OnnxEmbedder(content, config, source), content["about"]["parameters"])
    embedder = build_embedder(config)
    fill(embedder, content["state"], source)
    return Shipped(embedder, parameter_count(embedder))
