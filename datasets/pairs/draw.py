"""Balanced verification pairs, drawn from a seed without ever listing all the pairs there are."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from common.errors import InputError
from datasets.manifest import Manifest, Pairs, codes

MOST_VALUES = 100  # an attribute with more values than this is a measurement, not a condition to cover
MOST_PAIRS = 10_000_000  # drawn at once: they are kept in memory


def random_stream(seed: int, purpose: str) -> np.random.Generator:
    """A generator that depends on nothing but the user's seed and on what it is for; InputError for a negative seed."""
    if seed < 0:
        raise InputError(f"the seed is {seed}; it should be 0 or a positive integer")
    return np.random.default_rng([seed, *purpose.encode()])


def draw_some(size: int, count: int, generator: np.random.Generator) -> np.ndarray:
    """Positions, int64 ascending, of `count` of `size` things, or of all if there are fewer."""
    return np.sort(generator.choice(size, min(count, size), replace=False))


def draw_pairs(manifest: Manifest, count: int, generator: np.random.Generator, cover: str | None = "angle") -> Pairs:
    """Draw `count` pairs of photographs, half of the same and half of different people, in random order.

    No pair comes twice, in either order. If the manifest has the attribute `cover`, same and different pairs are each
    spread as evenly as possible over all combinations of two of its values (a missing value counts as one more); within
    a combination same pairs are spread evenly over the people and different pairs drawn uniformly. If there are too few
    distinct pairs of a kind, all of them are taken and as many of the other kind. An odd `count` is rounded down.
    Photographs without an identity are left out. Time and memory grow with the photographs, not with their square.
    Raises InputError for a `count` below 2 or above MOST_PAIRS or if no pair of one kind exists.
    """
    if not 2 <= count <= MOST_PAIRS:
        raise InputError(
            f"pairs is {count:,}; it should be 2 or more, one of the same and one of different people, up to {MOST_PAIRS:,}"
        )
    cells = _Cells.of(manifest, cover)
    totals = np.array([[cells.same(*pair).sum(), cells.different(*pair).sum()] for pair in cells.combinations], dtype=np.int64)
    totals = totals.reshape(-1, 2)  # [combinations, 2]: how many same and different pairs there are
    same_count, different_count = totals.sum(axis=0)
    half = int(min(count // 2, same_count, different_count))
    if half < 1:
        raise InputError(
            f"cannot draw {count} balanced pairs from {len(cells.rows):,} photographs of {cells.counts.shape[1]:,} people: "
            f"there are {same_count:,} pairs of the same and {different_count:,} of different people; one of each is needed"
        )
    quotas = np.stack([_spread(half, totals[:, kind], generator) for kind in (0, 1)], axis=1)
    drawn = [
        draw(*pair, quota, generator)
        for pair, pair_quotas in zip(cells.combinations, quotas)
        for draw, quota in zip((cells.draw_same, cells.draw_different), pair_quotas)
    ]
    rows = np.concatenate(drawn)  # [pairs, 2]
    same = np.concatenate([np.full(len(part), kind % 2 == 0) for kind, part in enumerate(drawn)])
    order = generator.permutation(len(rows))
    rows, same = generator.permuted(rows[order], axis=1), same[order]  # else the lower value would always come first
    names = manifest.table["file_name"].to_numpy(dtype=object)
    return Pairs.of(names[rows[:, 0]], names[rows[:, 1]], same.tolist(), manifest.root)


@dataclass(frozen=True)
class _Cells:
    """Photographs sorted by the value to cover, then by person: a cell is one value of one person.

    rows: int64 [N], positions in the manifest, cell after cell.
    counts: int64 [values, people], photographs per cell.
    Pairs of a combination are numbered from 0 and a number is turned into its pair by arithmetic.
    """

    rows: np.ndarray
    counts: np.ndarray

    @staticmethod
    def of(manifest: Manifest, cover: str | None) -> "_Cells":
        labels = manifest.labels()
        people = len(manifest.identities)
        values, size = np.zeros(len(labels), dtype=np.int64), 1
        if cover in manifest.attributes:
            names = sorted(manifest.table[cover].dropna().unique())
            if len(names) <= MOST_VALUES:
                values = codes(manifest.table[cover], names) % (len(names) + 1)  # a missing value becomes the last code
                size = len(names) + 1
        rows = np.lexsort((labels, values))
        rows = rows[labels[rows] >= 0]
        cell = values[rows] * people + labels[rows]
        return _Cells(rows, np.bincount(cell, minlength=size * people).reshape(size, people))

    @cached_property
    def starts(self) -> np.ndarray:
        """Position in `rows` of each cell's first photograph, int64 [values, people]."""
        return (np.cumsum(self.counts) - self.counts.ravel()).reshape(self.counts.shape)

    @property
    def combinations(self) -> list[tuple[int, int]]:
        """Unordered combinations of two values, a value with itself included."""
        size = len(self.counts)
        return [(one, other) for one in range(size) for other in range(one, size)]

    def same(self, one: int, other: int) -> np.ndarray:
        """How many pairs of values `one` and `other` each person has with themselves, int64 [people]."""
        if one == other:
            return self.counts[one] * (self.counts[one] - 1) // 2
        return self.counts[one] * self.counts[other]

    def different(self, one: int, other: int) -> np.ndarray:
        """How many pairs start with each person and end with another one, int64 [people].

        Of two photographs with one value the person who comes first starts, so that each unordered pair counts once.
        """
        return self.counts[one] * self._partners(one, other)

    def draw_same(self, one: int, other: int, count: int, generator: np.random.Generator) -> np.ndarray:
        """`count` distinct pairs of one person each, int64 [count, 2] positions in the manifest."""
        available = self.same(one, other)
        quotas = _spread(count, available, generator)
        people = np.repeat(np.arange(len(quotas)), quotas)
        chosen = [_choose(available[person], quotas[person], generator) for person in np.flatnonzero(quotas)]
        number = np.concatenate([*chosen, np.empty(0, dtype=np.int64)])
        if one == other:  # pair (first < second) of a cell has the number second * (second - 1) / 2 + first
            second = ((1 + np.sqrt(1 + 8 * number.astype(np.float64))) // 2).astype(np.int64)
            first = number - second * (second - 1) // 2
        else:
            first, second = np.divmod(number, self.counts[other][people])
        return self._rows(self.starts[one][people] + first, self.starts[other][people] + second)

    def draw_different(self, one: int, other: int, count: int, generator: np.random.Generator) -> np.ndarray:
        """`count` distinct pairs of two people each, int64 [count, 2] positions in the manifest."""
        available = self.different(one, other)
        ends = np.cumsum(available)
        number = _choose(ends[-1], count, generator)
        person = np.searchsorted(ends, number, side="right")
        first, partner = np.divmod(number - (ends - available)[person], self._partners(one, other)[person])
        mine = self.starts[other][person]  # the partners are all photographs of `other` except those of this person
        if one == other:
            second = mine + self.counts[one][person] + partner
        else:
            second = self.starts[other][0] + partner
            second += np.where(second >= mine, self.counts[other][person], 0)
        return self._rows(self.starts[one][person] + first, second)

    def _partners(self, one: int, other: int) -> np.ndarray:
        """How many photographs of other people each photograph of a person can stand beside, int64 [people]."""
        everyone = self.counts[other].sum()
        return everyone - (np.cumsum(self.counts[other]) if one == other else self.counts[other])

    def _rows(self, first: np.ndarray, second: np.ndarray) -> np.ndarray:
        return np.stack([self.rows[first], self.rows[second]], axis=1)


def _choose(available: int, count: int, generator: np.random.Generator) -> np.ndarray:
    """`count` distinct numbers below `available`, int64 [count]."""
    if count == 0:
        return np.empty(0, dtype=np.int64)
    return generator.choice(int(available), int(count), replace=False, shuffle=False)


def _spread(count: int, room: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Deal `count` out as evenly as `room` (int64 [places], at least `count` in all) allows; a remainder falls at random."""
    given = np.zeros_like(room)
    while count:
        places = np.flatnonzero(room > given)
        each = count // len(places)
        if each == 0:
            given[generator.choice(places, count, replace=False)] += 1
            return given
        dealt = np.minimum(room[places] - given[places], each)
        given[places] += dealt
        count -= int(dealt.sum())
    return given
