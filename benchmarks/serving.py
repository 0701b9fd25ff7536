"""Embedding one image or a batch, by this embedder and by what one would pick in its place."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks.networks import build, calibration, entries, onnx_embedder
from benchmarks.timing import Section, take_turns
from common.devices import channels_last
from common.errors import InputError
from models.counts import multiply_adds, parameter_count
from models.model_file import read_embedder
from models.serving.graph import make_graph
from models.serving.quantise import quantise

BATCHES = (1, 32)


def serving_section(side: int, rounds: int, turn: int) -> Section:
    """Every network as PyTorch runs it and as onnxruntime does, ours in 8 bits, too. turn: see `_measured`."""
    candidates: dict[str, nn.Module] = {}
    about: dict[str, dict[str, object]] = {}
    for entry in entries(side):
        embedder = build(entry.model)
        graph = make_graph(embedder, side)
        files = {"onnx": graph} | ({"int8": quantise(graph, calibration(side))} if not candidates else {})
        size = {"parameters": parameter_count(embedder), "million MACs": round(multiply_adds(embedder, side) / 1e6, 1)}
        candidates[f"{entry.name}, torch"] = embedder
        about[f"{entry.name}, torch"] = {**size, "MB": 4e-6 * sum(tensor.numel() for tensor in embedder.state_dict().values())}
        for kind, content in files.items():
            candidates[f"{entry.name}, {kind}"] = onnx_embedder(content, entry.model)
            about[f"{entry.name}, {kind}"] = {**size, "MB": len(content) / 1e6}
    what = f"Images of {side} x {side} pixels, random weights. torch: eager, float32, channels last; onnx: onnxruntime, float32."
    what += f" Each turn embeds {turn} images one by one, or a batch."
    return Section(f"Serving, {side} pixels", what, _measured(candidates, about, side, rounds, turn))


def files_section(paths: list[str], rounds: int, turn: int) -> Section:
    """Embedders in weight files (.pt) and exported files (.onnx). Raises InputError for what cannot be read and for
    embedders of images of different sizes."""
    candidates: dict[str, nn.Module] = {}
    about: dict[str, dict[str, object]] = {}
    sides: dict[str, int] = {}
    for path in paths:
        shipped = read_embedder(path)
        candidates[path] = channels_last(shipped.embedder)
        sides[path] = shipped.model.image_size
        about[path] = {"parameters": shipped.parameters, "MB": Path(path).stat().st_size / 1e6}
    side = sides[paths[0]]
    for path, other in sides.items():
        if other != side:
            raise InputError(f"{path!r} reads images of {other} pixels and {paths[0]!r} of {side}; compare embedders of one size")
    return Section("Serving", f"Images of {side} x {side} pixels.", _measured(candidates, about, side, rounds, turn))


def _measured(
    candidates: dict[str, nn.Module], about: dict[str, dict[str, object]], side: int, rounds: int, turn: int
) -> list[dict]:
    """A row for each candidate: what is known about it and its speed at each batch size.

    turn: images, at least, that a candidate embeds before the next one's turn, batch by batch. What the first costs after
    another network had the processor's caches to itself is not what serving costs.
    """
    rows = [{"network": name, **about[name]} for name in candidates]
    for batch in BATCHES:
        images = torch.rand(batch, 3, side, side).mul_(2).sub_(1).contiguous(memory_format=torch.channels_last)
        calls = max(1, turn // batch)
        seconds = take_turns(_repeated(candidates, images, calls), rounds, f"serving, batch {batch}")
        first = next(iter(seconds.values()))
        for row, times in zip(rows, seconds.values(), strict=True):
            rate = float(calls * batch / np.median(times))
            if batch == 1:
                row["ms, batch 1"] = 1e3 / rate
            row[f"images/s, batch {batch}"] = rate
            row[f"times the first, batch {batch}"] = float(np.median(first / times))
    return rows


def _repeated(candidates: dict[str, nn.Module], images: Tensor, calls: int) -> dict[str, Callable[[], None]]:
    def call(embedder: nn.Module) -> None:
        with torch.inference_mode():
            for _ in range(calls):
                embedder(images)

    return {name: partial(call, embedder) for name, embedder in candidates.items()}
