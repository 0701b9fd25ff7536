"""The report of one evaluation: its numbers as JSON and its pictures."""

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from common.files import write_json, write_whole
from verification.decisions import finite


def write_report(
    folder: Path,
    run: str,
    metrics: Mapping[str, Any],
    scores: np.ndarray,
    same: np.ndarray,
    threshold: float,
    angles: list[dict] | None = None,
) -> list[Path]:
    """Write `<run>_metrics.json`, `_scores.png`, `_roc.png` and `_angles.png` into `folder`; returns what was written.

    metrics: nested plain or numpy values, written as they are; what is not finite becomes null.
    scores: float64 [P], finite, at least one. same: bool [P]. threshold: the one that the pairs were decided at.
    angles: rows of `metrics.breakdown` over the camera angle; None or none: no picture by angle.
    There is no ROC without pairs of the same person and of different people.
    """
    from verification.plots import draw_angles, draw_roc, draw_scores  # which take a second to load: training needs none

    scores, same = finite(scores), np.asarray(same, dtype=bool)
    pictures: dict[str, Callable[[Path], None]] = {"scores": lambda path: draw_scores(path, run, scores, same, threshold)}
    if same.any() and not same.all():
        pictures["roc"] = lambda path: draw_roc(path, run, scores, same)
    if angles:
        pictures["angles"] = lambda path: draw_angles(path, run, angles)
    metrics_path = write_json(Path(folder) / f"{run}_metrics.json", plain(metrics))
    return [metrics_path, *(write_whole(Path(folder) / f"{run}_{name}.png", draw) for name, draw in pictures.items())]


def plain(value: Any) -> Any:
    """`value` with numpy's values as Python's and with None for every number that JSON has no way to write."""
    if isinstance(value, dict):
        return {key: plain(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(entry) for entry in value]
    if isinstance(value, (np.ndarray, np.generic)):
        return plain(value.tolist())
    return None if isinstance(value, float) and not math.isfinite(value) else value
