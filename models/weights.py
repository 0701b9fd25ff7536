"""Weight files that say what they are: kind, configuration, score and tensors, read without executing anything in them."""

import hashlib
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from common.errors import InputError, listing
from models.archive import FORMAT, load_tensors, save_tensors
from models.embedder import Embedder

WEIGHT_KINDS = ("pretext", "embedder", "classifier")
"""All of these can start a training; a "classifier" is what training knew beside the embedder that ships."""


def save_weights(path: Path, kind: str, state: Mapping[str, Tensor], about: Mapping[str, Any]) -> Path:
    """Write a weight file, byte-identical for equal content.

    kind: one of WEIGHT_KINDS. about: plain values (config, threshold, score ...).
    """
    content = {
        "format": FORMAT,
        "kind": kind,
        "about": dict(about),
        "state": {name: _plain(tensor) for name, tensor in state.items()},
    }
    return save_tensors(path, content)


def load_weights(path: str | Path, kinds: tuple[str, ...] = ("embedder",)) -> dict[str, Any]:
    """Read a weight file: {"format", "kind", "about", "state"}, tensors on the CPU.

    Raises InputError for an absent, damaged or foreign file and for a kind other than `kinds`.
    """
    content = load_tensors(path, "a weight file written by train_pretext.py or train.py")
    if not isinstance(content, dict) or not {"format", "kind", "about", "state"} <= set(content):
        raise InputError(f"{str(path)!r} is not a weight file of this project: it lacks format, kind, about or state")
    if type(content["format"]) is not int or content["format"] != FORMAT:
        raise InputError(f"{str(path)!r} has weight format {content['format']!r}; this version reads format {FORMAT}")
    if content["kind"] not in kinds:
        raise InputError(f"{str(path)!r} holds a {content['kind']!r} model; expected {listing(kinds)}")
    state = content["state"]
    if not isinstance(state, dict) or not all(isinstance(name, str) and _is_plain(value) for name, value in state.items()):
        raise InputError(f"{str(path)!r} is corrupt: its state is not a table of dense tensors of real numbers")
    check_about(content["about"], path)
    return content


def check_about(about: Any, path: str | Path) -> None:
    """Raise InputError if what the file says about itself cannot be read as such."""
    sections = ("config", "validation", "evaluate")
    if not isinstance(about, dict) or not all(isinstance(about.get(name, {}), dict) for name in sections):
        raise InputError(f"{str(path)!r} is corrupt: its description is not a table of settings and figures")
    identities = about.get("identities", [])
    if not isinstance(identities, list) or not all(isinstance(name, str) for name in identities):
        raise InputError(f"{str(path)!r} is corrupt: its identities are not a list of names")


def trained_on(content: Mapping[str, Any]) -> dict[str, Any]:
    """The data settings that the weights were trained with; empty if the file does not say."""
    data = content["about"].get("config", {}).get("data", {})
    return data if isinstance(data, dict) else {}


def all_trained_on(content: Mapping[str, Any]) -> list[dict[str, Any]]:
    """`trained_on` of each of the embedders that are fused in the content, or of the only one."""
    members = content["about"].get("fused")
    if not isinstance(members, list) or not all(isinstance(config, dict) for config in members):
        return [trained_on(content)]
    return [trained_on({"about": {"config": config}}) for config in members]


def calibrated_threshold(content: Mapping[str, Any], flip: bool) -> float | None:
    """The threshold calibrated in training for embeddings without or with `flip`; None if there is none.

    Raises InputError if what stands there is no finite number.
    """
    thresholds = content["about"].get("validation", {}).get("thresholds", {})
    value = thresholds.get("flip" if flip else "plain") if isinstance(thresholds, dict) else thresholds
    if value is not None and not (type(value) is float and math.isfinite(value)):
        raise InputError(f"the weight file is corrupt: its calibrated threshold is {value!r}, which is not a finite number")
    return value


def fill(module: nn.Module, state: Mapping[str, Tensor], source: str) -> None:
    """Copy `state` into `module`, which must have exactly these tensors, all finite; else InputError that names the others."""
    check_fits(module, state, source)
    broken = [name for name, tensor in state.items() if not torch.isfinite(tensor).all()]
    if broken:
        raise InputError(f"{source} is of no use: {len(broken):,} of its tensors are not finite ({listing(broken, most=3)})")
    module.load_state_dict(state)


def check_fits(module: nn.Module, state: Mapping[str, Tensor], source: str) -> None:
    """Raise InputError if `state` has not exactly the tensors of `module`, which may be on the meta device."""
    expected = module.state_dict()
    wrong = sorted(set(expected) ^ set(state))
    wrong += sorted(name for name in set(expected) & set(state) if expected[name].shape != state[name].shape)
    if wrong:
        raise InputError(f"{source} belongs to another architecture: {len(wrong):,} tensors differ ({listing(wrong, most=3)})")


def start_from(embedder: Embedder, path: str | Path) -> dict[str, Any]:
    """Initialise an embedder from a pretext (its backbone), or from another embedder or the one beside a classifier (all of
    it), and return the content of the file. Raises InputError."""
    content = load_weights(path, WEIGHT_KINDS)
    prefix = {"pretext": "backbone.", "embedder": "", "classifier": "network."}[content["kind"]]
    fill(embedder.backbone if content["kind"] == "pretext" else embedder, part_of(content, prefix), source=repr(str(path)))
    return content


def part_of(content: Mapping[str, Any], prefix: str) -> dict[str, Tensor]:
    """The tensors of a weight file whose names begin with `prefix`, without it."""
    return {name.removeprefix(prefix): value for name, value in content["state"].items() if name.startswith(prefix)}


def file_digest(path: str | Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _is_plain(value: Any) -> bool:
    return (
        isinstance(value, Tensor)
        and value.layout == torch.strided
        and value.device.type == "cpu"
        and not value.is_complex()
        and not value.is_quantized
        and not value.is_nested
        and value.is_contiguous()  # else a tensor of any size may lie on a few bytes
    )


def _plain(tensor: Tensor) -> Tensor:
    return tensor.detach().cpu().contiguous()
