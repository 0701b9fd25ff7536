"""Candidates that take turns, so that whatever else the machine does slows all of them down."""

import multiprocessing
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from typing import Any

import numpy as np
import torch

from common.devices import compute_deterministically
from common.progress import progress

PAUSE = 0.05  # seconds before each call: threads of the one before still spin for a while, ready for more
APART = "Each candidate has a process of its own."


@dataclass(frozen=True)
class Section:
    """One table of the report: title, what was done, rows of named figures, remarks under the table."""

    title: str
    what: str
    rows: list[dict[str, Any]]
    remarks: list[str] = field(default_factory=list)


def take_turns(candidates: Mapping[str, Callable[[], Any]], rounds: int, title: str) -> dict[str, np.ndarray]:
    """Seconds of each call, float64 [rounds] per candidate, after one call each that does not count."""
    for run in candidates.values():
        run()
    seconds: dict[str, list[float]] = {name: [] for name in candidates}
    for _ in progress(range(rounds), title, unit="round"):
        for name, run in candidates.items():
            time.sleep(PAUSE)
            start = time.perf_counter()
            run()
            seconds[name].append(time.perf_counter() - start)
    return {name: np.array(times) for name, times in seconds.items()}


def rates(seconds: Mapping[str, np.ndarray], amount: Mapping[str, int], unit: str) -> list[dict[str, Any]]:
    """Rows with the median rate, its range over the rounds, and how often as fast as the first candidate."""
    first = next(iter(seconds))
    rows = []
    for name, times in seconds.items():
        rate = amount[name] / times
        # Ratios round by round: the two calls of a round met the same conditions.
        ratio = np.median(rate / (amount[first] / seconds[first]))
        spread = f"{rate.min():.3g} to {rate.max():.3g}"
        rows.append({"candidate": name, unit: float(np.median(rate)), "range": spread, "times the first": float(ratio)})
    return rows


class Apart:
    """A candidate in a process of its own, for what a process does to itself: how it keeps the memory that it frees.

    make(*arguments) is called there, and every call of this object is passed on to what it returned. Both, and what a call
    returns, must be things that pickle. Use it in a `with` statement, which ends the process.
    """

    def __init__(self, make: Callable[..., Callable[..., Any]], *arguments: Any):
        context = multiprocessing.get_context("spawn")
        self.line, theirs = context.Pipe()
        self.process = context.Process(target=_serve, args=(theirs, torch.get_num_threads(), make, arguments), daemon=True)
        self.process.start()
        theirs.close()  # else the end of the process would not be noticed here

    def __call__(self, *arguments: Any) -> Any:
        try:
            self.line.send(arguments)
            return self.line.recv()
        except (EOFError, OSError):
            raise RuntimeError("a candidate's process ended; what it said stands above") from None

    def __enter__(self) -> "Apart":
        return self

    def __exit__(self, *_: object) -> None:
        self.line.close()
        self.process.join()


def _serve(line: Connection, threads: int, make: Callable[..., Callable[..., Any]], arguments: tuple[Any, ...]) -> None:
    compute_deterministically(threads)
    run = make(*arguments)
    while True:
        try:
            call = line.recv()
        except EOFError:  # the other end is closed: no more calls
            return
        line.send(run(*call))
