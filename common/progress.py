"""The progress bar of every long step: with its ETA, quiet where nobody watches; and what else is said on the way."""

import sys
from collections.abc import Iterable
from typing import Any

from tqdm import tqdm

from distributed import processes


def say(sentence: str) -> None:
    """One line on stderr; of several processes the leading one alone says it."""
    if processes.is_main_process():
        print(sentence, file=sys.stderr)


def progress(
    steps: Iterable | None, title: str, total: int | None = None, initial: int = 0, unit: str = "it", **options: Any
) -> tqdm:
    """A tqdm bar on stderr; in a log file it speaks every half minute instead of ten times a second.

    A bar inside another one (leave=False) is for watchers only: it would litter a log with cursor movements.
    Of several processes the leading one alone shows its bars.
    """
    watched = sys.stderr.isatty()
    return tqdm(
        steps,
        desc=title,
        total=total,
        initial=initial,
        unit=unit,
        dynamic_ncols=watched,
        ncols=None if watched else 110,
        mininterval=0.1 if watched else 30,
        disable=not watched and not options.get("leave", True) or not processes.is_main_process(),
        **options,
    )
