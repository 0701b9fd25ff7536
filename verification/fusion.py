"""Several photographs of a person as one embedding, as IJB-C's 1:1 verification has it (Maze et al., ICB 2018)."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from verification.metrics import roc, tar_at_far, tar_at_nearest_far

FARS = {f"1e-{power}": float(f"1e-{power}") for power in range(6, 0, -1)}


def fuse(vectors: np.ndarray, file_names: list[str], templates: pd.DataFrame) -> tuple[np.ndarray, list[str]]:
    """One embedding of unit length for each template, float32 [T, D], and the templates' names, in order of appearance.

    vectors: float32 [N, D], the embedding of each of `file_names`. templates: rows photograph, template, medium, quality (> 0).
    An embedding counts by its direction alone, times the quality (such as the detector's score); the mean is taken over the
    photographs of a medium (the frames of a video) and summed over the media of the template.
    """
    rows = pd.Index(file_names).get_indexer(pd.Index(templates["photograph"]))
    template, names = pd.factorize(templates["template"])
    medium = templates.groupby(["template", "medium"], sort=False).ngroup().to_numpy()
    media = int(medium.max()) + 1
    sums = np.zeros((media, vectors.shape[1]))
    unit = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    np.add.at(sums, medium, unit[rows] * templates["quality"].to_numpy()[:, None])
    means = sums / np.bincount(medium, minlength=media)[:, None]
    owner = np.zeros(media, dtype=np.int64)
    owner[medium] = template
    fused = np.zeros((len(names), vectors.shape[1]))
    np.add.at(fused, owner, means)
    fused /= np.maximum(np.linalg.norm(fused, axis=1, keepdims=True), 1e-12)
    return fused.astype(np.float32), names.tolist()


def template_metrics(scores: np.ndarray, same: np.ndarray) -> dict[str, Any]:
    """TAR at FAR 1e-6 to 1e-1, by two rules; None where pairs of one kind are lacking.

    scores: float64 [P], finite. same: bool [P].
    tar_at_far: never above the target (`metrics.tar_at_far`), and None where so small a rate cannot be told: below 1 / the number
    of pairs of different people. tar_at_nearest_far: at the point of the ROC nearest to it, as published figures have it.
    """
    figures: dict[str, Any] = {"tar_at_far": None, "tar_at_nearest_far": None}
    figures |= {"same_pairs": int(same.sum()), "different_pairs": int((~same).sum())}
    if same.all() or not same.any():
        return figures
    far, tar = roc(scores, same)
    least = 1 / figures["different_pairs"]
    figures["tar_at_far"] = {name: tar_at_far(far, tar, target) if target >= least else None for name, target in FARS.items()}
    figures["tar_at_nearest_far"] = {name: tar_at_nearest_far(far, tar, target) for name, target in FARS.items()}
    return figures


def unresolved(figures: Mapping[str, Any]) -> str | None:
    """One sentence about the rates of `template_metrics` that its pairs cannot tell; None if there are none."""
    missing = [name for name, rate in (figures["tar_at_far"] or {}).items() if rate is None]
    if not missing:
        return None
    return (
        f"no TAR at FAR {', '.join(missing)}: with {figures['different_pairs']:,} pairs of different people the smallest FAR"
        f" that can be told is {1 / figures['different_pairs']:.1e}; the nearest point of the ROC stands beside it all the same"
    )
