"""How probable it is that two photographs with a score show the same person: Platt scaling.

J. Platt, "Probabilistic outputs for support vector machines" (Advances in Large Margin Classifiers, 1999), with the Newton
steps of Lin, Lin and Weng (Machine Learning 68, 2007). No tensors here, and no scikit-learn: whoever asks for a
probability waits for neither.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from common.errors import InputError
from verification.decisions import finite, stored_finite

STEPS = 100  # Newton's method takes about ten
LARGEST = 36.0  # log odds beyond which a float64 would be 1


class Scaling(NamedTuple):
    """The log odds of a score: slope * score + intercept; slope >= 0."""

    slope: float
    intercept: float


def probability(scores: np.ndarray, scaling: Scaling) -> np.ndarray:
    """The probability that the pairs with these scores (float64 [P]) show the same person, float64 [P] in (0, 1), never falling.

    It holds where matching pairs are as frequent as among the pairs that the scaling was fitted on.
    """
    odds = np.clip(scaling.slope * finite(scores) + scaling.intercept, -LARGEST, LARGEST)
    return 1 / (1 + np.exp(-odds))


def fit_scaling(scores: np.ndarray, same: np.ndarray) -> Scaling:
    """The scaling under which the answers are most likely.

    scores: float64 [P], finite. same: bool [P], with both answers among them. As Platt has it, the targets are
    (n + 1) / (n + 2) for the n pairs of the same person and 1 / (m + 2) for the m others, so that scores that part the two
    kinds without a fault give no steps from 0 to 1. Where higher scores are not more often the same person, the slope is 0.
    """
    scores, same = finite(scores), np.asarray(same, dtype=bool)
    matching = int(same.sum())
    target = np.where(same, (matching + 1) / (matching + 2), 1 / (len(same) - matching + 2))
    middle, spread = float(scores.mean()), float(scores.std())
    share = float(target.mean())
    flat = Scaling(0.0, float(np.log(share / (1 - share))))
    if not spread > 0:
        return flat
    values = (scores - middle) / spread
    slope, intercept = 0.0, flat.intercept
    loss = _loss(slope * values + intercept, target)
    for _ in range(STEPS):
        likely = 1 / (1 + np.exp(-np.clip(slope * values + intercept, -LARGEST, LARGEST)))
        excess, weight = likely - target, likely * (1 - likely)
        gradient = float((excess * values).sum()), float(excess.sum())
        curved, mixed, whole = float((weight * values * values).sum()), float((weight * values).sum()), float(weight.sum())
        scale = curved * whole - mixed * mixed  # sums, not products of matrices: their bits do not depend on the threads
        if not scale > 0:
            break
        step = (whole * gradient[0] - mixed * gradient[1]) / scale, (curved * gradient[1] - mixed * gradient[0]) / scale
        length = 1.0
        while length > 1e-10:
            tried = slope - length * step[0], intercept - length * step[1]
            reached = _loss(tried[0] * values + tried[1], target)
            if reached < loss:
                break
            length /= 2
        else:
            break  # no step makes it better: this is the minimum
        (slope, intercept), loss = tried, reached
    return Scaling(slope / spread, intercept - slope * middle / spread) if slope > 0 else flat


def stored_scaling(about: Mapping[str, Any], flip: bool) -> Scaling | None:
    """What the description of a weight file says, for embeddings without or with `flip`; None if it says nothing.

    Raises InputError if what stands there is no scaling.
    """
    stored = about.get("validation", {}).get("probability")
    if stored is None:
        return None
    numbers = stored.get("flip" if flip else "plain") if isinstance(stored, dict) else None
    if not isinstance(numbers, dict) or not all(stored_finite(numbers.get(name)) for name in Scaling._fields):
        raise InputError(f"the weight file is corrupt: its scaling of probabilities is {stored!r:.100}, which is none")
    scaling = Scaling(**{name: numbers[name] for name in Scaling._fields})
    if scaling.slope < 0:
        raise InputError(f"the weight file is corrupt: its probabilities fall with the score (slope {scaling.slope})")
    return scaling


def _loss(odds: np.ndarray, target: np.ndarray) -> float:
    """Minus the log likelihood."""
    return float((np.logaddexp(0, odds) - target * odds).sum())
