"""A stranger's lists of photographs: of people to identify, and of templates to compare. Every list is checked whole.

    photograph, identity                         a photograph and whom it shows
    photograph, template, medium [, quality]     a photograph of a template; template1, template2 [, same]: templates to compare
    left, top, right, bottom                     beside either, where known: its face box, as in `datasets.readers.boxes`

File names are relative to a root. A photograph has one face box, wherever it is listed.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from common.errors import InputError, listing, shortened
from datasets.manifest import BOX, Manifest, Pairs
from datasets.readers.boxes import joined, listed_faces, read_boxes, read_boxes_csv, with_boxes
from datasets.readers.presence import check_files
from datasets.readers.tables import read_answers, read_csv


def read_people_csv(path: str | Path, root: Path, identified: bool = True) -> Manifest:
    """Photographs and whom they show, in the list's order; without `identified` the column identity may be absent or empty.

    Raises InputError for an unreadable list, a photograph that is missing, lies outside the root or is listed twice.
    """
    path = Path(path)
    table = read_csv(path, ["photograph", "identity"] if identified else ["photograph"])
    twice = table["photograph"][table["photograph"].duplicated()].unique()
    if len(twice):
        raise InputError(f"{str(path)!r} lists {len(twice):,} photographs more than once: {listing(twice)}")
    check_files(root, table["photograph"], repr(str(path)))
    if identified:
        _check_filled(table, "identity", path)
    identities = [name or None for name in table["identity"]] if "identity" in table.columns else [None] * len(table)
    return _boxed(Manifest.of_columns(table["photograph"], identities, {}, root), table, path)


def check_roles(probes: Manifest, gallery: Manifest | None, distractors: Manifest | None) -> None:
    """Refuse lists that do not fit together. Raises InputError for

    a photograph that shows one person here and another there; a probe without a photograph of its person in the gallery, itself
    apart; a distractor that is a probe or in the gallery, or shows one of these people."""
    told = {} if gallery is None else dict(zip(gallery.file_names, gallery.table["face_id"]))
    both = [(name, person, told[name]) for name, person in zip(probes.file_names, probes.table["face_id"]) if name in told]
    differing = [name for name, one, other in both if one != other]
    if differing:
        raise InputError(
            f"{len(differing):,} photographs show one person among the probes and another in the gallery: {listing(differing)}"
        )
    if gallery is not None:
        counts = gallery.table["face_id"].value_counts().to_dict()
        own = {name for name, *_ in both}
        mates = [counts.get(person, 0) - (name in own) for name, person in zip(probes.file_names, probes.table["face_id"])]
        alone = [name for name, count in zip(probes.file_names, mates) if not count]
        if alone:
            raise InputError(
                f"{len(alone):,} of {len(probes):,} probes have no other photograph of their person in the gallery, where each"
                f" needs one (photographs of strangers are distractors): {listing(alone)}"
            )
    if distractors is not None:
        used = [probes.table] if gallery is None else [probes.table, gallery.table]
        for column, what in (("file_name", "photographs"), ("face_id", "people")):
            known = {value for table in used for value in table[column]}
            shared = sorted({value for value in distractors.table[column] if value is not None} & known)
            if shared:
                raise InputError(
                    f"{len(shared):,} {what} stand among the distractors and among the probes or in the gallery, and a distractor"
                    f" should show somebody else: {listing(shared)}"
                )


def read_templates_csv(path: str | Path, root: Path) -> tuple[pd.DataFrame, Manifest]:
    """A table with columns photograph, template, medium (str) and quality (float64, 1 where the list has no such column), and,
    each once, what is known of the photographs. A photograph without a medium is one by itself.

    Raises InputError for an unreadable list, photographs that are missing or lie outside the root, rows that come twice, and
    qualities that are not positive.
    """
    path = Path(path)
    table = read_csv(path, ["photograph", "template", "medium"])
    check_files(root, table["photograph"].unique(), repr(str(path)))
    _check_filled(table, "template", path)
    twice = table["photograph"][table.duplicated(["photograph", "template"])].unique()
    if len(twice):
        raise InputError(f"{str(path)!r} lists {len(twice):,} photographs twice in a template: {listing(twice)}")
    qualities = np.ones(len(table))
    if "quality" in table.columns:
        qualities = pd.to_numeric(table["quality"], errors="coerce").to_numpy(dtype=np.float64)
        wrong = ~(np.isfinite(qualities) & (qualities > 0))
        if wrong.any():
            row = int(wrong.argmax())
            cell = shortened(repr(table["quality"][row]))
            raise InputError(f"{str(path)!r} line {row + 2}: quality is {cell}; it should be a number above 0")
    alone = (table["medium"].str.strip() == "").to_numpy()
    medium = np.where(alone, table["photograph"], table["medium"])
    columns = {"photograph": table["photograph"], "template": table["template"], "medium": medium, "quality": qualities}
    names = table["photograph"].unique()
    return pd.DataFrame(columns), _boxed(Manifest.of_columns(names, [None] * len(names), {}, root), table, path)


def read_template_pairs(path: str | Path, templates: Iterable[str]) -> Pairs:
    """Pairs of template names, with answers where the list has a column `same` or `label` (see `read_answers`).

    Raises InputError for an unreadable list, and for templates that are unknown or compared with themselves.
    """
    path = Path(path)
    table = read_csv(path, ["template1", "template2"])
    pairs = Pairs.of(table["template1"], table["template2"], read_answers(table, path), Path())
    unknown = sorted(set(pairs.file_names) - set(templates))
    if unknown:
        raise InputError(f"{str(path)!r} names {len(unknown):,} templates that have no photographs: {listing(unknown)}")
    itself = pairs.table["first"] == pairs.table["second"]
    if itself.any():
        raise InputError(
            f"{str(path)!r} compares {itself.sum():,} templates with themselves: {listing(pairs.table['first'][itself])}"
        )
    return pairs


def together(lists: Sequence[Manifest], root: Path, boxes: str = "") -> Manifest:
    """The photographs of several lists, each once, with the face boxes that any list or the CSV `boxes` knows.

    Raises InputError for a photograph with two different boxes.
    """
    names = list(dict.fromkeys(name for faces in lists for name in faces.file_names))
    known = Manifest.of_columns(names, [None] * len(names), {}, root)
    for faces in lists:
        if faces.boxes is not None:
            known = joined(known, faces, root)
    return with_boxes(known, read_boxes_csv(boxes, root), boxes) if boxes else known


def people_csv(faces: Manifest) -> str:
    """The list that `read_people_csv` reads; lines end in a line feed."""
    columns = ["file_name", "face_id", *([] if faces.boxes is None else BOX)]
    table = faces.table[columns].rename(columns={"file_name": "photograph", "face_id": "identity"})
    return table.to_csv(index=False, lineterminator="\n")


def _check_filled(table: pd.DataFrame, column: str, path: Path) -> None:
    empty = (table[column].str.strip() == "").to_numpy()
    if empty.any():
        raise InputError(
            f"{str(path)!r}: {empty.sum():,} of {len(table):,} rows have an empty {column} (the first in line"
            f" {int(empty.argmax()) + 2}); each needs one"
        )


def _boxed(faces: Manifest, table: pd.DataFrame, path: Path) -> Manifest:
    """The faces with the boxes that the list has for them."""
    present = [name for name in BOX if name in table.columns]
    if 0 < len(present) < len(BOX):
        raise InputError(f"{str(path)!r} has the face-box columns {listing(present)}; it needs all or none of {', '.join(BOX)}")
    if not present:
        return faces
    names = table["photograph"]
    found = listed_faces(names, read_boxes(table, BOX, names, path), faces.root, path).of_files(faces.file_names)
    assert found.boxes is not None  # a list with these columns has boxes, if only unknown ones
    return replace(faces, table=faces.table.assign(**dict(zip(BOX, found.boxes.T))))
