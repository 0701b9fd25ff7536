"""A stranger's list of pairs, to be scored in place of a reader's own."""

from pathlib import Path

import numpy as np
import pandas as pd

from common.errors import InputError, listing
from datasets.manifest import BOX, Manifest, Pairs
from datasets.readers.boxes import joined, listed_faces, read_boxes, read_boxes_csv, with_boxes
from datasets.readers.presence import check_files
from datasets.readers.tables import read_answers, read_csv

BOXES = tuple([f"{edge}{number}" for edge in BOX] for number in (1, 2))
"""Columns of the face boxes of image1 and image2: left1, top1, right1, bottom1; left2, ..."""


def read_pairs_csv(path: str | Path, data_root: str | Path = "", boxes: str = "") -> tuple[Pairs, Manifest]:
    """Pairs from a CSV and, row for row with their `file_names`, what is known of the photographs.

    Columns image1, image2 and, where answers are known, label (1 = different) or same (1 = same); where face boxes are
    known, left1, top1, right1, bottom1 of image1 and left2, top2, right2, bottom2 of image2, in pixels. boxes: a CSV of face
    boxes (`datasets.readers.boxes`) that are known beside these. File names of both are relative to `data_root`; empty
    means the pair list's own folder. Raises InputError for an unreadable list, for photographs that are missing or lie outside
    the root, and for a photograph with two different boxes.
    """
    path = Path(path)
    table = read_csv(path, ["image1", "image2"])
    first, second = (table[column].to_numpy(dtype=object) for column in ("image1", "image2"))
    pairs = Pairs.of(first, second, read_answers(table, path), Path(data_root or path.parent))
    check_files(pairs.root, pairs.file_names, repr(str(path)))
    faces = Manifest.of([], pairs.root).of_files(pairs.file_names)
    columns = [name for names in BOXES for name in names]
    present = [name for name in columns if name in table.columns]
    if 0 < len(present) < len(columns):
        raise InputError(
            f"{str(path)!r} has the face-box columns {listing(present, most=8)}; it needs all or none of {', '.join(columns)}"
        )
    if present:
        names = pd.concat([table["image1"], table["image2"]], ignore_index=True)
        sides = [read_boxes(table, columns, table[image], path) for columns, image in zip(BOXES, ("image1", "image2"))]
        faces = joined(faces, listed_faces(names, np.concatenate(sides), pairs.root, path), path)
    return pairs, with_boxes(faces, read_boxes_csv(boxes, pairs.root), boxes) if boxes else faces
