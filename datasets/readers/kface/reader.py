"""Reader of K-FACE, with the test people of its published verification protocol."""

from functools import cached_property
from pathlib import Path

from common.errors import InputError, listing, shortened
from datasets.manifest import Face, Manifest, Pairs
from datasets.pairs.draw import draw_pairs, random_stream
from datasets.pairs.split import SPLITS, split_identities
from datasets.readers.folder import visible
from datasets.readers.kface.layout import ATTRIBUTES, MIRRORS, PATH, SUBSETS, TEST_PEOPLE, high_folder, photographs
from datasets.readers.presence import check_files
from datasets.readers.tables import SAME


class KFace:
    """Reader of K-FACE: the published 30 people test, the others train and validate.

    subset: conditions of all photographs, T1 (few) to T4 (all). pair_list: a published list of test pairs, `path path
    1|0` a line, 1 = same, paths relative to High; without it test pairs are drawn. validate_share: share of the people
    who do not test. pairs: how many to draw for a split. Attributes: accessory, angle (camera), expression and light.
    The mirror of a camera on the arc C1 to C13 is Ci <-> C(14-i); that of C14 to C20 is not published, so they stay as
    they are. Raises InputError for another layout or a list that does not fit it.
    """

    def __init__(
        self,
        root: str,
        subset: str = "T1",
        pair_list: str | None = None,
        validate_share: float = 0.1,
        pairs: int = 1000,
        split_seed: int = 0,
    ):
        if subset not in SUBSETS:
            raise InputError(f"K-FACE has no subset {subset!r}; it has: {', '.join(SUBSETS)}")
        self.root = high_folder(root)
        self._conditions, self._subset = SUBSETS[subset], subset
        self._pair_list = Path(pair_list) if pair_list else None
        self._count, self._seed = pairs, split_seed
        people = set(visible(self.root, folders=True))
        self._people = split_identities(people - TEST_PEOPLE, {"validate": validate_share}, split_seed)
        self._people["test"] = sorted(people & TEST_PEOPLE)

    def faces(self, split: str) -> Manifest:
        """The subset's photographs of the split's people; for a published list, the photographs that stand in it."""
        if split not in SPLITS:
            raise InputError(f"there is no split {split!r}; there are: {listing(SPLITS)}")
        if split == "test" and self._pair_list:
            parts = [PATH.fullmatch(name).groupdict() for name in self._listed.file_names]
            faces = [
                Face(name, part["face_id"], {attribute: part[attribute] for attribute in ATTRIBUTES})
                for name, part in zip(self._listed.file_names, parts)
            ]
            return Manifest.of(faces, self.root, MIRRORS)
        if not self._people[split]:
            why = f"none of the {len(TEST_PEOPLE)} test people is in it" if split == "test" else f"{split}_share is 0"
            raise InputError(f"K-FACE in {str(self.root)!r} has nobody to {split}: {why}")
        return photographs(self.root, self._people[split], self._conditions, f"K-FACE {self._subset} {split}")

    def pairs(self, split: str) -> Pairs:
        """The published test pairs in their order, or pairs drawn from the split, evenly over all pairs of cameras."""
        if split == "test" and self._pair_list:
            return self._listed
        return draw_pairs(self.faces(split), self._count, random_stream(self._seed, f"{split} pairs"))

    @cached_property
    def _listed(self) -> Pairs:
        pairs = read_pair_list(self._pair_list, self.root)
        strangers = sorted({name.split("/")[0] for name in pairs.file_names} - TEST_PEOPLE)
        if strangers:
            raise InputError(
                f"{str(self._pair_list)!r} names {len(strangers):,} people who are not among the {len(TEST_PEOPLE)} test people "
                f"and may have trained: {listing(strangers)}"
            )
        return pairs


def read_pair_list(path: Path, root: Path) -> Pairs:
    """Pairs of a published list; InputError names the first line of another form, or the files that are missing."""
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"pair list {str(path)!r} cannot be read: {error}") from error
    rows = []
    for number, line in enumerate(lines, start=1):
        fields = line.split()
        if not fields:
            continue
        if len(fields) != 3 or fields[2] not in SAME or not all(map(PATH.fullmatch, fields[:2])):
            raise InputError(
                f"{str(path)!r} line {number} is {shortened(repr(line))}; it should be two paths and 1 (same) or 0, such as "
                f"'19082641/S001/L1/E01/C4.jpg 19082641/S001/L1/E01/C7.jpg 1'"
            )
        rows.append((*fields[:2], SAME[fields[2]]))
    if not rows:
        raise InputError(f"pair list {str(path)!r} is empty")
    pairs = Pairs.of(*zip(*rows), root)
    check_files(root, pairs.file_names, repr(str(path)))
    return pairs
