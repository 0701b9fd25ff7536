"""The files that answer a list of pairs, row by row in its order."""

import re
from pathlib import Path

import numpy as np

from common.errors import InputError
from common.files import write_whole
from datasets.manifest import Pairs

SEPARATORS = re.compile('[,"\r\n]')


def write_submission(path: Path, pairs: Pairs, same: np.ndarray) -> Path:
    """Write the decisions `same` (bool [P]) as the competition wants them: CSV image1,image2,label, where 1 = DIFFERENT.

    Equal decisions give equal bytes: UTF-8, lines end in a line feed, names untouched and quoted where CSV needs it.
    Raises InputError if a file name cannot be written as UTF-8.
    """
    return _write(path, pairs, "label", np.where(np.asarray(same, dtype=bool), 0, 1).tolist())


def write_scores(path: Path, pairs: Pairs, scores: np.ndarray, probabilities: np.ndarray | None = None) -> Path:
    """Write the scores (float64 [P], higher = more alike) as CSV image1,image2,score, otherwise like `write_submission`.

    probabilities: that the pairs show the same person (float64 [P]), one more column, probability, with six digits; None: none.
    Nine significant digits (%.9g) of a score: every float32 is read back exactly, and the noise in a float64's last digits stays
    out.
    """
    scores = np.asarray(scores, dtype=np.float64) + 0.0  # + 0.0: -0 is written as 0
    if probabilities is None:
        return _write(path, pairs, "score", [f"{score:.9g}" for score in scores.tolist()])
    both = zip(scores.tolist(), probabilities.tolist(), strict=True)
    return _write(path, pairs, "score,probability", [f"{score:.9g},{share:.6g}" for score, share in both])


def _write(path: Path, pairs: Pairs, column: str, values: list[int] | list[str]) -> Path:
    if len(values) != len(pairs):
        raise ValueError(f"{len(values):,} values cannot answer {len(pairs):,} pairs: the lengths differ")
    first, second = (pairs.table[side].tolist() for side in ("first", "second"))
    # Each name is quoted once, however many pairs it stands in: csv and pandas take five times as long for a million.
    cells = {name: _cell(name) for name in {*first, *second}}
    rows = [f"{cells[one]},{cells[other]},{value}\n" for one, other, value in zip(first, second, values)]
    try:
        return write_whole(path, "".join([f"image1,image2,{column}\n", *rows]))
    except UnicodeEncodeError as error:
        row = next(row for row in rows if error.object[error.start] in row).strip()
        raise InputError(f"a file name in the row {row!r} should be valid UTF-8 and is not; rename the file") from error


def _cell(name: str) -> str:
    """A name as CSV wants it: in quotes if it holds what separates cells or rows, a lone carriage return included."""
    return '"{}"'.format(name.replace('"', '""')) if SEPARATORS.search(name) else name
