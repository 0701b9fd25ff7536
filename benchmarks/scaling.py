"""What more people cost: the loss terms with their classifier and centers, by the number of training identities."""

from collections.abc import Callable

import numpy as np
import torch

from benchmarks.timing import Section, take_turns
from benchmarks.training import TRIARCHY
from common.config import read_config
from losses import build_objective
from training.optimisers import OPTIMIZERS

BATCH, DIMENSIONS = 128, 512


def scaling_section(identities: tuple[int, ...], rounds: int) -> Section:
    """A step of Triarchy's objective alone, embeddings given: forward, backward, optimiser."""
    candidates = {f"{count:,} identities": objective_step(count) for count in identities}
    seconds = take_turns(candidates, rounds, "scaling")
    rows = []
    for (name, times), count in zip(seconds.items(), identities, strict=True):
        # Classifier and centers, each with its gradient and Adam's two moments, in float32.
        state = 2 * 4 * 4 * count * DIMENSIONS / 2**20
        rows.append({"training set": name, "ms a step": float(1e3 * np.median(times)), "MiB of weights and moments": state})
    what = f"The objective alone, batch {BATCH}, {DIMENSIONS} dimensions; the network's own share of a step does not grow."
    return Section("More people", what, rows)


def objective_step(identities: int) -> Callable[[], None]:
    """A step of the original's loss terms on random embeddings of 8 people, 16 images each."""
    terms = read_config([TRIARCHY]).train.terms
    torch.manual_seed(0)
    objective = build_objective(terms, DIMENSIONS, identities)
    optimizer = OPTIMIZERS.build("adam", groups=[{"params": list(objective.parameters())}], lr=1e-3)
    embeddings = torch.randn(BATCH, DIMENSIONS)
    labels = torch.randperm(identities)[:8].repeat_interleave(BATCH // 8)

    def step() -> None:
        loss = sum(objective(embeddings=embeddings.requires_grad_(), labels=labels).values())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    return step
