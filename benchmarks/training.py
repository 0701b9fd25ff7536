"""Training: one step, and a stretch of an epoch from files to weights, against the reference."""

from collections.abc import Callable, Iterable
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from benchmarks.reference import ReferenceEmbedder, read_images
from benchmarks.timing import APART, Apart, Section, rates, take_turns
from common.config import Config, read_config
from common.devices import gains_from_bf16
from datasets.manifest import Manifest
from datasets.photographs.cache import open_cache
from datasets.photographs.photographs import Photographs
from datasets.readers.opening import open_reader
from distributed.memory import keep_freed_memory
from losses import build_objective
from recipes.metric import Metric
from training.engine import step
from training.optimisers import OPTIMIZERS

TRAJECTORY = 4  # steps whose losses are compared

Batch = dict[str, Tensor]


TRIARCHY = Path(__file__).parent.parent / "configs" / "triarchy.yaml"


def settings(side: int, identities: int, precision: str) -> Config:
    """The original's training at another image size and batch, on the photographs that come with the repository."""
    config = read_config([TRIARCHY], {"data": {"reader": "twin"}})
    model, train = replace(config.model, image_size=side), replace(config.train, batch_size=identities)
    return replace(config, model=model, train=train, precision=precision)


class Ours:
    """The recipe as train.py runs it."""

    def __init__(self, config: Config, faces: Manifest, photographs: Photographs):
        self.recipe = Metric(config, faces, photographs).to(memory_format=torch.channels_last)
        self.optimizer = OPTIMIZERS.build(config.train.optimizer, groups=self.recipe.parameter_groups(), lr=config.train.lr)

    def batches(self) -> Iterable[Batch]:
        return self.recipe.loader(0)

    def step(self, batch: Batch) -> float:
        terms = step(self.recipe, self.recipe, self.optimizer, batch).terms
        return float(sum(term.item() for term in terms.values()))


class Reference:
    """The original's way, with our loss terms (they take a hundredth of a step) and from the same weights."""

    def __init__(self, ours: Ours, config: Config, faces: Manifest):
        self.config = config
        self.paths = [faces.root / name for name in faces.file_names]
        self.labels = torch.from_numpy(faces.labels())
        self.sampler = ours.recipe.sampler
        self.embedder = ReferenceEmbedder(config.model.image_size, ours.recipe.network.head.dropout.p)
        self.embedder.network.load_state_dict(ours.recipe.network.backbone.network.state_dict())
        self.embedder.embedding.load_state_dict(ours.recipe.network.head.linear.state_dict())
        self.objective = build_objective(config.train.terms, config.model.embedding_size, len(faces.identities))
        self.objective.load_state_dict(ours.recipe.objective.state_dict())
        parameters = [*self.embedder.parameters(), *self.objective.parameters()]
        self.optimizer = torch.optim.Adam(parameters, lr=config.train.lr)

    def batches(self) -> Iterable[Batch]:
        random = np.random.default_rng(0)
        for draws in self.sampler:
            indices = [draw.index for draw in draws]
            images = read_images([self.paths[index] for index in indices], self.config.model.image_size, random)
            yield {"image": images, "label": self.labels[indices]}

    def step(self, batch: Batch) -> float:
        images = batch["image"]
        if images.dtype == torch.uint8:  # a batch of ours, to compare losses on
            images = images.permute(0, 3, 1, 2).contiguous().float() / 127.5 - 1
        loss = sum(self.objective(embeddings=self.embedder(images), labels=batch["label"]).values())
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        return loss.item()


def names() -> list[str]:
    """The candidates; ours in bfloat16, too, where the machine gains from it."""
    return ["reference", "ours"] + ["ours, bf16"] * gains_from_bf16(torch.device("cpu"))


def candidate(name: str, side: int, identities: int) -> Ours | Reference:
    """One of `names`, in a process of its own; all start from equal weights."""
    torch.manual_seed(0)
    config = settings(side, identities, "bf16" if name == "ours, bf16" else "fp32")
    faces = open_reader(config.data).faces("train")
    ours = Ours(config, faces, Photographs(faces, side, f"read photographs at {side} pixels", open_cache(config.data)))
    ours.recipe.train()
    if name != "reference":
        return ours
    reference = Reference(ours, config, faces)
    reference.embedder.train()
    reference.objective.train()
    return reference


def keep_memory_as_train(name: str) -> None:
    """Ours as train.py does it; the reference leaves its process as it is."""
    if name != "reference":
        keep_freed_memory()


def stepping(name: str, side: int, identities: int) -> Callable[..., np.ndarray]:
    """A function that takes steps on one batch that is already in memory and returns their losses, float64 [steps]."""
    entry = candidate(name, side, identities)
    batch = next(iter(candidate("ours", side, identities).batches()))
    keep_memory_as_train(name)

    def run(steps: int = 1) -> np.ndarray:
        torch.manual_seed(1)
        return np.array([entry.step(batch) for _ in range(steps)])

    return run


def reading(name: str, side: int, identities: int, batches: int) -> Callable[[], None]:
    """A function that trains on the first `batches` batches of an epoch, from the files on."""
    entry = candidate(name, side, identities)
    keep_memory_as_train(name)

    def run() -> None:
        for batch, _ in zip(entry.batches(), range(batches)):
            entry.step(batch)

    return run


def step_section(side: int, identities: int, rounds: int) -> Section:
    """Steps on one batch, and the losses of both sides over the first steps."""
    size = identities * settings(side, identities, "fp32").train.num_instances
    with ExitStack() as stack:
        runs = {name: stack.enter_context(Apart(stepping, name, side, identities)) for name in names()}
        losses = {name: run(TRAJECTORY) for name, run in runs.items()}
        rows = rates(take_turns(runs, rounds, f"step {side}"), dict.fromkeys(runs, size), "images/s")
    for row in rows:
        apart = np.abs(losses[row["candidate"]] / losses["reference"] - 1)
        row["loss apart"] = float(apart.max())
    what = f"EfficientNet-B0, {side} pixels, batch {size}; forward, loss, backward, optimiser on images in memory. {APART}"
    remark = f"'loss apart': largest relative difference from the reference's loss over the first {TRAJECTORY} steps, same seed."
    return Section(f"Training step, {side} pixels", what, rows, [remark])


def epoch_section(side: int, identities: int, batches: int, rounds: int) -> Section:
    """The first batches of an epoch, from the files on."""
    size = identities * settings(side, identities, "fp32").train.num_instances
    with ExitStack() as stack:
        runs = {name: stack.enter_context(Apart(reading, name, side, identities, batches)) for name in names()}
        seconds = take_turns(runs, rounds, f"epoch {side}")
    what = (
        f"The same network, {batches} batches of {size} images: reading, augmenting (mirror), training. Ours reads from the"
        f" cache of decoded photographs, which an earlier run or the first epoch filled. {APART}"
    )
    return Section(f"Training from files, {side} pixels", what, rates(seconds, dict.fromkeys(runs, batches * size), "images/s"))
