"""Where K-FACE keeps its 4.3 million photographs and what their paths tell.

    [High/]<id>/<S001..S006>/<L1..L30>/<E01..E03>/<C1..C20>.jpg

S accessories (S001 none), L lights (L1 1000 lux), E expressions (E01 neutral), C cameras: C1 to C13 stand on a horizontal
arc in steps of 15 degrees with C7 in front, C14 to C20 above and below it.
"""

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import pandas as pd

from common.errors import InputError
from common.files import existing_folder
from common.progress import progress
from datasets.manifest import Manifest
from datasets.readers.folder import visible

ARC = range(1, 14)
MIRRORS = {"angle": {f"C{n}": f"C{14 - n}" for n in ARC if n != 7}}
"""Horizontal mirrors of the arc. Neither the data set's paper nor MixFace states how C14 to C20 mirror: they stay."""

ATTRIBUTES = ("accessory", "light", "expression", "angle")
"""In the order of the path. A manifest has them sorted."""
PATH = re.compile(
    r"(?P<face_id>[^/]+)/(?P<accessory>S00[1-6])/(?P<light>L[1-9]\d?)/(?P<expression>E0[1-3])/(?P<angle>C[1-9]\d?)\.jpg"
)


@dataclass(frozen=True)
class Conditions:
    """Which accessories, lights, expressions and cameras to read."""

    accessories: tuple[str, ...]
    lights: tuple[str, ...]
    expressions: tuple[str, ...]
    cameras: tuple[str, ...]

    @staticmethod
    def of(accessories: Iterable[int], lights: Iterable[int], expressions: Iterable[int], cameras: Iterable[int]) -> "Conditions":
        return Conditions(
            tuple(f"S{n:03d}" for n in accessories),
            tuple(f"L{n}" for n in lights),
            tuple(f"E{n:02d}" for n in expressions),
            tuple(f"C{n}" for n in cameras),
        )


LIGHTS = tuple(n for n in range(1, 31) if n != 7)  # L7 is not used by any protocol
SUBSETS = {
    "T1": Conditions.of([1], [1], [1], range(4, 11)),
    "T2": Conditions.of([1, 2], [1, 2, 8, 12, 16, 19, 22, 25, 28], [1], range(4, 11)),
    # The paper's table says C4 to C13, but its 654,160 images are 370 people x 4 x 17 x 2 x 13 cameras: C1 to C13.
    "T3": Conditions.of(range(1, 5), [1, 2, 3, 8, 9, 12, 13, 16, 17, 19, 20, 22, 23, 25, 26, 28, 29], [1, 2], ARC),
    "T4": Conditions.of(range(1, 7), LIGHTS, [1, 2, 3], range(1, 21)),
}
"""Training subsets of Jung et al., "MixFace" (2021); the test lists Q1 to Q4 cover the same conditions."""

TEST_PEOPLE = frozenset(
    """
    19082641 19090641 19090342 19090531 19070541 19082132 19091841 19092431 19071732 19072242
    19071221 19092421 19081441 19072612 19062811 19100222 19071142 19081931 19090631 19100131
    19071832 19100211 19091132 19082712 19091631 19090411 19062641 19091942 19072211 19101012
    """.split()
)
"""The 30 of the 400 people who test (MixFace)."""


def high_folder(root: str | Path) -> Path:
    """The folder `High` in `root`, or `root` itself where it is that folder; InputError if nobody's folder is in it."""
    folder = existing_folder(root, "K-FACE's folder, with High/ in it, or High itself")
    folder = folder / "High" if (folder / "High").is_dir() else folder
    if not visible(folder, folders=True):
        raise InputError(f"{str(folder)!r} has no folders of people in it; K-FACE has High/<id>/<S>/<L>/<E>/<C>.jpg")
    return folder


def photographs(folder: Path, people: Iterable[str], conditions: Conditions, title: str) -> Manifest:
    """The photographs of the people that are there, ordered by person and condition; `folder` is the folder High.

    Only folders of the wanted conditions are opened, and what is listed exists: no file needs a look of its own.
    Raises InputError if there is none.
    """
    names: list[str] = []
    face_ids: list[str] = []
    values: dict[str, list[str]] = {attribute: [] for attribute in ATTRIBUTES}
    for person in progress(sorted(people), title, unit="person"):
        for place in product(conditions.accessories, conditions.lights, conditions.expressions):
            inside = "/".join((person, *place))
            present = _files(f"{folder}/{inside}")
            cameras = [camera for camera in conditions.cameras if f"{camera}.jpg" in present]
            names += [f"{inside}/{camera}.jpg" for camera in cameras]
            face_ids += [person] * len(cameras)
            for attribute, value in zip(ATTRIBUTES, place):
                values[attribute] += [value] * len(cameras)
            values["angle"] += cameras
    if not names:
        raise InputError(f"{str(folder)!r} has none of the {title} photographs; K-FACE has High/<id>/<S>/<L>/<E>/<C>.jpg")
    columns = {"file_name": names, "face_id": face_ids} | {attribute: values[attribute] for attribute in sorted(ATTRIBUTES)}
    return Manifest(pd.DataFrame(columns, dtype=object), folder, MIRRORS)


def _files(folder: str) -> set[str]:
    try:
        with os.scandir(folder) as entries:
            return {entry.name for entry in entries if entry.is_file()}
    except (FileNotFoundError, NotADirectoryError):  # not everybody was photographed under every condition
        return set()
    except OSError as error:
        raise InputError(f"{folder!r} cannot be listed: {error.strerror}") from error
