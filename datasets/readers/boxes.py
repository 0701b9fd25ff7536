"""Where the faces are: boxes and landmarks from a CSV, and how they join what a reader knows.

    file_name, left, top, right, bottom          a face box in pixels of the upright photograph, right and bottom exclusive
    <name>_x, <name>_y                           optional, as many as one likes: a landmark, such as left_eye_x, left_eye_y

A row's cells of a box, or of a landmark, are all numbers or all empty, which means unknown.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from common.errors import InputError, listing, shortened
from datasets.manifest import BOX, Manifest
from datasets.readers.tables import read_csv


def read_boxes_csv(path: str | Path, root: Path) -> Manifest:
    """The photographs that a CSV of face boxes lists, relative to `root`, with what it says of each; unread columns are
    refused. Raises InputError."""
    path = Path(path)
    table = read_csv(path, ["file_name", *BOX])
    boxes, points, landmarks, others = split_columns(table, path)
    if others != ["file_name"]:
        others.remove("file_name")
        raise InputError(
            f"{str(path)!r} has a column {listing(map(repr, others))}; a CSV of face boxes has file_name, {', '.join(BOX)} and"
            f" for each landmark <name>_x and <name>_y"
        )
    return listed_faces(table["file_name"], boxes, root, path, points, landmarks)


def split_columns(table: pd.DataFrame, path: Path) -> tuple[np.ndarray | None, np.ndarray | None, tuple[str, ...], list[str]]:
    """Boxes float64 [N, 4], points float64 [N, L, 2], each None if there is no such column, the landmarks' names, and the
    names of all other columns. Raises InputError for some box columns without the others and for cells of the wrong kind."""
    present = [name for name in BOX if name in table.columns]
    if 0 < len(present) < len(BOX):
        raise InputError(f"{str(path)!r} has some of the face-box columns {listing(BOX)} but not all; it needs all or none")
    boxes = read_boxes(table, BOX, table["file_name"], path) if present else None
    columns = set(table.columns)
    landmarks = tuple(
        name.removesuffix("_x") for name in table.columns if name[:-2] and name.endswith("_x") and f"{name[:-2]}_y" in columns
    )
    points = None
    if landmarks:
        points = np.full((len(table), len(landmarks), 2), np.nan)
        for place, name in enumerate(landmarks):
            cells = table[[f"{name}_x", f"{name}_y"]]
            points[:, place], whole = _numbers(cells)
            right = "two numbers of pixels or two empty cells"
            _refuse(~whole, cells, table["file_name"], path, f"landmark {name}", right)
    told = {*present, *(f"{name}_{axis}" for name in landmarks for axis in "xy")}
    return boxes, points, landmarks, [name for name in table.columns if name not in told]


def read_boxes(table: pd.DataFrame, columns: Sequence[str], file_names: pd.Series, path: Path) -> np.ndarray:
    """Face boxes, float64 [N, 4], from four columns of text; NaN where all four cells are empty. Raises InputError."""
    boxes, whole = _numbers(table[list(columns)])
    left, top, right, bottom = boxes.T
    whole &= np.isnan(left) | (left < right) & (top < bottom)
    right_form = "four numbers of pixels with left < right and top < bottom, or four empty cells"
    _refuse(~whole, table[list(columns)], file_names, path, "face box", right_form)
    return boxes


def listed_faces(
    file_names: pd.Series,
    boxes: np.ndarray,
    root: Path,
    path: Path,
    points: np.ndarray | None = None,
    landmarks: tuple[str, ...] = (),
) -> Manifest:
    """A manifest of each photograph once. Raises InputError for one that is listed with two different boxes or points."""
    known = np.isfinite(boxes).any(axis=1) | (False if points is None else np.isfinite(points).any(axis=(1, 2)))
    places = np.flatnonzero(known)
    values = boxes if points is None else np.concatenate([boxes, points.reshape(len(points), -1)], axis=1)
    rows = pd.DataFrame(values[places]).assign(file_name=file_names.to_numpy()[places]).drop_duplicates()
    twice = rows["file_name"][rows["file_name"].duplicated()].unique()
    if len(twice):
        raise InputError(
            f"{str(path)!r} lists {len(twice):,} photographs with two different face boxes or landmarks, and which are right is"
            f" unknown: {listing(twice)}"
        )
    places = places[rows.index]
    columns = {"file_name": rows["file_name"].to_numpy(dtype=object)} | dict(zip(BOX, boxes[places].T))
    return Manifest(pd.DataFrame(columns), root, {}, None if points is None else points[places], landmarks)


def with_boxes(faces: Manifest, listed: Manifest, source: str | Path) -> Manifest:
    """`joined` to a list of its own; raises InputError if that has a box of none of the faces."""
    if not pd.Index(faces.file_names).isin(listed.file_names).any():
        raise InputError(
            f"{str(source)!r} has a face box of none of the {len(faces):,} photographs in {str(faces.root)!r}, such as"
            f" {faces.file_names[0]!r}; name them alike, or go without with --data.boxes="
        )
    return joined(faces, listed, source)


def joined(faces: Manifest, listed: Manifest, source: str | Path) -> Manifest:
    """The faces with the boxes and landmarks of those that are listed, beside what is known of the others.

    Raises InputError if a face that is listed has another box or other landmarks already.
    """
    found = listed.of_files(faces.file_names)
    boxes = found.boxes
    differing = np.zeros(len(faces), dtype=bool)
    if faces.boxes is not None:
        boxes, differing = _either(faces.boxes, boxes)
    points, landmarks = found.points, found.landmarks
    if points is None:
        points, landmarks = faces.points, faces.landmarks
    elif faces.points is not None and faces.landmarks != landmarks:
        raise InputError(
            f"{str(source)!r} has the landmarks {listing(landmarks)}, and the photographs have {listing(faces.landmarks)} already"
        )
    elif faces.points is not None:
        points, moved = _either(faces.points, points)
        differing |= moved
    if differing.any():
        names = [faces.file_names[place] for place in np.flatnonzero(differing)]
        raise InputError(
            f"{str(source)!r} gives {len(names):,} photographs another face box or other landmarks than they have already, and"
            f" which are right is unknown: {listing(names)}"
        )
    table = faces.table.assign(**dict(zip(BOX, boxes.T)))
    return replace(faces, table=table, points=points, landmarks=landmarks)


def below(listed: Manifest, root: Path) -> Manifest:
    """The photographs in the folder `root`, which lies in the folder of those listed, with names relative to it."""
    prefix = root.relative_to(listed.root).as_posix()
    if prefix == ".":
        return listed
    inside = listed.where(listed.table["file_name"].str.startswith(f"{prefix}/").to_numpy(dtype=bool))
    return replace(inside, root=root, table=inside.table.assign(file_name=inside.table["file_name"].str[len(prefix) + 1 :]))


def _either(known: np.ndarray, listed: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What either of two arrays [N, ...] knows, and in which rows they contradict each other."""
    both = np.isfinite(known) & np.isfinite(listed)
    differing = (both & (known != listed)).reshape(len(known), -1).any(axis=1)
    return np.where(np.isfinite(listed), listed, known), differing


def _numbers(cells: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """float64 [N, C] from text, and which rows are all finite numbers or all empty, bool [N]; the latter are NaN."""
    texts = cells.apply(lambda column: column.str.strip())
    values = texts.apply(pd.to_numeric, errors="coerce").to_numpy(dtype=np.float64)
    return values, np.isfinite(values).all(axis=1) | (texts == "").to_numpy().all(axis=1)


def _refuse(wrong: np.ndarray, cells: pd.DataFrame, file_names: pd.Series, path: Path, what: str, right: str) -> None:
    if wrong.any():
        row = int(wrong.argmax())
        shown = ", ".join(shortened(repr(cell)) for cell in cells.iloc[row])
        raise InputError(f"{str(path)!r}: the {what} of {shortened(repr(file_names.iloc[row]))} is {shown}; it should be {right}")
