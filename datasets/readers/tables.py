"""CSV files from strangers, read as text with every fault named."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from common.errors import InputError, listing, shortened

SAME = {"1": True, "1.0": True, "0": False, "0.0": False}  # a column with empty cells is often written as 1.0 and 0.0
# The competition's own convention: label 1 means two different people.
DIFFERENT = {answer: not same for answer, same in SAME.items()}


def read_csv(path: Path, required: Sequence[str]) -> pd.DataFrame:
    """All named columns of a CSV as text; an empty cell, or one that a short row lacks, is an empty text.

    Raises InputError if the file is absent or broken, has two columns of one name or rows longer than its header, lacks a
    column or has no rows.
    """
    try:
        # With header=None a row longer than the header is an error; else pandas would shift such rows by one column.
        # Read in one piece (low_memory), equal cells of a column are one object: a million rows name a few thousand people.
        options = {"dtype": str, "keep_default_na": False, "low_memory": False}
        rows = pd.read_csv(path, header=None, encoding="utf-8-sig", compression=None, **options)
    except OSError as error:
        raise InputError(
            f"{str(path)!r} cannot be read ({error.strerror or error}); it should be a CSV with the columns {', '.join(required)}"
        ) from error
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        raise InputError(f"{str(path)!r} is not a readable CSV: {' '.join(str(error).split())}") from error
    table = rows.iloc[1:].set_axis(rows.iloc[0].str.strip().tolist(), axis="columns").reset_index(drop=True)
    table = table.loc[:, table.columns != ""]  # the index column that pandas writes has no name
    twice = sorted(set(table.columns[table.columns.duplicated()]))
    if twice:
        raise InputError(f"{str(path)!r} has more than one column {listing(map(repr, twice))}")
    absent = [name for name in required if name not in table.columns]
    if absent:
        raise InputError(f"{str(path)!r} lacks the column {listing(absent)}; it has {listing(table.columns, most=20)}")
    if table.empty:
        raise InputError(f"{str(path)!r} has a header but no rows")
    return table


def read_answers(table: pd.DataFrame, path: Path) -> list[bool | None]:
    """The answers in a pair table, True where both photographs show the same person, None where none is given.

    Column `same` means 1 = same; column `label` is the competition's, 1 = different people. Neither, or an empty cell,
    is a pair without an answer.
    """
    if "same" in table.columns and "label" in table.columns:
        raise InputError(f"{str(path)!r} has both a column 'label' (1 = different) and a column 'same' (1 = same); keep one")
    for column, meaning in (("same", SAME), ("label", DIFFERENT)):
        if column in table.columns:
            places, cells = pd.factorize(table[column])  # of a million cells, the few that differ
            wrong = np.array([cell.strip() not in {*meaning, ""} for cell in cells])[places]
            if wrong.any():
                row = int(wrong.argmax())
                cell = shortened(repr(table[column][row]))
                raise InputError(f"{str(path)!r} line {row + 2}: {column} is {cell}; it should be 0, 1 or empty")
            return np.array([meaning.get(cell.strip()) for cell in cells], dtype=object)[places].tolist()
    return [None] * len(table)
