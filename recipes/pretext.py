"""Pretext: learn camera angle, expression and whatever else is labelled, so that the backbone knows what is not identity."""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import torch
from pydantic import NonNegativeInt
from torch import Tensor, nn
from torch.nn import functional

from common.config import Config
from common.devices import mixed_precision
from common.progress import progress
from common.ranges import Share
from datasets.batches.augment import Augmentation
from datasets.batches.augment.crop import centre_crop
from datasets.batches.loaders import QUARTERS, ROTATION, TrainingImages, attribute_target, make_loader
from datasets.batches.samplers import ShuffledSampler
from datasets.cut import cut_of
from datasets.manifest import Manifest, codes
from datasets.photographs.photographs import Photographs
from distributed.collectives import gather
from models.embedder import build_backbone, shapes_only
from models.network_input import network_input
from models.pretext import PretextModel
from recipes.recipe import Batch, Outcome, Recipe


class Pretext(Recipe):
    """One cross-entropy term per attribute of the manifest; a missing label is masked out. A manifest without attributes
    is taught rotation by quarters instead (Gidaris et al., arXiv 1803.07728).

    dropout: share of the features, ahead of the attributes' linear layers, that a training step leaves out.
    steps: batches an epoch, which then costs the same whatever the number of photographs; 0: every photograph once.
    """

    kind = "pretext"

    @classmethod
    def check(cls, config: Config, faces: Manifest, dropout: float = 0.2, steps: int = 0) -> None:  # type: ignore[override]
        with shapes_only():
            build_backbone(config.model, Augmentation(config.pretext.augment, config.model.image_size).output_side)

    def __init__(
        self, config: Config, faces: Manifest, photographs: Photographs, dropout: Share = 0.2, steps: NonNegativeInt = 0
    ):
        super().__init__()
        stage = config.pretext
        augmentation = Augmentation(stage.augment, config.model.image_size, faces.mirrored_landmarks)
        self.cut = cut_of(faces)
        self.values = {name: faces.values(name) for name in faces.attributes} or {ROTATION: list(QUARTERS)}
        targets = {name: attribute_target(faces, name, self.values[name]) for name in faces.attributes}
        images = TrainingImages(photographs, targets, augmentation, turn=ROTATION in self.values)
        self.sampler = ShuffledSampler(len(faces), stage.batch_size, config.seed, steps)
        self.batches = make_loader(images, self.sampler, config.data.workers)
        self.steps_per_epoch = len(self.sampler)
        self.images_per_step = self.sampler.batch_size
        self.precision = config.precision
        self.side = augmentation.output_side
        backbone = build_backbone(config.model, augmentation.output_side)
        self.network = PretextModel(backbone, {name: len(values) for name, values in self.values.items()}, dropout)

    def loader(self, epoch: int) -> Iterable[Batch]:
        self.sampler.set_epoch(epoch)
        return self.batches

    def forward(self, batch: Batch) -> Outcome:
        device = next(self.network.parameters()).device
        with mixed_precision(self.precision, device):
            logits = self.network(network_input(batch["image"], device))
        # Gathered, since the mean over known labels is that of the whole batch: shares may know different numbers of them.
        logits = {name: gather(values.float()) for name, values in logits.items()}
        targets = {name: gather(batch[name].to(device)) for name in logits}
        accuracies = {f"{name}_accuracy": masked_accuracy(logits[name], targets[name]) for name in logits}
        return Outcome({name: masked_cross_entropy(logits[name], targets[name]) for name in logits}, accuracies)

    def deployable(self) -> nn.Module:
        return self.network

    def about(self) -> dict[str, Any]:
        return {"attributes": self.values, "cut": self.cut}

    def validation(self, faces: Manifest, photographs: Photographs) -> "AttributeAccuracy":
        """A `validate` for the loop, on held-out faces."""
        return AttributeAccuracy(self.values, faces, centre_crop(photographs.pixels, self.side))


class AttributeAccuracy:
    """Share of held-out images whose attribute the model tells rightly, per attribute; the score is their mean.

    images: uint8 [N, S, S, 3]. Images without a label, or with a value that training never saw, do not count;
    if none counts, the score is None.
    """

    def __init__(self, values: Mapping[str, list[str]], faces: Manifest, images: np.ndarray, batch_size: int = 64):
        self.images = images
        self.batch_size = batch_size
        table = faces.table.reindex(columns=list(values))  # an attribute that the held-out faces lack is unknown
        self.labels = {name: torch.from_numpy(codes(table[name], values[name])) for name in values}
        self.turns = range(len(QUARTERS)) if ROTATION in values else range(1)

    @torch.no_grad()
    def __call__(self, model: nn.Module) -> dict[str, Any]:
        device = next(model.parameters()).device
        right: Counter[str] = Counter()
        known: Counter[str] = Counter()
        for start in progress(range(0, len(self.images), self.batch_size), "validate", unit="batch", leave=False):
            rows = slice(start, start + self.batch_size)
            images = torch.from_numpy(self.images[rows].copy())
            for turn in self.turns:
                logits = model(network_input(torch.rot90(images, turn, dims=(1, 2)), device))
                for name in logits:
                    labels = torch.full((len(images),), turn) if name == ROTATION else self.labels[name][rows]
                    right[name] += int((logits[name].argmax(dim=1).cpu() == labels).sum())
                    known[name] += int((labels >= 0).sum())
        accuracies = {f"{name}_accuracy": right[name] / known[name] for name in right if known[name]}
        return {"score": sum(accuracies.values()) / len(accuracies) if accuracies else None, **accuracies}


def masked_cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """Mean cross-entropy over the labels that are known (>= 0); 0 if none is. logits [B, C], labels [B] int64."""
    losses = functional.cross_entropy(logits, labels, ignore_index=-1, reduction="sum")
    return losses / (labels >= 0).sum().clamp(min=1)


def masked_accuracy(logits: Tensor, labels: Tensor) -> Tensor:
    """Share of the known labels that have the largest logit; 0 if none is known."""
    return (logits.argmax(dim=1) == labels).sum() / (labels >= 0).sum().clamp(min=1)
