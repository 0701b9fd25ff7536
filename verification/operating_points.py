"""Thresholds by false accept rate (FAR): how often two different people are taken for one.

They are found on the validation pairs, travel in the weight file, and do not depend on the scores that are decided. No
tensors here: whoever only decides needs none.
"""

from collections.abc import Mapping
from fractions import Fraction
from typing import Any, NamedTuple

import numpy as np

from common.errors import InputError
from common.rules import RATES
from verification.decisions import finite, stored_finite

CONFIDENCE = 0.95


class OperatingPoint(NamedTuple):
    """A threshold, the FAR it was chosen for (one of RATES), and how many of the `different` validation pairs it accepts."""

    rate: str
    threshold: float
    accepted: int
    different: int

    def summary(self) -> dict[str, Any]:
        """The same as plain values, with the FAR on the validation pairs and its confidence interval."""
        interval = list(clopper_pearson(self.accepted, self.different))
        return {**self._asdict(), "far": self.accepted / self.different, "interval": interval, "confidence": CONFIDENCE}

    def __str__(self) -> str:
        low, high = clopper_pearson(self.accepted, self.different)
        return (
            f"FAR {self.accepted / self.different:.4%} in validation ({self.accepted:,} of {self.different:,} pairs of different"
            f" people; {CONFIDENCE:.0%} interval {low:.4%} to {high:.4%})"
        )


def operating_points(scores: np.ndarray, same: np.ndarray) -> dict[str, dict[str, Any]]:
    """For each of RATES the lowest threshold whose FAR is at most that: {"1e-1": {"threshold": 0.31, "accepted": 100}, ...}.

    scores: float64 [P], finite, higher = more alike. same: bool [P]. A rate of which the pairs of different people are too
    few to show it, fewer than 1 / rate, is left out. Nothing is interpolated: `accepted` pairs of different people have the
    threshold or a higher score, and with any lower threshold they were more than the rate allows.
    """
    falling = -np.sort(-finite(scores)[~np.asarray(same, dtype=bool)])
    points = {}
    for rate in RATES:
        allowed = int(Fraction(rate) * len(falling))
        if allowed:
            refused = falling[allowed]  # the highest score that must not be accepted, nor can those that equal it
            points[rate] = {"threshold": float(np.nextafter(refused, np.inf)), "accepted": int((falling > refused).sum())}
    return points


def operating_point(about: Mapping[str, Any], flip: bool, rate: str) -> OperatingPoint:
    """What the description of a weight file says for a FAR (one of RATES), for embeddings without or with `flip`.

    Raises InputError if the file has no such thresholds, if its validation pairs were too few for this one, or if what
    stands there is no threshold.
    """
    stored = about.get("validation", {}).get("far")
    if stored is None:
        raise InputError(
            f"rule 'far:{rate}' takes the threshold from the weight file and this one has none for a false accept rate, like all"
            " of earlier versions and of trainings without validation pairs; train anew, or use --calibrate"
        )
    damaged = InputError(f"the weight file is corrupt: its thresholds by false accept rate are {stored!r:.100}, which are none")
    different = stored.get("different") if isinstance(stored, dict) else None
    points = stored.get("flip" if flip else "plain") if isinstance(stored, dict) else None
    if type(different) is not int or not isinstance(points, dict):
        raise damaged
    check_shown(rate, different, "the weight file was calibrated on")
    point = points.get(rate)
    if not isinstance(point, dict) or not stored_finite(point.get("threshold")):
        raise damaged
    accepted = point.get("accepted")
    if type(accepted) is not int or not 0 <= accepted <= different:
        raise damaged
    return OperatingPoint(rate, point["threshold"], accepted, different)


def check_shown(rate: str, different: int, given: str) -> None:
    """Raise InputError if `different` pairs of different people are too few to show a FAR; `given`: who has them."""
    needed = round(1 / Fraction(rate))
    if different < needed:
        shown = [name for name in RATES if Fraction(name) * different >= 1]
        lowest = f"; the lowest rate that these can show is far:{shown[-1]}" if shown else ""
        raise InputError(
            f"rule 'far:{rate}' takes at least {needed:,} validation pairs of different people, and {given} {different:,}{lowest}"
        )


def clopper_pearson(hits: int, trials: int, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """The exact confidence interval of a share of which `hits` of `trials` were seen (Clopper and Pearson, Biometrika 1934).

    The threshold was chosen on these trials, and yet the upper end holds exactly: of the FAR just above the (k + 1)-th
    highest of n independent scores the distribution is Beta(k + 1, n - k), whatever that of the scores.
    """
    from scipy.special import betaincinv  # here, since most decisions need no interval

    tail = (1 - confidence) / 2
    low = betaincinv(hits, trials - hits + 1, tail) if hits else 0.0
    high = betaincinv(hits + 1, trials - hits, 1 - tail) if hits < trials else 1.0
    return float(low), float(high)
