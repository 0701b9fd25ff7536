"""The embedder that ships, from whichever file it comes: weights (.pt) or an exported graph (.onnx)."""

import hashlib
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from torch import nn

from common.config import ModelConfig, make_config
from common.errors import InputError, listing
from models.counts import parameter_count
from models.embedder import build_embedder, embedder_shapes
from models.fused import Fused
from models.serving import require_packages
from models.weights import check_fits, file_digest, fill, load_weights


class Shipped(NamedTuple):
    """An embedder in evaluation mode, how many parameters it had when it was trained, its settings, and all else that its
    file says of it."""

    embedder: nn.Module
    parameters: int
    model: ModelConfig
    about: dict[str, Any]


def is_exported(path: str | Path) -> bool:
    return Path(path).suffix.lower() == ".onnx"


def files_of(weights: str | Path) -> list[str]:
    """["A.pt", "B.pt"] of "A.pt,B.pt", which are to be fused; of a single file, whose name may have commas, itself."""
    text = str(weights)
    return [text] if os.path.exists(text) else [name.strip() for name in text.split(",")]


def name_of(weights: str | Path) -> str:
    """What an evaluation of the file, or of the files, is called."""
    return "+".join(Path(path).stem for path in files_of(weights))


def digest_of(weights: str | Path) -> str:
    """SHA-256 of the file, or over those of the files, in hexadecimal."""
    digests = [file_digest(path) for path in files_of(weights)]
    return digests[0] if len(digests) == 1 else hashlib.sha256("".join(digests).encode()).hexdigest()


def read_model_file(path: str | Path) -> dict[str, Any]:
    """The content of a file, {"kind", "about", ...}: `about` is the same in weights and in what is exported from them. Of
    several files, "A.pt,B.pt", that of the fused embedder.

    Raises InputError for an absent, damaged or foreign file, and for .onnx if the packages to read it are not installed.
    """
    files = files_of(path)
    if len(files) > 1:
        return _fused(files)
    path = files[0]
    if not is_exported(path):
        return load_weights(path)
    require_packages()
    from models.serving.onnx_file import read_model

    return read_model(path)


def _fused(files: Sequence[str]) -> dict[str, Any]:
    """What a file of the fused embedder would say, and the content of the files; its threshold nobody knows yet."""
    exported = [path for path in files if is_exported(path)]
    if exported:
        raise InputError(f"{listing(exported)} cannot be fused; fuse the .pt files, which export.py writes as one .onnx")
    contents = [load_weights(path) for path in files]
    abouts = [content["about"] for content in contents]
    stored = [about.get("config", {}) for about in abouts]
    for path, config in zip(files, stored, strict=True):
        if config.get("similarity", "cosine") != "cosine":
            raise InputError(f"{path!r} compares by {config['similarity']!r}; fused embeddings are compared by their cosine")
    models = [_model_of(content, path) for content, path in zip(contents, files, strict=True)]
    sizes = {
        "image_size": max(model.image_size for model in models),
        "embedding_size": sum(model.embedding_size for model in models),
        "max_parameters": max(model.max_parameters for model in models),
    }
    about = {
        "config": {**stored[0], "model": {**stored[0].get("model", {}), **sizes}},
        "evaluate": {"flip": all(about.get("evaluate", {}).get("flip", False) for about in abouts)},
        "cut": abouts[0].get("cut") if all(about.get("cut") == abouts[0].get("cut") for about in abouts) else None,
        "fused": stored,
    }
    return {
        "format": contents[0]["format"],
        "kind": "embedder",
        "about": about,
        "members": list(zip(files, contents, strict=True)),
    }


def _model_of(content: Mapping[str, Any], path: str | Path) -> ModelConfig:
    return make_config({"model": content["about"].get("config", {}).get("model", {})}, repr(str(path))).model


def read_embedder(path: str | Path) -> Shipped:
    """The embedder in a file of weights (.pt) or an exported one (.onnx), built from what the file says of itself. A file
    takes no more memory than its own tensors do, whatever it says. Raises InputError."""
    content = read_model_file(path)
    return build_shipped(content, _model_of(content, path), repr(str(path)))


def build_shipped(content: Mapping[str, Any], config: ModelConfig, source: str) -> Shipped:
    """The embedder in the `content` of a file, which errors call `source`. Raises InputError if it is not `config`'s."""
    about = content["about"]
    if "graph" in content:
        from models.serving.runtime import OnnxEmbedder

        return Shipped(OnnxEmbedder(content, config, source).eval(), about["parameters"], config, about)
    if "members" in content:
        members = [build_shipped(member, _model_of(member, path), repr(path)) for path, member in content["members"]]
        parameters = sum(member.parameters for member in members)
        if parameters > config.max_parameters:
            raise InputError(
                f"{source} has {parameters:,} parameters together, more than model.max_parameters ="
                f" {config.max_parameters:,}, the larger limit of those in the files; fuse smaller networks"
            )
        embedder = Fused([member.embedder for member in members], [member.model.image_size for member in members])
        return Shipped(embedder.eval(), parameters, config, about)
    try:
        shapes = embedder_shapes(config)
    except InputError as error:
        raise InputError(f"{source} cannot be built: {error}") from error
    check_fits(shapes, content["state"], source)  # before memory is taken
    single = build_embedder(config).eval()
    fill(single, content["state"], source)
    return Shipped(single, parameter_count(single), config, about)
