"""What a network costs in use: milliseconds an image and megabytes of its exported file."""

from functools import partial
from typing import Any

import torch
from torch import nn

from benchmarks.leaderboard.experiment import Experiment, Row
from benchmarks.networks import build, onnx_embedder
from benchmarks.report import environment
from benchmarks.timing import take_turns
from common.devices import compute_deterministically
from common.errors import InputError
from models.serving import require_packages
from models.serving.graph import make_graph

ROUNDS = 7
IMAGES = 16  # that a network embeds one by one in its turn: the first finds the caches full of another's weights


def time_networks(experiment: Experiment, command: str) -> dict[str, Any]:
    """Every network of the experiment, with random weights, exported and run by onnxruntime on one thread: {"facts": machine
    and versions, "networks": {name: {"model": digest of its settings, "ms", "slowest", "fastest", "megabytes"} or {"model",
    "reason"}}}. ms: the median of rounds in which the networks take turns. A network whose settings a method changes has an
    entry for each of its forms. Raises InputError if the packages for it are not installed."""
    require_packages()
    compute_deterministically(1)
    models = {name: row.config.model for name, row in forms(experiment).items()}
    figures: dict[str, dict[str, Any]] = {name: {"model": row.model_digest} for name, row in forms(experiment).items()}
    embedders: dict[str, nn.Module] = {}
    for name, model in models.items():
        try:
            graph = make_graph(build(model), model.image_size)
            embedders[name] = onnx_embedder(graph, model)
            figures[name] |= {"megabytes": round(len(graph) / 1e6, 2)}
        except (InputError, RuntimeError, ValueError) as error:
            figures[name] |= {"reason": f"it cannot be exported: {(str(error) or type(error).__name__).splitlines()[0]}"}
    turns = {name: partial(_embed, embedder, models[name].image_size) for name, embedder in embedders.items()}
    for name, seconds in (take_turns(turns, ROUNDS, "time networks") if turns else {}).items():
        ms = 1e3 * seconds / IMAGES
        figures[name] |= {"ms": round(float(sorted(ms)[len(ms) // 2]), 3)}
        figures[name] |= {"fastest": round(float(ms.min()), 3), "slowest": round(float(ms.max()), 3)}
    return {"facts": environment(command), "networks": figures}


def forms(experiment: Experiment) -> dict[str, Row]:
    """A row of each network; where a method changes the network, also of each of its other forms, by both names."""
    found: dict[str, Row] = {}
    known: set[tuple[str, str]] = set()
    for row in experiment.rows:
        if (form := (row.network, row.model_digest)) not in known:
            known.add(form)
            found[f"{row.network} with {row.method}" if row.network in found else row.network] = row
    return found


def _embed(embedder: nn.Module, side: int) -> None:
    with torch.inference_mode():
        for _ in range(IMAGES):
            embedder(torch.zeros(1, 3, side, side))
