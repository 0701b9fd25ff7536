"""How well scores tell pairs of the same person from pairs of different people."""

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from common.errors import InputError
from verification.decisions import decide, finite
from verification.fold_rules import FOLD_RULES

TARGETS = {"1e-2": 1e-2, "1e-3": 1e-3}


def verification_metrics(scores: np.ndarray, same: np.ndarray, threshold: float) -> dict[str, float | None]:
    """Accuracy at `threshold`, and the measures that need none: auc, eer, tar_at_far_1e-2 and tar_at_far_1e-3.

    scores: float64 [P], finite, higher = more alike. same: bool [P]. All values lie in [0, 1]; without pairs of the same
    person and of different people all but the accuracy are undefined: None.
    Raises InputError if there are no pairs or a score is not finite.
    """
    scores, same = finite(scores), np.asarray(same, dtype=bool)
    if not same.size:
        raise InputError("there are no pairs with an answer to measure the scores on; it takes at least one")
    measures = {"accuracy": float((decide(scores, threshold) == same).mean()), "auc": None, "eer": None}
    measures |= {f"tar_at_far_{name}": None for name in TARGETS}
    if same.any() and not same.all():
        far, tar = roc(scores, same)
        measures |= {"auc": area(scores, same), "eer": equal_error_rate(far, tar)}
        measures |= {f"tar_at_far_{name}": tar_at_far(far, tar, target) for name, target in TARGETS.items()}
    return measures


