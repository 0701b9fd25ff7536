"""Celebrities in Frontal-Profile in the Wild (Sengupta et al., WACV 2016), in its official layout.

    Data/Images/<id>/{frontal,profile}/<n>.jpg
    Data/Fiducials/<id>/{frontal,profile}/<n>.txt           30 landmarks, `x,y` a line
    Protocol/Pair_list_{F,P}.txt                            `<number> ../Data/Images/...`
    Protocol/Split/{FF,FP}/<fold>/{same,diff}.txt           `<number>,<number>`: F,F or F,P

The ten folds share no identity. Fold k tests, the next fold present validates, all others train. A partial copy (folds
or people left out) works as long as the photographs of its folds are there.
"""

import re
from dataclasses import replace
from functools import cached_property
from pathlib import Path

import numpy as np

from common.errors import InputError, listing, shortened
from common.files import existing_folder
from datasets.manifest import BOX, Face, Manifest, Pairs
from datasets.readers.presence import check_files, check_text

PARTS = {"jaw": 9, "brow": 3, "eye": 6, "nose": 7, "mouth": 5}
LANDMARKS = tuple(f"{part}_{number}" for part, count in PARTS.items() for number in range(count))
"""Those of the half of the face that is seen, be it the left or the right: a mirror changes none of them into another."""
JAW_EAR = 0  # the jaw line runs from the visible ear (0) to the chin (8)
NOSE = slice(18, 23)  # from between the eyes over the tip to the lip
MIRRORS = {"angle": {"left": "right", "right": "left"}}
PHOTOGRAPH = re.compile(r"\.\./Data/Images/[^/]+/(frontal|profile)/[^/]+\.jpg")  # as the pair lists name it
MARGIN = 1.6  # side of the face box in heights from eyebrow to chin: hair and ears are inside


