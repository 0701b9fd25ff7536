"""From scores to decisions: the threshold at which two photographs count as the same person."""

import math
from typing import Any, TypeGuard

import numpy as np

from common.errors import InputError, brief
from common.rules import known_rule


def calibrate(scores: np.ndarray, same: np.ndarray) -> float:
    """The threshold that decides most of the given (validation) pairs correctly, for use with `decide`.

    scores: float64 [P], finite, higher = more alike. same: bool [P], with both answers among them.
    Every possible decision is tried, one for each gap between neighbouring distinct scores. Among equally good gaps the
    widest is taken, the lowest of equally wide ones, and the threshold is the gap's middle: the largest margin to the
    pairs not seen here. Only where calling all pairs the same (or all different) is better than any gap does the
    threshold lie on the lowest score (or just above the highest).
    Raises InputError if all pairs have the same answer or a score is not finite.
    """
    scores, same = finite(scores), np.asarray(same, dtype=bool)
    if same.all() or not same.any():
        given = f"{same.sum():,} of the same person and {(~same).sum():,} of different people"
        raise InputError(f"calibrating a threshold takes pairs of both kinds; given are {given}")
    values, position = np.unique(scores, return_inverse=True)
    surplus = np.bincount(position, weights=np.where(same, 1, -1))  # same minus different pairs at each distinct score
    correct = same.sum() - np.concatenate([[0], np.cumsum(surplus)])  # entry k: values[k:] are called the same person
    width = np.concatenate([[0], np.diff(values), [0]])
    cut = int(np.argmax(np.where(correct == correct.max(), width, -1)))
    if cut == len(values):
        return float(np.nextafter(values[-1], np.inf))
    if cut == 0:
        return float(values[0])
    low, high = values[cut - 1], values[cut]
    middle = low / 2 + high / 2
    return float(middle if low < middle <= high else high)  # between adjacent floats the middle rounds, perhaps onto low


def threshold(scores: np.ndarray, rule: str | float, calibrated: float | None) -> float:
    """The threshold that `rule` gives for the scores (float64 [P]) of the pairs to decide.

    rule "calibrated" or "far:<rate>": the given `calibrated`, found on validation pairs; the answer to one pair depends on
        that pair alone. (For "far:<rate>" it is that of `operating_points.operating_point`.)
    rule "median": the median of these very scores. This is the original competition entry's rule. It is transductive: it
        needs the whole test set at once, every pair's answer depends on the others, and it assumes that half of the
        pairs match; where that does not hold, it is wrong by as much.
    a finite number: that number.
    Raises InputError if the rule is none of these, if it takes `calibrated` and that is None, or if there are no scores to
    take the median of.
    """
    check_rule(rule)
    if isinstance(rule, str) and rule != "median":
        if calibrated is None:
            raise InputError(
                f"rule {rule!r} takes the threshold from the weight file and this one has none; use rule 'median' or a number"
            )
        return float(calibrated)
    if rule == "median":
        if not len(scores):
            raise InputError("rule 'median' needs at least one pair and there is none; use a number")
        return float(np.median(finite(scores)))
    return float(rule)


def check_rule(rule: str | float) -> None:
    """Raise InputError for a rule that gives no threshold, whatever the scores and the weights."""
    try:
        known_rule(rule)
    except ValueError as error:
        raise InputError(f"rule is {brief(rule)}; {error}") from error


def decide(scores: np.ndarray, threshold: float) -> np.ndarray:
    """Which pairs show the same person, bool [P]: those whose score (float64 [P]) is at least `threshold`.

    A score that equals the threshold is the same person, as in the original entry, where a pair is different (label 1)
    only if its distance lies above the threshold. Raises InputError if a score is not finite.
    """
    return finite(scores) >= np.float64(threshold)


def finite(scores: np.ndarray) -> np.ndarray:
    """The scores as float64 [P], so that no threshold is ever rounded to float32; InputError if one is NaN or infinite."""
    scores = np.asarray(scores, dtype=np.float64)
    faulty = np.flatnonzero(~np.isfinite(scores))
    if faulty.size:
        raise InputError(
            f"{faulty.size:,} of {scores.size:,} scores are not finite (pair {faulty[0] + 1:,} has {scores[faulty[0]]}); "
            "they should be, and finite weights give finite scores"
        )
    return scores


def stored_finite(value: Any) -> TypeGuard[float]:
    """Whether what a weight file says is a number to compute with: a finite float."""
    return type(value) is float and math.isfinite(value)
