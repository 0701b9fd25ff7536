"""Learning-rate schedules as pure functions of the progress: nothing in them to save or restore."""

import math
from collections.abc import Callable, Sequence
from typing import Annotated

from pydantic import Field, NonNegativeInt

from common.registry import Registry

Schedule = Callable[[float], float]
"""Epochs done, with fraction -> factor on the base learning rate, from 0 to 1."""
Factor = Annotated[float, Field(ge=0.0, le=1.0)]


def constant(epochs: int) -> Schedule:
    """The base rate throughout."""
    return lambda epoch: 1.0


def multistep(epochs: int, milestones: Sequence[NonNegativeInt], gamma: Factor = 0.1) -> Schedule:
    """Times `gamma` from each milestone epoch on."""
    return lambda epoch: gamma ** sum(epoch >= milestone for milestone in milestones)


def one_cycle(
    epochs: int, warmup: Annotated[float, Field(gt=0.0, lt=1.0)] = 0.2, start: Factor = 0.04, end: Factor = 1e-3
) -> Schedule:
    """Up from `start` during the first `warmup` share, then down to `end`, both along a cosine (Smith and Topin,
    "Super-Convergence", arXiv 1708.07120)."""

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
