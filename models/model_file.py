"""The embedder that ships, from whichever file it comes: weights (.pt) or an exported graph (.onnx)."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from torch import nn

from common.config import ModelConfig, make_config
from common.errors import InputError
from models.counts import parameter_count
from models.embedder import build_embedder, embedder_shapes
from models.serving import require_packages
from models.weights import check_fits, fill, load_weights


class Shipped(NamedTuple):
    """An embedder in evaluation mode, how many parameters it had when it was trained, its settings, and all else that its
    file says of it."""

    embedder: nn.Module
    parameters: int
    model: ModelConfig
    about: dict[str, Any]


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


def read_embedder(path: str | Path) -> Shipped:
    """The embedder in a file of weights (.pt) or an exported one (.onnx), built from what the file says of itself. A file
    takes no more memory than its own tensors do, whatever it says. Raises InputError."""
    content = read_model_file(path)
    config = make_config({"model": content["about"].get("config", {}).get("model", {})}, repr(str(path)))
    return build_shipped(content, config.model, repr(str(path)))


def build_shipped(content: Mapping[str, Any], config: ModelConfig, source: str) -> Shipped:
    """The embedder in the `content` of a file, which errors call `source`. Raises InputError if it is not `config`'s."""
    about = content["about"]
    if "graph" in content:
        from models.serving.runtime import OnnxEmbedder

        return Shipped(OnnxEmbedder(content, config, source).eval(), about["parameters"], config, about)
    try:
        shapes = embedder_shapes(config)
    except InputError as error:
        raise InputError(f"{source} cannot be built: {error}") from error
    check_fits(shapes, content["state"], source)  # before memory is taken
    embedder = build_embedder(config).eval()
    fill(embedder, content["state"], source)
    return Shipped(embedder, parameter_count(embedder), config, about)
