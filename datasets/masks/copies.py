"""Photographs with masks drawn on them, as rows of a table beside those without."""

import hashlib
import zlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from common.errors import InputError, listing
from common.progress import say
from datasets.manifest import MASKED, Manifest, Pairs
from datasets.masks.face import KNOWN, can_wear
from datasets.masks.look import draw_look
from datasets.masks.wear import wear

DRAWING = "\n".join(hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(Path(__file__).parent.glob("*.py")))
"""All that the pixels of a masked photograph depend on beside those of the plain one and the packages."""


def masked_pixels(image: np.ndarray, points: np.ndarray, landmarks: tuple[str, ...], file_name: str) -> np.ndarray:
    """The image, uint8 [S, S, 3], with the one mask that the photograph `file_name` always has."""
    return wear(image, points, landmarks, draw_look(np.random.default_rng(zlib.crc32(file_name.encode()))))


def with_masks(faces: Manifest, plain: bool) -> Manifest:
    """A masked copy of each of the faces that have landmarks to lay it by, which is told if some have not; `plain`: behind the
    photographs themselves. Raises InputError if none has."""
    wearing = wearers(faces)
    if not wearing.any():
        raise InputError(f"masks are laid on faces by landmarks, and {lacking(faces)}")
    if not wearing.all():
        say(f"{(~wearing).sum():,} of {len(faces):,} photographs have no landmarks to lay a mask by, and so no masked copy")
    masked = _marked(faces.where(wearing))
    return _joined(faces, masked) if plain else masked


def with_masked_pairs(pairs: Pairs, known: Manifest, which: str) -> tuple[Pairs, Manifest]:
    """Pairs whose "first", "second" or "both" photographs wear masks, and what is known of their photographs.

    known: row for row of `pairs.file_names`. Raises InputError if one that should wear a mask has no landmarks.
    """
    sides = ["first", "second"] if which == "both" else [which]
    wanted = set().union(*(pairs.table[side] for side in sides))
    bare = [name for name, wearing in zip(known.file_names, wearers(known), strict=True) if name in wanted and not wearing]
    if bare:
        raise InputError(
            f"evaluate.masked is {which!r}, and {len(bare):,} of {len(wanted):,} photographs that should wear a mask have no"
            f" landmarks to lay it by: {listing(bare) if known.landmarks else lacking(known)}"
        )
    masked = Pairs(pairs.table.assign(**{side: MASKED + pairs.table[side] for side in sides}), pairs.root)
    return masked, _joined(known, _marked(known)).of_files(masked.file_names)


def wearers(faces: Manifest) -> np.ndarray:
    """Which of the faces have landmarks by which a mask can be laid, bool [N]."""
    return np.zeros(len(faces), dtype=bool) if faces.points is None else can_wear(faces.points, faces.landmarks)


def lacking(faces: Manifest) -> str:
    """Why no mask can be laid on any of the faces."""
    if faces.landmarks:
        return (
            f"none of these {len(faces):,} photographs has three of those that are known here ({listing(KNOWN, most=99)});"
            f" theirs are {listing(faces.landmarks)}"
        )
    return (
        f"these {len(faces):,} photographs have none; the reader cfp has them, {{name: twin, landmarks: true}} has, and"
        f" --data.boxes=FACES.csv gives them to others"
    )


def _marked(faces: Manifest) -> Manifest:
    return replace(faces, table=faces.table.assign(file_name=MASKED + faces.table["file_name"]))


def _joined(first: Manifest, second: Manifest) -> Manifest:
    """The faces of two manifests of the same columns and landmarks."""
    points = None if first.points is None or second.points is None else np.concatenate([first.points, second.points])
    return replace(first, table=pd.concat([first.table, second.table], ignore_index=True), points=points)
