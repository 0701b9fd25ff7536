"""Training batches: photographs drawn, augmented and labelled, by as many loader processes as one likes."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from datasets.batches.augment import Augmentation, Sample
from datasets.batches.samplers import BatchSampler, Draw
from datasets.manifest import Manifest, codes
from datasets.photographs.photographs import Photographs

ROTATION = "rotation"
QUARTERS = ("0", "90", "180", "270")


class Target(NamedTuple):
    """Class of each photograph, int64 [N], -1 if unknown, as it is and as it becomes in the mirror."""

    plain: np.ndarray
    mirrored: np.ndarray


class TrainingImages(Dataset):
    """Augmented images with their targets. What an item holds depends on the Draw alone, never on who loads it or when.
    Steps of the augmentation are given the landmarks, too, where the photographs have them.

    turn: also rotate every image by a random number of quarters, which becomes the target `rotation` (Gidaris et al.,
    "Unsupervised Representation Learning by Predicting Image Rotations", arXiv 1803.07728).
    """

    def __init__(self, photographs: Photographs, targets: Mapping[str, Target], augmentation: Augmentation, turn: bool = False):
        self.photographs = photographs
        self.targets = targets
        self.augmentation = augmentation
        self.turn = turn

    def __getitem__(self, draw: Draw) -> dict[str, torch.Tensor | int]:
        """{"image": uint8 [S, S, 3], target name: class, ...}"""
        random = np.random.default_rng(draw.key)
        points = None if self.photographs.points is None else self.photographs.points[draw.index]
        sample = Sample(self.photographs[draw.index], points, landmarks=self.photographs.landmarks)
        image, _, mirrored, _ = self.augmentation(sample, random)
        item: dict[str, torch.Tensor | int] = {name: int(target[mirrored][draw.index]) for name, target in self.targets.items()}
        if self.turn:
            quarters = int(random.integers(len(QUARTERS)))
            item[ROTATION] = quarters
            image = np.rot90(image, quarters)
        item["image"] = torch.from_numpy(np.ascontiguousarray(image))
        return item


def identity_target(manifest: Manifest) -> Target:
    """The identity as target; a mirror does not change who it is."""
    labels = manifest.labels()
    return Target(labels, labels)


def attribute_target(manifest: Manifest, attribute: str, values: list[str]) -> Target:
    """An attribute as target, as a position in `values`; a mirrored image gets the mirrored value (C1 becomes C13)."""
    column = manifest.table[attribute]
    mirrors = manifest.mirrors.get(attribute, {})
    return Target(codes(column, values), codes(column.map(lambda value: mirrors.get(value, value)), values))


def make_loader(images: TrainingImages, sampler: BatchSampler, workers: int) -> DataLoader:
    """Batches of stacked items for the epoch set on `sampler`."""
    return DataLoader(
        images,
        batch_sampler=sampler,
        num_workers=workers,
        persistent_workers=workers > 0,
        generator=torch.Generator(),  # the loader's own seed must not advance the generator that drives dropout
    )
