"""Any collection of photographs sorted into one folder per person.

    <face_id>/<any name>.jpg        also jpeg, png, pgm, ppm, bmp, webp, tif and tiff, in upper or lower case
    attributes.csv                  optional: file_name (`<face_id>/<name>`) and a column for each attribute

Hidden files and folders are left out. An empty cell of attributes.csv is a missing label, as is a photograph it does not
list. Its columns left, top, right, bottom, if there, are face boxes in pixels instead of attributes.
"""

import math
import os
from pathlib import Path

import pandas as pd

from common.errors import InputError, listing
from common.files import existing_folder
from datasets.manifest import BOX, Manifest
from datasets.pairs.split import SplitReader
from datasets.readers.competition import MIRRORS as COMPETITION_MIRRORS
from datasets.readers.presence import check_files
from datasets.readers.tables import read_csv

MIRRORED = {"left": "right", "right": "left", **COMPETITION_MIRRORS["angle"]}
RESERVED = {"image", "label", "rotation", "epoch", "lr", "seconds", "validation", "type", "training", "float", "double", "half"}
"""Names that batches, logs and modules already use."""
SUFFIXES = (".jpg", ".jpeg", ".png", ".pgm", ".ppm", ".bmp", ".webp", ".tif", ".tiff")


class Folder(SplitReader):
    """Reader of one folder per person, with people dealt out to train, validate and test and pairs drawn from a seed.

    In a mirrored image the attribute values left and right, and the competition's cameras, change places; what a mirror
    does to other values is unknown, so they stay. Raises InputError for an empty
    folder, people with a single photograph or an attributes.csv that does not fit the photographs.
    """

    suffixes = SUFFIXES

    def __init__(self, root: str, validate_share: float = 0.2, test_share: float = 0.2, pairs: int = 1000, split_seed: int = 0):
        folder = existing_folder(root, "a folder with one folder of photographs per person")
        people = visible(folder, folders=True)
        photographs = [(person, name) for person in people for name in visible(folder / person, self.suffixes)]
        names = [f"{person}/{name}" for person, name in photographs]
        if not names:
            raise InputError(
                f"{str(folder)!r} has no photographs in its folders; it should have one folder per person, with files "
                f"{listing(self.suffixes, most=20)} in it"
            )
        check_files(folder, names, repr(str(folder)))
        manifest = Manifest.of_columns(names, [person for person, _ in photographs], {}, folder)
        attributes = folder / "attributes.csv"
        if attributes.exists():
            table = pd.concat([manifest.table, _read_attributes(attributes, names)], axis=1)
            manifest = Manifest(table, folder, {name: MIRRORED for name in table.columns})
        super().__init__(manifest, validate_share, test_share, pairs, split_seed)


def visible(folder: Path, suffixes: tuple[str, ...] = (), folders: bool = False) -> list[str]:
    """Names of the folders, or of the files with one of the suffixes (lower case), that are not hidden, sorted."""
    try:
        with os.scandir(folder) as entries:
            shown = [entry for entry in entries if not entry.name.startswith(".")]
    except OSError as error:
        raise InputError(f"{str(folder)!r} cannot be listed: {error.strerror}") from error
    if folders:
        return sorted(entry.name for entry in shown if entry.is_dir())
    # A dangling link is kept, for check_files to name it.
    return sorted(entry.name for entry in shown if entry.name.lower().endswith(suffixes) and not entry.is_dir())


def _read_attributes(path: Path, names: list[str]) -> pd.DataFrame:
    """Attribute and box columns, one row for each of `names`."""
    table = read_csv(path, ["file_name"])
    if "face_id" in table.columns:
        raise InputError(f"{str(path)!r} has a column 'face_id'; a photograph's folder is its face_id, so take the column out")
    if 0 < len(set(BOX) & set(table.columns)) < len(BOX):
        raise InputError(f"{str(path)!r} has some of the face-box columns {listing(BOX)} but not all; it needs all or none")
    unknown = sorted(set(table["file_name"]) - set(names))
    if unknown:
        raise InputError(
            f"{str(path)!r}: {len(unknown):,} of its {len(table):,} file names are not among the {len(names):,} photographs in "
            f"{str(path.parent)!r}, such as {names[0]!r}: {listing(map(repr, unknown))}"
        )
    twice = sorted(table["file_name"][table["file_name"].duplicated()].unique())
    if twice:
        raise InputError(f"{str(path)!r} lists {len(twice):,} photographs more than once: {listing(map(repr, twice))}")
    columns = [column for column in table.columns if column not in ("file_name", *BOX)]
    wrong = [column for column in columns if not column.isidentifier() or column in RESERVED]
    if wrong:
        raise InputError(
            f"{str(path)!r} has a column {listing(map(repr, wrong))}; an attribute's name should be letters, digits and _"
            f" and none of {', '.join(sorted(RESERVED))}"
        )
    rows = table.set_index("file_name").reindex(names, fill_value="")
    cells = {column: [cell or None for cell in rows[column]] for column in columns}
    read = pd.DataFrame(cells, dtype=object, index=range(len(names)))
    if BOX[0] in table.columns:
        read[list(BOX)] = [_box(cells, path, name) for name, cells in zip(names, rows[list(BOX)].to_numpy())]
    return read


def _box(cells: list[str], path: Path, name: str) -> tuple[float, ...]:
    """Four numbers left < right, top < bottom; four empty cells are an unknown box."""
    if not any(cells):
        return (math.nan,) * 4
    try:
        box = left, top, right, bottom = tuple(float(cell) for cell in cells)
        if all(map(math.isfinite, box)) and left < right and top < bottom:
            return box
    except ValueError:
        pass
    raise InputError(
        f"{str(path)!r}: the face box of {name!r} is {', '.join(map(repr, cells))}; it should be four numbers of pixels with "
        f"left < right and top < bottom, or four empty cells"
    )
