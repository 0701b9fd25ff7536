"""The files that answer a list of pairs, row by row in its order."""

import csv
from pathlib import Path

import numpy as np

from datasets.manifest import Pairs
from errors import InputError
from files import write_whole


def write_submission(path: Path, pairs: Pairs, same: np.ndarray) -> Path:
    """Write the decisions `same` (bool [P]) as the competition wants them: CSV image1,image2,label, where 1 = DIFFERENT.

    Equal decisions give equal bytes: UTF-8, lines end in a line feed, names untouched and quoted where CSV needs it.
    Raises InputError if a file name cannot be written as UTF-8.
    """
    return _write(path, pairs, "label", np.where(np.asarray(same, dtype=bool), 0, 1))


def write_scores(path: Path, pairs: Pairs, scores: np.ndarray) -> Path:
    """Write the scores (float64 [P], higher = more alike) as CSV image1,image2,score, otherwise like `write_submission`.

    Nine significant digits (%.9g): every float32 is read back exactly, and the noise in a float64's last digits stays out.
    """
    return _write(path, pairs, "score", np.asarray(scores, dtype=np.float64) + 0.0)  # + 0.0: -0 is written as 0


def _write(path: Path, pairs: Pairs, column: str, values: np.ndarray) -> Path:
    names = pairs.table[["first", "second"]]
    table = names.set_axis(["image1", "image2"], axis="columns").assign(**{column: values})
    # csv of Python 3.11 leaves a lone carriage return bare, which its own reader takes for the end of a line
    returns = any("\r" in name for side in names for name in names[side])
    quoting = csv.QUOTE_NONNUMERIC if returns else csv.QUOTE_MINIMAL
    layout = {"index": False, "lineterminator": "\n", "encoding": "utf-8", "float_format": "%.9g", "quoting": quoting}
    try:
        return write_whole(path, lambda partial: table.to_csv(partial, compression=None, **layout))
    except UnicodeEncodeError as error:
        row = error.object.strip()
        raise InputError(f"a file name in the row {row!r} should be valid UTF-8 and is not; rename the file") from error