def roc(scores: np.ndarray, same: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """False and true accept rates, float64 [T + 1] each, from (0, 0) to (1, 1), at each of the T distinct scores as threshold.

    scores: float64 [P], higher = more alike. same: bool [P], with both answers among them.
    """
    from sklearn.metrics import roc_curve  # here, since it takes seconds to load: who mistypes an option need not wait for it

    far, tar, _ = roc_curve(same, scores, drop_intermediate=False)
    return far, tar


def area(scores: np.ndarray, same: np.ndarray) -> float:
    """The area under the curve of `roc`, of the same scores and answers."""
    from sklearn.metrics import roc_auc_score

    return float(roc_auc_score(same, scores))


def equal_error_rate(far: np.ndarray, tar: np.ndarray) -> float:
    """Where the curve of `roc` has as many false accepts as false rejects: FAR = 1 - TAR, linear between its points."""
    excess = far - (1 - tar)  # climbs from -1 to 1
    after = int(np.argmax(excess >= 0))
    before = after - 1
    share = -excess[before] / (excess[after] - excess[before])
    return float(far[before] + share * (far[after] - far[before]))


def tar_at_far(far: np.ndarray, tar: np.ndarray, target: float) -> float:
    """The true accept rate at the largest false accept rate of the curve that is not above `target`.

    Nothing is interpolated, so the claim is one that a threshold keeps; with fewer than 1 / target pairs of different
    people it is the true accept rate before the first false accept.
    """
    return float(tar[far <= target].max())


def tar_at_nearest_far(far: np.ndarray, tar: np.ndarray, target: float) -> float:
    """The true accept rate at the point of the curve whose false accept rate is nearest to `target`, the later of two as near.

    So IJB-C's figures are usually published. The point may lie above the target, or far below it, so that no threshold keeps the
    claim; see `tar_at_far`.
    """
    distance = np.abs(far - target)
    return float(tar[np.flatnonzero(distance == distance.min())[-1]])


def k_fold(scores: np.ndarray, same: np.ndarray, folds: int, rule: str = "calibrated") -> dict:
    """Accuracy by the k-fold protocol of LFW (Huang et al., 2007, UMass 07-49) and CFP (Sengupta et al., WACV 2016).

    scores: float64 [P], finite, higher = more alike; cosines for the rule insightface. same: bool [P]. folds: at least 2.
    rule: calibrated, facex or insightface (`verification.fold_rules`). Each fold is decided at the threshold that the rule
    finds on the other folds. By default, calibrated, fold i holds the i-th block, in list order, of the pairs of the same
    person and the i-th block of the pairs of different people. For lists in the published order that gives the published
    folds, whether each fold's two halves stand together (LFW) or all the same pairs come first (CPLFW, CALFW).
    Returns rule, accuracy (mean over the folds), standard_error (standard deviation with ddof 1 over the root of the number
    of folds, which FaceX-Zoo reports), standard_deviation (with ddof 0, which InsightFace reports), fold_accuracies and
    fold_thresholds (lists, one entry a fold; thresholds are scores, for insightface squared distances).
    Raises InputError if there are fewer than 2 folds, or fewer same or different pairs than folds.
    """
    scores, same = finite(scores), np.asarray(same, dtype=bool)
    if folds < 2:
        raise InputError(f"folds is {folds}; a k-fold accuracy takes at least 2")
    counts = int(same.sum()), int((~same).sum())
    if min(counts) < folds:
        given = f"{counts[0]:,} same and {counts[1]:,} different"
        raise InputError(f"{folds} folds take at least {folds} pairs of each kind; given are {given}")
    steps = FOLD_RULES[rule]
    fold, measures = steps.folds(same, folds), steps.measure(scores)
    thresholds, accuracies = [], []
    for number in range(folds):
        inside = fold == number
        thresholds.append(steps.threshold(measures[~inside], same[~inside]))
        accuracies.append(float(steps.correct(measures[inside], same[inside], thresholds[-1]).mean()))
    return {
        "rule": rule,
        "accuracy": float(np.mean(accuracies)),
        "standard_error": float(np.std(accuracies, ddof=1) / np.sqrt(folds)),
        "standard_deviation": float(np.std(accuracies)),
        "fold_accuracies": accuracies,
        "fold_thresholds": thresholds,
    }


def breakdown(
    scores: np.ndarray,
    same: np.ndarray,
    threshold: float,
    first_values: Sequence[str | None],
    second_values: Sequence[str | None],
) -> list[dict]:
    """Accuracy and auc for each unordered pair of values of an attribute, such as the two photographs' camera angles.

    scores: float64 [P], finite, higher = more alike. same: bool [P]. first_values, second_values: [P], the attribute of
    either photograph; pairs where one is missing (None or NaN) are left out.
    Returns rows {first, second, pairs, accuracy, auc} in natural order, first not after second; auc is None where all
    pairs have the same answer.
    """
    scores, same = finite(scores), np.asarray(same, dtype=bool)
    correct = decide(scores, threshold) == same
    both = np.concatenate([np.asarray(values, dtype=object) for values in (first_values, second_values)])
    found, seen = pd.factorize(both)
    values = sorted(seen, key=natural)
    place = {value: number for number, value in enumerate(values)}
    rank = np.array([*map(place.get, seen), -1])  # the last is for missing values, whose code is -1
    first, second = rank[found].reshape(2, -1)
    known = np.flatnonzero((first >= 0) & (second >= 0))
    low, high = np.minimum(first, second)[known], np.maximum(first, second)[known]
    rows: list[dict[str, Any]] = []
    combination = low * len(values) + high
    order = np.argsort(combination, kind="stable")
    found_here, starts = np.unique(combination[order], return_index=True)
    for number, members in zip(found_here.tolist(), np.split(known[order], starts[1:])):
        one, other = divmod(number, len(values))
        mixed = same[members].any() and not same[members].all()
        auc = area(scores[members], same[members]) if mixed else None
        row = {"first": values[one], "second": values[other], "pairs": len(members)}
        rows.append(row | {"accuracy": float(correct[members].mean()), "auc": auc})
    return rows


def natural(name: str) -> tuple[list[tuple[int, str]], str]:
    """Sorting key that counts the numbers in a name, however many digits they have: C2 before C10."""
    words = [part.lstrip("0") if part.isdecimal() else part for part in re.split(r"(\d+)", name)]
    return [(len(word) if number % 2 else 0, word) for number, word in enumerate(words)], name
