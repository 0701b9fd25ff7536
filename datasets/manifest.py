"""Tables of faces and of pairs: what a reader hands on. No pixels and no tensors here."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

BOX = ("left", "top", "right", "bottom")
MASKED = "masked//"
"""What the name of a photograph begins with that is to have a mask drawn on it (`datasets.masks`); the rest names its file."""
Mirrors = Mapping[str, Mapping[str, str]]


class Face(NamedTuple):
    """One photograph: its file relative to the root, its identity (None if unknown), its known attributes."""

    file_name: str
    face_id: str | None
    attributes: dict[str, str]


@dataclass(frozen=True)
class Manifest:
    """The faces of one split, one row a photograph.

    table: columns `file_name` (str, relative to `root`, with `/`, perhaps behind MASKED), `face_id` (str or None), any
        attributes (str or None: a missing attribute is a missing label, never a guess) and, where the reader knows where the face
        is, all of `left, top, right, bottom` (float pixels, right and bottom exclusive, may reach outside the photograph).
    root: the folder that file names are relative to.
    mirrors: for each attribute that a horizontal mirror changes, the value that each value turns into,
        e.g. {"angle": {"C1": "C13", "C13": "C1"}}; a value that is not listed stays.
    points: landmarks of the faces, float64 [N, L, 2] as x, y in pixels of the upright photograph, where 0, 0 is the middle of
        its first pixel; both NaN where unknown; None if no face has any. They are no attributes.
    landmarks: the names of the L landmarks. In a mirrored image the words left and right in them change places.
    """

    table: pd.DataFrame
    root: Path
    mirrors: Mirrors = field(default_factory=dict)
    points: np.ndarray | None = None
    landmarks: tuple[str, ...] = ()

    def __post_init__(self):
        shape = None if self.points is None else self.points.shape
        if shape != (None if shape is None else (len(self.table), len(self.landmarks), 2)):
            raise ValueError(f"{len(self.table)} faces with {len(self.landmarks)} landmarks cannot have points of shape {shape}")

    @staticmethod
    def of(faces: Iterable[Face], root: Path, mirrors: Mirrors | None = None) -> Manifest:
        """A manifest of single faces; the columns are all attributes that any of them has, sorted."""
        faces = list(faces)
        names = sorted({name for face in faces for name in face.attributes})
        attributes = {name: [face.attributes.get(name) for face in faces] for name in names}
        return Manifest.of_columns(
            [face.file_name for face in faces], [face.face_id for face in faces], attributes, root, mirrors
        )

    @staticmethod
    def of_columns(
        file_names: Iterable[str],
        face_ids: Iterable[str | None],
        attributes: Mapping[str, Iterable[str | None]],
        root: Path,
        mirrors: Mirrors | None = None,
    ) -> Manifest:
        """A manifest of whole columns, all equally long; a million faces are no million objects."""
        columns = {"file_name": file_names, "face_id": face_ids, **attributes}
        return Manifest(_table(columns), Path(root), mirrors or {})

    def __len__(self) -> int:
        return len(self.table)

    @property
    def attributes(self) -> list[str]:
        """Names of the attributes that at least one face has, in column order."""
        others = [name for name in self.table.columns if name not in ("file_name", "face_id", *BOX)]
        return [name for name in others if self.table[name].notna().any()]

    @property
    def identities(self) -> list[str]:
        """The face_ids, each once, sorted: position = label."""
        return sorted(self.table["face_id"].dropna().unique())

    def labels(self) -> np.ndarray:
        """Identity labels, int64 [N]: positions in `identities`, -1 where the identity is unknown."""
        return codes(self.table["face_id"], self.identities)

    def values(self, attribute: str) -> list[str]:
        """The values of an attribute, each once, sorted, together with all that a mirror can turn them into."""
        seen = set(self.table[attribute].dropna())
        return sorted(seen | {self.mirrors.get(attribute, {}).get(value, value) for value in seen})

    @property
    def file_names(self) -> list[str]:
        return self.table["file_name"].tolist()

    @property
    def masked(self) -> np.ndarray:
        """Which photographs are to have a mask drawn on them, bool [N]."""
        return self.table["file_name"].str.startswith(MASKED).to_numpy(dtype=bool)

    @property
    def paths(self) -> list[str]:
        """The files of the photographs, relative to the root."""
        return [name.removeprefix(MASKED) for name in self.file_names]

    @property
    def boxes(self) -> np.ndarray | None:
        """Face boxes, float64 [N, 4] as left, top, right, bottom, NaN where unknown; None if no face has one."""
        if not set(BOX) <= set(self.table.columns):
            return None
        return self.table[list(BOX)].to_numpy(dtype=np.float64)

    @property
    def mirrored_landmarks(self) -> np.ndarray:
        """Which landmark of a photograph becomes each landmark of its mirror image, int64 [L] positions in `landmarks`:
        the mirror's left eye is the right eye. The points of a mirrored image are `points[:, mirrored_landmarks]`, their x
        mirrored, too."""
        places = {name: place for place, name in enumerate(self.landmarks)}
        return np.array([places.get(mirrored_name(name), place) for name, place in places.items()], dtype=np.int64)

    def of_files(self, file_names: Iterable[str]) -> Manifest:
        """What is known of the given photographs, in their order; nothing (missing values) of those not in the table."""
        known = self.table.drop_duplicates("file_name")
        rows = known.set_index("file_name").reindex(pd.Index(file_names, name="file_name"))
        points = None
        if self.points is not None:
            places = pd.Index(known["file_name"]).get_indexer(rows.index)
            points = np.full((len(rows), *self.points.shape[1:]), np.nan)
            points[places >= 0] = self.points[known.index[places[places >= 0]]]
        return replace(self, table=rows.reset_index()[list(self.table.columns)], points=points)

    def where(self, keep: np.ndarray) -> Manifest:
        """The faces for which `keep` (bool [N]) holds, in the same order."""
        keep = np.asarray(keep, dtype=bool)
        points = None if self.points is None else self.points[keep]
        return replace(self, table=self.table[keep].reset_index(drop=True), points=points)

    def of_identities(self, identities: Iterable[str]) -> Manifest:
        """The faces of the given people."""
        return self.where(self.table["face_id"].isin(list(identities)).to_numpy())


@dataclass(frozen=True)
class Pairs:
    """Pairs of photographs to compare, one row a pair, in the order of their source.

    table: columns `first`, `second` (str, relative to `root`) and `same` (True, False or None: no answer).
    """

    table: pd.DataFrame
    root: Path

    @staticmethod
    def of(first: Iterable[str], second: Iterable[str], same: Iterable[bool | None] | None, root: Path) -> Pairs:
        first = list(first)
        answers = [None] * len(first) if same is None else same
        return Pairs(_table({"first": first, "second": second, "same": answers}), Path(root))

    def __len__(self) -> int:
        return len(self.table)

    @property
    def file_names(self) -> list[str]:
        """Every photograph that stands in a pair, once, sorted."""
        return sorted(set(self.table["first"]) | set(self.table["second"]))

    @property
    def answered(self) -> np.ndarray:
        """Which pairs have an answer, bool [P]."""
        return self.table["same"].notna().to_numpy()

    def where(self, keep: np.ndarray) -> Pairs:
        """The pairs for which `keep` (bool [P]) holds, in the same order."""
        return Pairs(self.table[np.asarray(keep)].reset_index(drop=True), self.root)

    @property
    def same(self) -> np.ndarray:
        """The answers of pairs that all have one, bool [P]."""
        return self.table["same"].to_numpy(dtype=bool)


def _table(columns: Mapping[str, Iterable]) -> pd.DataFrame:
    """A table of these very objects; pandas is given arrays, since it would look for a type in every cell of a list."""
    return pd.DataFrame({name: np.fromiter(cells, dtype=object) for name, cells in columns.items()}, dtype=object)


def codes(column: pd.Series, values: list[str]) -> np.ndarray:
    """Positions of a column's entries in `values`, int64 [N]; -1 for a missing entry."""
    return pd.Categorical(column, categories=values).codes.astype(np.int64)


def mirrored_name(landmark: str) -> str:
    """The name of the landmark that stands in its place in a mirrored image: left_eye and right_eye change places."""
    swap = {"left": "right", "right": "left"}
    return re.sub("left|right", lambda word: swap[word[0]], landmark)


def digest(*parts: Manifest | Pairs | str) -> str:
    """SHA-256 over tables, landmarks and the digests of photographs: it changes if any label, point, pair or photograph does."""
    total = hashlib.sha256()
    for part in parts:
        total.update((part if isinstance(part, str) else part.table.to_csv(index=False)).encode() + b"\0")
        if isinstance(part, Manifest) and part.points is not None:
            total.update(points_digest(part).encode() + b"\0")
    return total.hexdigest()


def points_digest(faces: Manifest) -> str:
    """SHA-256 over the names and the places of all landmarks; of a manifest without any, that of nothing."""
    if faces.points is None:
        return hashlib.sha256().hexdigest()
    names = "\0".join(faces.landmarks).encode()
    places = np.where(np.isnan(faces.points), np.nan, faces.points)  # one NaN for all: there are many
    return hashlib.sha256(names + b"\0\0" + places.astype("<f8").tobytes()).hexdigest()
