"""How photographs are cut before a network sees them, to their face boxes or whole: what weights should be used alike."""

from typing import Any

import numpy as np

from common.errors import InputError
from datasets.manifest import Manifest

MUCH = 0.5  # share of the photographs


def cut_of(faces: Manifest) -> dict[str, float]:
    """For a weight file, what it learned from: {"boxes": share of the photographs that are cut to a face box}."""
    boxes = faces.boxes
    return {"boxes": 0.0 if boxes is None or not len(faces) else float(np.isfinite(boxes).all(axis=1).mean())}


def cut_difference(trained: Any, faces: Manifest, source: str) -> str | None:
    """One sentence if the faces are not cut as those were that the weights learned from; None if they are or it is unknown.

    trained: `cut_of` the training photographs, as the weight file `source` tells it; None if it does not. Raises InputError if
    it is no such thing.
    """
    if trained is None:
        return None
    before = trained.get("boxes") if isinstance(trained, dict) else None
    if type(before) is not float or not 0 <= before <= 1:
        raise InputError(f"{source} is corrupt: its share of photographs cut to face boxes is {before!r}")
    now = cut_of(faces)["boxes"]
    boxed = round(now * len(faces))
    if before >= MUCH and now < before:
        return (
            f"{source} learned from photographs cut to their face boxes, and {len(faces) - boxed:,} of these {len(faces):,} have"
            f" no box and are used whole; --data.boxes=FACES.csv (file_name, left, top, right, bottom) gives boxes, as do columns"
            f" left1, top1, right1, bottom1, left2, ... of the --pairs list"
        )
    if before < MUCH and now > before:
        return (
            f"{source} learned from whole photographs, and {boxed:,} of these {len(faces):,} are cut to their face boxes; without"
            f" boxes they are used whole"
        )
    return None
