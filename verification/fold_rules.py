"""How the k-fold accuracy of a list of pairs is computed: this project's rule and those of two reference systems.

    calibrated     folds by kind of pair; the threshold that is most accurate on the other folds, in the middle of its gap
    facex          FaceX-Zoo (Wang et al., arXiv 2101.04407): 1,000 thresholds from just above the lowest to the highest score
                   of the other folds, that of the largest TPR - FPR; a pair at the threshold itself counts as wrong
    insightface    InsightFace, PocketNet and others since FaceNet's evaluation: squared distances of unit vectors, thresholds
                   0, 0.01, ..., 3.99, the first of those most accurate on the other folds; the same person below it

The reference systems cut the list into folds as it stands, so that a list should have both kinds of pair in each fold.
Computed in float64, where they have float32 scores or sums of squared differences: a pair within rounding of a threshold
may be decided otherwise.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from common.errors import InputError
from verification.decisions import calibrate, decide

FACEX_STEPS = 1000
DISTANCES = np.arange(0, 4, 0.01)
ROUNDING = 1e-4  # by which the cosine of two float32 vectors may leave [-1, 1], with room to spare


class FoldRule(NamedTuple):
    """folds(same, count): the fold of each pair, int64 [P]. measure(scores): what thresholds are compared with, float64 [P].
    threshold(measures, same): the one that the other folds give. correct(measures, same, threshold): bool [P]."""

    folds: Callable[[np.ndarray, int], np.ndarray]
    measure: Callable[[np.ndarray], np.ndarray]
    threshold: Callable[[np.ndarray, np.ndarray], float]
    correct: Callable[[np.ndarray, np.ndarray, float], np.ndarray]


def by_kind(same: np.ndarray, count: int) -> np.ndarray:
    """Fold i holds the i-th block, in list order, of the pairs of the same person and the i-th block of the others."""
    fold = np.empty(len(same), dtype=np.int64)
    for members in (np.flatnonzero(same), np.flatnonzero(~same)):
        fold[members] = in_order(members, count)
    return fold


def in_order(pairs: np.ndarray, count: int) -> np.ndarray:
    """Fold i is the i-th block of the list; the first blocks are longer by one where the count does not divide it."""
    return np.repeat(np.arange(count), [len(block) for block in np.array_split(np.arange(len(pairs)), count)])


def best_rate_difference(scores: np.ndarray, same: np.ndarray) -> float:
    """The lowest of FaceX-Zoo's thresholds with the largest TPR - FPR; the rate of a kind that is absent is 0."""
    low, high = scores.min(), scores.max()
    thresholds = low + (high - low) / FACEX_STEPS * np.arange(1, FACEX_STEPS + 1)
    tpr, fpr = (_share_above(scores[kind], thresholds) for kind in (same, ~same))
    return float(thresholds[np.argmax(tpr - fpr)])


def off_the_threshold(scores: np.ndarray, same: np.ndarray, threshold: float) -> np.ndarray:
    """Pairs of the same person strictly above the threshold and pairs of different people strictly below it."""
    return np.where(same, scores > threshold, scores < threshold)


def squared_distances(cosines: np.ndarray) -> np.ndarray:
    """|a - b|^2 = 2 - 2 cos(a, b) of unit vectors. Raises InputError for scores that are no cosines."""
    if len(cosines) and np.abs(cosines).max() > 1 + ROUNDING:
        raise InputError(
            f"the fold rule 'insightface' takes cosines, and a score is {cosines[np.abs(cosines).argmax()]:g}; use another rule"
        )
    return 2 - 2 * cosines


def most_accurate_distance(distances: np.ndarray, same: np.ndarray) -> float:
    """The first of InsightFace's thresholds below which calling a pair the same person is right most often."""
    below = [np.searchsorted(np.sort(distances[kind]), DISTANCES, side="left") for kind in (same, ~same)]
    return float(DISTANCES[np.argmax(below[0] + (~same).sum() - below[1])])


def below_the_threshold(distances: np.ndarray, same: np.ndarray, threshold: float) -> np.ndarray:
    """Pairs that are right where the same person means strictly below the threshold."""
    return (distances < threshold) == same


def check_fold_rule(rule: str, similarity: str) -> None:
    """Raise InputError for a rule that cannot be computed from such scores."""
    if rule == "insightface" and similarity != "cosine":
        raise InputError(
            f"evaluate.fold_rule 'insightface' compares unit vectors, and these weights have similarity {similarity!r}; use"
            f" 'calibrated' or 'facex'"
        )


def _share_above(scores: np.ndarray, thresholds: np.ndarray) -> np.ndarray:
    """The share of the scores that lie strictly above each threshold; 0 of none."""
    above = len(scores) - np.searchsorted(np.sort(scores), thresholds, side="right")
    return above / max(1, len(scores))


FOLD_RULES = {
    "calibrated": FoldRule(by_kind, np.asarray, calibrate, lambda scores, same, threshold: decide(scores, threshold) == same),
    "facex": FoldRule(in_order, np.asarray, best_rate_difference, off_the_threshold),
    "insightface": FoldRule(in_order, squared_distances, most_accurate_distance, below_the_threshold),
}
