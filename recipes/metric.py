"""Metric: an embedder trained on a weighted objective over P x K batches. Triarchy is this with softmax, triplet, center."""

from collections.abc import Iterable

import numpy as np
import torch
from torch import Tensor, nn

from common.config import Config
from common.devices import mixed_precision
from common.errors import InputError
from common.progress import progress
from datasets.batches.loaders import TrainingImages, identity_target, make_loader
from datasets.batches.samplers import PKSampler
from datasets.batches.transforms import Augmentation
from datasets.manifest import Manifest, codes
from datasets.pairs.draw import draw_some, random_stream
from datasets.pairs.split import check_two_photographs
from datasets.photographs.photographs import Photographs
from distributed.collectives import gather
from losses import build_objective
from models.embedder import build_embedder
from models.network_input import network_input, resized
from models.weights import start_from
from models.whitening import whitened
from recipes.recipe import Batch, Outcome, Recipe

EMBEDDED_AT_ONCE = 64


class Metric(Recipe):
    """The embedder ships; the objective, with its classifier and centers, stays behind.

    faces: the training manifest; photographs: its pixels, in the same order. Raises InputError for an identity with one
    photograph, which no positive pair can be made of.
    """

    kind = "embedder"

    def __init__(self, config: Config, faces: Manifest, photographs: Photographs):
        super().__init__()
        stage = config.train
        if stage.augment.crop:
            raise InputError(
                f"train.augment.crop is {stage.augment.crop}, but the model that ships sees whole images;"
                f" set model.image_size, or augment with scale and shift"
            )
        self.photographs, self.labels = photographs, faces.labels()
        self.whitening = draw_some(len(faces), stage.whiten, random_stream(config.seed, "whiten"))
        if len(self.whitening) and len(np.unique(self.labels[self.whitening])) == len(self.whitening):
            raise InputError(
                f"train.whiten is {stage.whiten}: of so few of the {len(faces):,} photographs no two show one person; draw more,"
                f" such as 2000, or none (0)"
            )
        self.precision = config.precision
        self.epochs = stage.epochs
        self.image_size = config.model.image_size
        self.image_sizes = checked_sizes(stage.image_sizes, self.image_size)
        check_two_photographs(faces, repr(str(faces.root)))
        augmentation = Augmentation(stage.augment, config.model.image_size)
        images = TrainingImages(photographs, {"label": identity_target(faces)}, augmentation)
        conditions = attribute_classes(faces, stage.balance) if stage.balance else None
        self.sampler = PKSampler(self.labels, stage.batch_size, stage.num_instances, config.seed, conditions)
        self.batches = make_loader(images, self.sampler, config.data.workers)
        self.steps_per_epoch = len(self.sampler)
        self.images_per_step = stage.batch_size * stage.num_instances
        self.network = build_embedder(config.model)
        if stage.pretrained_weight:
            start_from(self.network, stage.pretrained_weight)
        self.objective = build_objective(stage.terms, config.model.embedding_size, len(faces.identities))

    def on_epoch_start(self, epoch: int) -> None:
        self.image_size = self.image_sizes[epoch * len(self.image_sizes) // self.epochs]

    def loader(self, epoch: int) -> Iterable[Batch]:
        self.sampler.set_epoch(epoch)
        return self.batches

    def forward(self, batch: Batch) -> Outcome:
        device = next(self.network.parameters()).device
        with mixed_precision(self.precision, device):
            images = resized(network_input(batch["image"], device), self.image_size)
            embeddings = self.network(images)  # [B, D]
        # The objective is that of the whole batch, whose hardest triplets and centers may lie with another process.
        embeddings, labels = gather(embeddings.float()), gather(batch["label"].to(device))
        terms = self.objective(embeddings, labels)
        return Outcome(terms, {"embedding_norm": embeddings.detach().norm(dim=1).mean()})

    def deployable(self) -> nn.Module:
        if not len(self.whitening):
            return self.network
        return whitened(self.network, self._embed(self.whitening), self.labels[self.whitening])

    @torch.no_grad()
    def _embed(self, positions: np.ndarray) -> Tensor:
        """The embeddings, float32 [N, D], of training photographs as they are."""
        device = next(self.network.parameters()).device
        embeddings = []
        for start in progress(range(0, len(positions), EMBEDDED_AT_ONCE), "whiten", unit="batch", leave=False):
            images = np.stack([self.photographs[index] for index in positions[start : start + EMBEDDED_AT_ONCE]])
            embeddings.append(self.network(network_input(torch.from_numpy(images), device)))
        return torch.cat(embeddings)


def checked_sizes(sizes: list[int], image_size: int) -> list[int]:
    """The sides that training goes through; InputError unless they grow up to `image_size`."""
    if sizes and (sizes != sorted(sizes) or sizes[0] < 16 or sizes[-1] != image_size):
        raise InputError(
            f"train.image_sizes is {sizes}; the sides should grow, from at least 16 up to model.image_size = {image_size}"
        )
    return sizes or [image_size]


def attribute_classes(faces: Manifest, attribute: str) -> np.ndarray:
    """The class of every face by `attribute`, int64 [N], -1 where unknown; InputError if no face has the attribute."""
    if attribute not in faces.attributes:
        known = ", ".join(faces.attributes) or "none"
        raise InputError(f"train.balance is {attribute!r}, which the photographs do not have; known here: {known}")
    return codes(faces.table[attribute], faces.values(attribute))
