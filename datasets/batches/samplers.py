"""Which photographs make a batch. Every sampler's order is a pure function of (seed, epoch), and for one of them of the
people who are left out: nothing to save, nothing to restore, and nothing that a loader process could disturb."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from common.errors import InputError
from distributed.processes import local_rows, world_size


class Draw(NamedTuple):
    """One photograph to load, with the key of the random generator that augments it."""

    index: int  # type: ignore[assignment]  # hides tuple.index, which nobody asks a draw for
    key: tuple[int, int, int]  # seed, epoch, position in the epoch


class BatchSampler:
    """Base: subclasses give `batches(random)`; iterating yields lists of Draw for the epoch that was set.

    The batches are the same however many processes train; each of them is given its share of every batch, in rank order,
    with the keys that these draws have in the whole.
    """

    def __init__(self, seed: int):
        self.seed = seed
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def batches(self, random: np.random.Generator) -> Iterator[np.ndarray]:
        raise NotImplementedError

    def __iter__(self) -> Iterator[list[Draw]]:
        position = 0
        for batch in self.batches(np.random.default_rng((self.seed, self.epoch))):
            draws = [Draw(int(index), (self.seed, self.epoch, position + place)) for place, index in enumerate(batch)]
            yield draws[local_rows(len(draws))]
            position += len(batch)


def in_rounds(size: int, batch_size: int, steps: int, random: np.random.Generator) -> Iterator[np.ndarray]:
    """`steps` batches, int64 [batch_size], of numbers below `size` in random order. Each number comes at most once in a round,
    and after as many whole batches as a round has the next one begins, in another order."""
    for step in range(steps):
        place = step % (size // batch_size) * batch_size
        if place == 0:
            order = random.permutation(size)
        yield order[place : place + batch_size]


class ShuffledSampler(BatchSampler):
    """Every photograph once an epoch, in random order; a last incomplete batch is left out unless it is the only one. With
    `steps`, so many batches an epoch, from as many such rounds as it takes."""

    def __init__(self, size: int, batch_size: int, seed: int, steps: int = 0):
        super().__init__(seed)
        self.size = size
        self.batch_size = min(batch_size, size)
        if self.batch_size % world_size():
            raise InputError(
                f"a batch of {self.batch_size} photographs cannot be split evenly over {world_size()} processes;"
                f" --batch_size should be a multiple of {world_size()}, at most {size}"
            )

        self.steps = steps or self.size // self.batch_size

    def __len__(self) -> int:
        return self.steps

    def batches(self, random: np.random.Generator) -> Iterator[np.ndarray]:
        return in_rounds(self.size, self.batch_size, self.steps, random)


class PKSampler(BatchSampler):
    """P identities x K images a batch (Hermans et al., arXiv 1703.07737); every identity at most once an epoch, or, with
    `steps`, at most once in each of as many rounds through all identities as fill so many batches.

    labels: int64 [N], identity of each photograph. An identity with fewer than K photographs repeats them, each as
    evenly as possible. The last identities of an epoch that do not fill a batch wait for the next one.
    conditions: int64 [N], a class of each photograph, such as its angle: the K images of an identity then take turns
    through its conditions. Where most photographs are frontal, this is what brings the rare angles into the batch.
    """

    def __init__(
        self, labels: np.ndarray, identities: int, images: int, seed: int, conditions: np.ndarray | None = None, steps: int = 0
    ):
        super().__init__(seed)
        self.conditions = conditions
        self.identities = identities
        self.images = images
        self.members = _positions(np.asarray(labels))
        if len(self.members) < identities:
            raise InputError(f"a batch needs {identities} identities and the training set has {len(self.members)}")
        self.steps = steps or len(self.members) // self.identities

    def __len__(self) -> int:
        return self.steps

    def batches(self, random: np.random.Generator) -> Iterator[np.ndarray]:
        for chosen in in_rounds(len(self.members), self.identities, self.steps, random):
            yield np.concatenate([self._images_of(identity, random) for identity in chosen])

    def _images_of(self, identity: int, random: np.random.Generator) -> np.ndarray:
        members = self.members[identity]
        rounds = -(-self.images // len(members))
        return np.concatenate([self._shuffled(members, random) for _ in range(rounds)])[: self.images]

    def _shuffled(self, members: np.ndarray, random: np.random.Generator) -> np.ndarray:
        """`members` in random order; with conditions, first one of each, then a second one of each, and so on."""
        shuffled = random.permutation(members)
        if self.conditions is None:
            return shuffled
        return shuffled[np.argsort(_occurrence(self.conditions[shuffled]), kind="stable")]


class WaitingSampler(PKSampler):
    """P x K batches from which people can be left out for an epoch. Every identity comes at most once in an epoch.

    waiting: how many may be left out at once. All epochs have as many batches as one has from which so many are left out, so
    that the loop's schedules know the length of an epoch. Of two images or more of an identity, the first two differ and are in
    random order.
    """

    def __init__(self, labels: np.ndarray, identities: int, images: int, seed: int, waiting: int):
        self.labels = np.unique(labels)  # of `members`
        steps = (len(self.labels) - waiting) // identities
        if steps < 1:
            people = f"{waiting} of {len(self.labels)} people"
            raise InputError(f"{people} may be left out, and those who stay fill no batch of {identities}")
        super().__init__(labels, identities, images, seed, steps=steps)
        self.left_out = np.empty(0, dtype=np.int64)

    def leave_out(self, labels: np.ndarray) -> None:
        """From now on leave out the people of these labels, at most `waiting`; labels that nobody has say nothing."""
        self.left_out = np.array(labels)

    def batches(self, random: np.random.Generator) -> Iterator[np.ndarray]:
        present = np.flatnonzero(~np.isin(self.labels, self.left_out))
        for chosen in in_rounds(len(present), self.identities, self.steps, random):
            yield np.concatenate([self._images_of(identity, random) for identity in present[chosen]])


def _positions(labels: np.ndarray) -> list[np.ndarray]:
    """Positions of each label, labels ascending, in one sort."""
    order = np.argsort(labels, kind="stable")
    _, starts = np.unique(labels[order], return_index=True)
    return np.split(order, starts[1:])


def _occurrence(values: np.ndarray) -> np.ndarray:
    """How often each entry's value has occurred before it: [3, 5, 3, 3] -> [0, 0, 1, 2]."""
    order = np.argsort(values, kind="stable")
    ordered = values[order]
    before = np.empty(len(values), dtype=np.int64)
    before[order] = np.arange(len(values)) - np.searchsorted(ordered, ordered)
    return before
