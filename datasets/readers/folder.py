"""Any collection of photographs sorted into one folder per person.

    <face_id>/<any name>.jpg        also jpeg, png, pgm, ppm, bmp, webp, tif and tiff, in upper or lower case
    attributes.csv                  optional: file_name (`<face_id>/<name>`) and a column for each attribute

Hidden files and folders are left out. An empty cell of attributes.csv is a missing label, as is a photograph it does not
list. Its columns left, top, right, bottom, if there, are face boxes in pixels instead of attributes, and two columns
<name>_x and <name>_y are a landmark (see datasets.readers.boxes).
"""

import os
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import numpy as np
import pandas as pd

from common.errors import InputError, listing
from common.files import existing_folder
from common.progress import say
from datasets.manifest import BOX, Manifest
from datasets.pairs.split import SplitReader
from datasets.readers.boxes import joined, listed_faces, split_columns
from datasets.readers.competition import MIRRORS as COMPETITION_MIRRORS
from datasets.readers.presence import check_files, check_text
from datasets.readers.tables import read_csv

MIRRORED = {"left": "right", "right": "left", **COMPETITION_MIRRORS["angle"]}
RESERVED = {"image", "label", "rotation", "epoch", "lr", "seconds", "images_per_second", "validation"}
"""Names that batches and logs already use."""
SUFFIXES = (".jpg", ".jpeg", ".png", ".pgm", ".ppm", ".bmp", ".webp", ".tif", ".tiff")


class Folder(SplitReader):
    """Reader of one folder per person, with people dealt out to train, validate and test and pairs drawn from a seed.

    In a mirrored image the attribute values left and right, and the competition's cameras, change places; what a mirror
    does to other values is unknown, so they stay. A folder whose files are all of unknown kinds is left out, which is said in
    a line. Raises InputError for an empty folder, people with a single photograph or an attributes.csv that does not fit the
    photographs.
    """

    suffixes: ClassVar[tuple[str, ...]] = SUFFIXES

    def __init__(self, root: str, validate_share: float = 0.2, test_share: float = 0.2, pairs: int = 1000, split_seed: int = 0):
        folder = existing_folder(root, "a folder with one folder of photographs per person")
        people = visible(folder, folders=True)
        photographs = [(person, name) for person in people for name in visible(folder / person, self.suffixes)]
        names = [f"{person}/{name}" for person, name in photographs]
        unread = [f"{person}/{file}" for person in people_without(people, photographs) for file in visible(folder / person)[:1]]
        if not names:
            raise InputError(
                f"{str(folder)!r} has no photographs in its folders; it should have one folder per person, with files "
                f"{listing(self.suffixes, most=20)} in it" + (f", and has {listing(unread)}" if unread else "")
            )
        if unread:
            say(
                f"{len(unread):,} of {len(people):,} folders in {str(folder)!r} are left out, since no file in them is of a kind"
                f" that is read ({' '.join(self.suffixes)}): {listing(unread)}"
            )
        check_files(folder, names, repr(str(folder)))
        manifest = Manifest.of_columns(names, [person for person, _ in photographs], {}, folder)
        attributes = folder / "attributes.csv"
        if attributes.exists():
            manifest = _with_attributes(manifest, attributes)
        super().__init__(manifest, validate_share, test_share, pairs, split_seed)


def people_without(people: list[str], photographs: list[tuple[str, str]]) -> list[str]:
    """The people of whom there is no photograph."""
    shown = {person for person, _ in photographs}
    return [person for person in people if person not in shown]


def visible(folder: Path, suffixes: tuple[str, ...] = (), folders: bool = False) -> list[str]:
    """Names of the folders, or of the files with one of the suffixes (lower case; none: all), that are not hidden, sorted.

    Raises InputError for a folder that cannot be listed, for names that are no text and, where folders are asked for, for
    links that lead nowhere, since they may have led to folders.
    """
    try:
        with os.scandir(folder) as entries:
            shown = [entry for entry in entries if not entry.name.startswith(".")]
    except OSError as error:
        raise InputError(f"{str(folder)!r} cannot be listed: {error.strerror}") from error
    if folders:
        dangling = sorted(entry.name for entry in shown if entry.is_symlink() and not os.path.exists(entry.path))
        if dangling:
            raise InputError(
                f"{len(dangling):,} of {len(shown):,} entries of {str(folder)!r} are dangling links, which lead to no folder"
                f" and no file; mend or remove them: {listing(dangling)}"
            )
        names = sorted(entry.name for entry in shown if entry.is_dir())
    else:  # a dangling link is kept, for check_files to name it
        names = sorted(entry.name for entry in shown if entry.name.lower().endswith(suffixes or "") and not entry.is_dir())
    check_text(names, repr(str(folder)))
    return names


def _with_attributes(faces: Manifest, path: Path) -> Manifest:
    """The faces with the attributes, boxes and landmarks of attributes.csv."""
    names = faces.file_names
    table = read_csv(path, ["file_name"])
    if "face_id" in table.columns:
        raise InputError(f"{str(path)!r} has a column 'face_id'; a photograph's folder is its face_id, so take the column out")
    unknown = sorted(set(table["file_name"]) - set(names))
    if unknown:
        raise InputError(
            f"{str(path)!r}: {len(unknown):,} of its {len(table):,} file names are not among the {len(names):,} photographs in "
            f"{str(path.parent)!r}, such as {names[0]!r}: {listing(map(repr, unknown))}"
        )
    twice = sorted(table["file_name"][table["file_name"].duplicated()].unique())
    if twice:
        raise InputError(f"{str(path)!r} lists {len(twice):,} photographs more than once: {listing(map(repr, twice))}")
    boxes, points, landmarks, columns = split_columns(table, path)
    columns.remove("file_name")
    wrong = [column for column in columns if not column.isidentifier() or column in RESERVED]
    if wrong:
        raise InputError(
            f"{str(path)!r} has a column {listing(map(repr, wrong))}; an attribute's name should be letters, digits and _"
            f" and none of {', '.join(sorted(RESERVED))}"
        )
    rows = table.set_index("file_name")[columns].reindex(names, fill_value="")
    cells = {column: [cell or None for cell in rows[column]] for column in columns}
    attributes = pd.DataFrame(cells, dtype=object, index=range(len(names)))
    mirrors = {column: MIRRORED for column in columns}
    faces = replace(faces, table=pd.concat([faces.table, attributes], axis=1), mirrors=mirrors)
    if boxes is None and points is None:
        return faces
    boxes = np.full((len(table), len(BOX)), np.nan) if boxes is None else boxes
    return joined(faces, listed_faces(table["file_name"], boxes, faces.root, path, points, landmarks), path)
