"""The 2020 AI Challenge face-verification task (K-FACE photographs), in the layout that it handed out.

    train/train_meta.csv            face_id, file_name
    validate/validate_label.csv     image1, image2, label (1 = two different people)
    test/test_label.csv             image1, image2 [, label]

Photographs lie beside their CSV. A file name tells its conditions: in its stem, split at `_`, the field before the last
is the camera and the one before that the expression.
"""

from collections import Counter
from collections.abc import Collection, Iterable
from pathlib import Path
from sys import intern

from common.errors import InputError, listing
from common.files import existing_folder
from datasets.manifest import Manifest, Pairs
from datasets.readers.presence import check_files
from datasets.readers.tables import read_answers, read_csv

ANGLES = {"C1": -90, "C2": -75, "C3": -60, "C6": -15, "C7": 0, "C8": 15, "C11": 60, "C12": 75, "C13": 90}
"""Yaw of each camera in degrees; C7 looks at the face from the front."""
EXPRESSIONS = ("E01", "E02", "E03")
MIRRORS = {"angle": {camera: f"C{14 - int(camera[1:])}" for camera in ANGLES if camera != "C7"}}


class Competition:
    """Reader of the competition's data. File names are as in the CSVs, relative to the split's own folder.

    Attributes: angle (camera) and expression, missing for a file name of fewer than three fields. The photographs of
    validate and test have no identity. A test set without labels has pairs without answers. Raises InputError for missing
    files, repeated photographs, or conditions that the competition does not have.
    """

    def __init__(self, root: str):
        self.root = existing_folder(root, "the competition's folder, with train/, validate/ and test/ in it")

    def faces(self, split: str) -> Manifest:
        """The photographs of train_meta.csv in its order; for validate and test those of the pairs, sorted by name."""
        if split != "train":
            listed = self.pairs(split).file_names
            return self._manifest(listed, [None] * len(listed), self._csv(split))
        path = self._csv(split)
        table = read_csv(path, ["face_id", "file_name"])
        names, identities = (table[column].to_numpy(dtype=object) for column in ("file_name", "face_id"))
        check_files(path.parent, names, repr(str(path)))
        nameless = sum(count for name, count in Counter(identities).items() if not name.strip())
        if nameless:
            raise InputError(f"{str(path)!r}: {nameless:,} of {len(table):,} rows have an empty face_id; each needs one")
        twice = sorted(table["file_name"][table["file_name"].duplicated()].unique())
        if twice:
            raise InputError(f"{str(path)!r} lists {len(twice):,} photographs more than once: {listing(twice)}")
        return self._manifest(names, identities, path)

    def pairs(self, split: str) -> Pairs:
        """The pairs of validate or test in the order of their CSV; train has none."""
        if split not in ("validate", "test"):
            raise InputError(f"the competition has no pairs for {split!r}; it has pairs for: validate, test")
        path = self._csv(split)
        table = read_csv(path, ["image1", "image2"])
        answers = read_answers(table, path)
        first, second = (table[column].to_numpy(dtype=object) for column in ("image1", "image2"))
        pairs = Pairs.of(first, second, answers, path.parent)
        check_files(path.parent, pairs.file_names, repr(str(path)))
        return pairs

    def _csv(self, split: str) -> Path:
        return self.root / split / ("train_meta.csv" if split == "train" else f"{split}_label.csv")

    def _manifest(self, names: Collection[str], identities: Iterable[str | None], source: Path) -> Manifest:
        known = conditions(names)
        right = {"angle": {None, *ANGLES}, "expression": {None, *EXPRESSIONS}}
        wrong = []
        if any(set(known[attribute]) - values for attribute, values in right.items()):
            rows = ((name, known[attribute][row], right[attribute]) for row, name in enumerate(names) for attribute in right)
            wrong = [f"{value} in {name!r}" for name, value, values in rows if value not in values]
        if wrong:
            raise InputError(
                f"{str(source)!r}: {len(wrong):,} conditions in the names of {len(names):,} photographs are unknown: "
                f"{listing(wrong)}; cameras are {', '.join(ANGLES)} and expressions {', '.join(EXPRESSIONS)}, "
                f"as in 'id_S001_L1_E01_C7_1.jpg'"
            )
        told = {attribute: values for attribute, values in known.items() if any(values)}
        return Manifest.of_columns(names, identities, told, source.parent, MIRRORS)


def conditions(names: Iterable[str]) -> dict[str, list[str | None]]:
    """Angle and expression as told, right or wrong, by each file name; None for a stem of fewer than three fields."""
    angles: list[str | None] = []
    expressions: list[str | None] = []
    for name in names:  # nothing slower than this in here: there may be a million
        file = name.rpartition("/")[2]
        stem, _, suffix = file.rpartition(".")
        fields = (stem if stem and suffix else file).split("_")
        told = len(fields) >= 3
        angles.append(intern(fields[-2]) if told else None)
        expressions.append(intern(fields[-3]) if told else None)
    return {"angle": angles, "expression": expressions}
