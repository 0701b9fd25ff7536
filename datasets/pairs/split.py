"""People dealt out to train, validate and test from a seed, nobody to two of them."""

from collections.abc import Iterable, Mapping

import numpy as np

from common.errors import InputError, listing
from datasets.manifest import Manifest, Pairs
from datasets.pairs.draw import draw_pairs, random_stream

SPLITS = ("train", "validate", "test")
LEAST = 2  # people in a split: one person makes no pair of different people


def split_identities(identities: Iterable[str], shares: Mapping[str, float], seed: int) -> dict[str, list[str]]:
    """Deal the people out at random: to each split of `shares` its share of all, to `train` the rest; each list sorted.

    A split gets at least two people; one with share 0 gets none. Raises InputError for a share outside [0, 1), shares
    that leave nobody to train, or too few people.
    """
    people = sorted(set(identities))
    for split, share in shares.items():
        if not 0 <= share < 1:
            raise InputError(f"{split}_share is {share}; it should be at least 0 and below 1")
    sizes = {split: max(LEAST, round(share * len(people))) if share else 0 for split, share in shares.items()}
    left = len(people) - sum(sizes.values())
    if left < LEAST:
        asked = ", ".join(f"{split} {share:g}" for split, share in shares.items())
        raise InputError(
            f"{len(people)} people cannot be split with shares {asked}: {max(left, 0)} would be left to train; train and each "
            f"split with a share need {LEAST} or more, so give more people or smaller shares"
        )
    order = random_stream(seed, "identities").permutation(len(people))
    ends = np.cumsum(list(sizes.values()))
    dealt = dict(zip(sizes, np.split(order, ends)[: len(sizes)])) | {"train": order[ends[-1] :]}
    return {split: sorted(people[index] for index in indices) for split, indices in dealt.items()}


def check_two_photographs(manifest: Manifest, source: str) -> None:
    """Refuse people with a single photograph: no pair shows them twice, so nothing can be learned or verified of them."""
    counts = manifest.table["face_id"].value_counts()
    single = sorted(counts.index[counts == 1])
    if single:
        raise InputError(
            f"{source}: {len(single):,} of {len(counts):,} people have only one photograph, and verification needs two or more; "
            f"add photographs or take away: {listing(single)}"
        )


class SplitReader:
    """A reader over one manifest whose people are dealt out to the splits and whose pairs are drawn.

    validate_share, test_share: shares of the people; the rest trains. pairs: how many to draw for a split (see
    draw_pairs). cover: the attribute whose combinations the pairs cover evenly. The same manifest, options and seed give
    the same splits and pairs on every machine.
    """

    def __init__(
        self, manifest: Manifest, validate_share: float, test_share: float, pairs: int, split_seed: int, cover: str = "angle"
    ):
        self.root = manifest.root
        check_two_photographs(manifest, repr(str(self.root)))
        people = split_identities(manifest.identities, {"test": test_share, "validate": validate_share}, split_seed)
        self._faces = {split: manifest.of_identities(people[split]) for split in SPLITS}
        self._count, self._seed, self._cover = pairs, split_seed, cover

    def faces(self, split: str) -> Manifest:
        """The photographs of the split's people, in the manifest's order."""
        if split not in self._faces:
            raise InputError(f"there is no split {split!r}; there are: {listing(SPLITS)}")
        if not len(self._faces[split]):
            raise InputError(f"nobody is in the split {split!r} because {split}_share is 0; give it a share above 0, such as 0.2")
        return self._faces[split]

    def pairs(self, split: str) -> Pairs:
        """Pairs drawn from the split's photographs."""
        return draw_pairs(self.faces(split), self._count, random_stream(self._seed, f"{split} pairs"), self._cover)