class CFP:
    """Reader of CFP: `fold` is the test fold, `protocol` FP (frontal against profile) or FF.

    Attribute `angle`: frontal, or left / right for a profile whose nose points to the image's left / right. There is no
    expression label. The 30 landmarks are points of the manifest, unknown where their file is absent, and the face box comes
    from them. Raises InputError for an incomplete layout.
    """

    def __init__(self, root: str, fold: int = 2, protocol: str = "FP"):
        self.root = existing_folder(root, "CFP's folder, with Data/ and Protocol/ in it")
        self.protocol = protocol
        splits = self.root / "Protocol" / "Split"
        if not (splits / protocol).is_dir():
            known = sorted(path.name for path in splits.glob("*")) if splits.is_dir() else []
            raise InputError(f"CFP has no protocol {protocol!r} in {str(splits)!r}; it has: {listing(known) or 'none'}")
        self.folds = sorted(int(path.name) for path in (splits / protocol).iterdir() if path.name.isdigit())
        if fold not in self.folds or len(self.folds) < 3:
            raise InputError(
                f"CFP fold {fold} cannot be tested in {str(splits / protocol)!r}: three or more folds are needed, present are "
                f"{listing(self.folds, most=20) or 'none'}"
            )
        following = self.folds[(self.folds.index(fold) + 1) % len(self.folds)]
        self._folds_of = {
            "train": [other for other in self.folds if other not in (fold, following)],
            "validate": [following],
            "test": [fold],
        }

    def faces(self, split: str) -> Manifest:
        """Every photograph of the people in the split's folds, ordered by file name."""
        pairs = [pair for fold in self._folds_of[split] for pair in self._fold_pairs(fold)]
        people = sorted({name.split("/")[2] for pair in pairs for name in pair[:2]})
        faces, points = [], []
        for person in people:
            for path in sorted((self.root / "Data" / "Images" / person).glob("*/*.jpg")):
                points.append(self._points(person, path.parent.name, path.stem))
                angle = _angle(points[-1], path.parent.name)
                faces.append(Face(path.relative_to(self.root).as_posix(), person, {"angle": angle} if angle else {}))
        if not faces:
            raise InputError(
                f"CFP has no photographs of the people in fold {listing(self._folds_of[split])} under "
                f"{str(self.root / 'Data' / 'Images')!r}"
            )
        check_text((face.file_name for face in faces), repr(str(self.root)))
        manifest = Manifest.of(faces, self.root, MIRRORS)
        boxes = [_box(places, face.file_name.split("/")[-2]) for places, face in zip(points, faces)]
        table = manifest.table.assign(**dict(zip(BOX, np.array(boxes).T)))
        return replace(manifest, table=table, points=np.array(points), landmarks=LANDMARKS)

    def pairs(self, split: str) -> Pairs:
        """The official pairs of the split's folds, same before diff in each fold; for train, those of all its folds."""
        rows = [pair for fold in self._folds_of[split] for pair in self._fold_pairs(fold)]
        first, second, same = zip(*rows)
        pairs = Pairs.of(first, second, same, self.root)
        check_files(self.root, pairs.file_names, f"CFP's {self.protocol} pairs of fold {listing(self._folds_of[split], most=10)}")
        return pairs

    def _fold_pairs(self, fold: int) -> list[tuple[str, str, bool]]:
        pairs = []
        for name, same in (("same", True), ("diff", False)):
            path = self.root / "Protocol" / "Split" / self.protocol / f"{fold:02d}" / f"{name}.txt"
            for number, line in enumerate(_lines(path), start=1):
                try:
                    left, right = (field.strip() for field in line.split(","))
                    pairs.append((self._numbered[self.protocol[0]][left], self._numbered[self.protocol[1]][right], same))
                except (ValueError, KeyError) as error:
                    raise InputError(
                        f"{str(path)!r} line {number} is {shortened(repr(line))}; it should be two numbers of the pair"
                        f" lists, such as 502,203"
                    ) from error
        return pairs

    @cached_property
    def _numbered(self) -> dict[str, dict[str, str]]:
        """For F and P, the file that each number of the protocol stands for, relative to the root."""
        lists = {}
        for kind in "FP":
            path = self.root / "Protocol" / f"Pair_list_{kind}.txt"
            fields = [line.split() for line in _lines(path)]
            if any(len(words) != 2 or not PHOTOGRAPH.fullmatch(words[1]) for words in fields):
                raise InputError(f"{str(path)!r} should have lines such as '1 ../Data/Images/001/frontal/01.jpg'")
            lists[kind] = {number: name.removeprefix("../") for number, name in fields}
        return lists

    def _points(self, person: str, kind: str, stem: str) -> np.ndarray:
        """The landmarks of a photograph, float64 [30, 2] as x, y in pixels; NaN if their file is absent."""
        path = self.root / "Data" / "Fiducials" / person / kind / f"{stem}.txt"
        if not path.is_file():
            return np.full((len(LANDMARKS), 2), np.nan)
        try:
            points = np.loadtxt(path, delimiter=",", ndmin=2)
        except ValueError as error:
            raise InputError(f"{str(path)!r} should hold {len(LANDMARKS)} lines 'x,y': {error}") from error
        if points.shape != (len(LANDMARKS), 2) or not np.isfinite(points).all():
            raise InputError(
                f"{str(path)!r} has {points.shape[0]} landmarks; it should have {len(LANDMARKS)}, all of two numbers"
            )
        return points


def _angle(points: np.ndarray, kind: str) -> str | None:
    """Where the nose points to; for a profile without landmarks unknown."""
    if kind == "frontal":
        return "frontal"
    nose, ear = points[NOSE, 0].mean(), points[JAW_EAR, 0]
    return None if np.isnan(nose) else "right" if nose > ear else "left"


def _box(points: np.ndarray, kind: str) -> tuple[float, float, float, float]:
    """The face box around the landmarks; NaN without them."""
    half = MARGIN / 2 * np.ptp(points[:, 1])
    # Landmarks cover one half of a frontal face, whose middle is therefore the nose, and all of a profile.
    centre_x = points[NOSE, 0].mean() if kind == "frontal" else (points[:, 0].min() + points[:, 0].max()) / 2
    centre_y = (points[:, 1].min() + points[:, 1].max()) / 2
    return centre_x - half, centre_y - half, centre_x + half, centre_y + half


def _lines(path: Path) -> list[str]:
    try:
        return [line for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{str(path)!r} cannot be read; CFP's layout needs it") from error
