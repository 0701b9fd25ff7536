"""The 2020 AI Challenge face-verification task (K-FACE photographs), in the layout that it handed out.

    train/train_meta.csv            face_id, file_name
    validate/validate_label.csv     image1, image2, label (1 = two different people)
    test/test_label.csv             image1, image2 [, label]

Photographs lie beside their CSV. A file name tells its conditions: in its stem, split at `_`, the field before the last
is the camera and the one before that the expression.
"""

from pathlib import Path, PurePosixPath

from datasets.manifest import Face, Manifest, Pairs, check_files
from datasets.tables import read_answers, read_csv
from errors import InputError, listing
from files import existing_folder

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
            pairs = self.pairs(split)
            return self._manifest(pairs.file_names, [None] * len(pairs.file_names), self._csv(split))
        path = self._csv(split)
        table = read_csv(path, ["face_id", "file_name"])
        check_files(path.parent, table["file_name"], repr(str(path)))
        nameless = int((table["face_id"].str.strip() == "").sum())
        if nameless:
            raise InputError(f"{str(path)!r}: {nameless:,} of {len(table):,} rows have an empty face_id; each needs one")
        twice = sorted(table["file_name"][table["file_name"].duplicated()].unique())
        if twice:
            raise InputError(f"{str(path)!r} lists {len(twice):,} photographs more than once: {listing(twice)}")
        return self._manifest(table["file_name"].tolist(), table["face_id"].tolist(), path)

    def pairs(self, split: str) -> Pairs:
        """The pairs of validate or test in the order of their CSV; train has none."""
        if split not in ("validate", "test"):
            raise InputError(f"the competition has no pairs for {split!r}; it has pairs for: validate, test")
        path = self._csv(split)
        table = read_csv(path, ["image1", "image2"])
        answers = read_answers(table, path)
        check_files(path.parent, sorted({*table["image1"], *table["image2"]}), repr(str(path)))
        return Pairs.of(table["image1"], table["image2"], answers, path.parent)

    def _csv(self, split: str) -> Path:
        return self.root / split / ("train_meta.csv" if split == "train" else f"{split}_label.csv")

    def _manifest(self, names: list[str], identities: list[str | None], source: Path) -> Manifest:
        attributes = [conditions(name) for name in names]
        wrong = [
            f"{value} in {name!r}"
            for name, known in zip(names, attributes)
            for attribute, right in (("angle", ANGLES), ("expression", EXPRESSIONS))
            if (value := known.get(attribute)) is not None and value not in right
        ]
        if wrong:
            raise InputError(
                f"{str(source)!r}: {len(wrong):,} conditions in the names of {len(names):,} photographs are unknown: "
                f"{listing(wrong)}; cameras are {', '.join(ANGLES)} and expressions {', '.join(EXPRESSIONS)}, "
                f"as in 'id_S001_L1_E01_C7_1.jpg'"
            )
        return Manifest.of(map(Face, names, identities, attributes), source.parent, MIRRORS)


def conditions(name: str) -> dict[str, str]:
    """Angle and expression as told, right or wrong, by a file name; empty for a stem of fewer than three fields."""
    fields = PurePosixPath(name).stem.split("_")
    return {"angle": fields[-2], "expression": fields[-3]} if len(fields) >= 3 else {}
