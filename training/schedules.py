"""Learning-rate schedules as pure functions of the progress: nothing in them to save or restore."""

import math
from collections.abc import Callable, Sequence

from common.registry import Registry

Schedule = Callable[[float], float]
"""Epochs done, with fraction -> factor on the base learning rate."""


def constant(epochs: int) -> Schedule:
    """The base rate throughout."""
    return lambda epoch: 1.0


def multistep(epochs: int, milestones: Sequence[int], gamma: float = 0.1) -> Schedule:
    """Times `gamma` from each milestone epoch on."""
    return lambda epoch: gamma ** sum(epoch >= milestone for milestone in milestones)


def one_cycle(epochs: int, warmup: float = 0.2, start: float = 0.04, end: float = 1e-3) -> Schedule:
    """Up from `start` during the first `warmup` share, then down to `end`, both along a cosine (Smith and Topin,
    "Super-Convergence", arXiv 1708.07120)."""
    if not 0 < warmup < 1:
        raise ValueError(f"warmup is {warmup}; it should lie between 0 and 1")

    def factor(epoch: float) -> float:
        share = epoch / epochs
        if share < warmup:
            return _cosine(start, 1.0, share / warmup)
        return _cosine(1.0, end, (share - warmup) / (1 - warmup))

    return factor


def _cosine(first: float, last: float, share: float) -> float:
    return last + (first - last) * (1 + math.cos(math.pi * min(1.0, share))) / 2


SCHEDULES = Registry("schedule", {"constant": constant, "multistep": multistep, "one_cycle": one_cycle})
"""Built with the number of epochs."""
