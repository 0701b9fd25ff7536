"""Published lists of test pairs, one function for each form in which they come.

A list is text in UTF-8, with or without a byte-order mark, with any line ends; empty lines are left out.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, NoReturn

import numpy as np

from common.errors import InputError, listing, shortened
from common.progress import say

NUMBER = re.compile(r"[0-9]{1,6}")
FOLDS = 10  # of every protocol here


class Listed(NamedTuple):
    """A pair of a list: two file names, whether they show the same person, and the line on which it stands."""

    first: str
    second: str
    same: bool
    line: int


def read_names_and_numbers(path: Path) -> list[Listed]:
    """The pairs of a list in the form of LFW (Huang et al., 2007, UMass 07-49), as `name/name_0001.jpg`.

    `10 300`, or `300` for one fold, on the first line; then for each of the 10 folds 300 lines `name i j` (same person) and
    300 lines `name i other j`. Fields are separated by tabs, or else by spaces. RFW's lists have no first line, and then the
    order is free. Raises InputError that names the line.
    """
    lines = list(_numbered_lines(path))
    folds, each = _header(lines[0][1])
    pairs = [_names_and_numbers(path, number, line) for number, line in (lines[1:] if folds else lines)]
    if folds:
        if len(pairs) != 2 * folds * each:
            raise InputError(
                f"{str(path)!r} has {len(pairs):,} pairs; by its first line, {shortened(repr(lines[0][1]))}, it should have"
                f" {2 * folds * each:,}: {each:,} of the same person and {each:,} of different people in each of {folds:,} folds"
            )
        for place, pair in enumerate(pairs):
            if pair.same != (place // each % 2 == 0):
                kind = ("different people", "the same person")[pair.same]
                raise InputError(
                    f"{str(path)!r} line {pair.line} is a pair of {kind}, out of turn: by its first line, {each:,} pairs of the"
                    f" same person and {each:,} of different people should alternate"
                )
    return checked(pairs, path)


def read_two_line_pairs(path: Path, answers: Mapping[str, bool]) -> list[Listed]:
    """The pairs of a list in the form of CPLFW and CALFW: two lines `image label` a pair, whose labels are equal.

    answers: what each label means, True the same person. Raises InputError that names the line.
    """
    lines = list(_numbered_lines(path))
    known = listing(answers, most=20)
    entries = []
    for number, line in lines:
        name, _, label = line.rpartition(" ") if "\t" not in line else line.rpartition("\t")
        if not name.strip() or label not in answers:
            _refuse(path, number, line, f"an image and a label (one of {known}), such as 'Name_0001.jpg 1'")
        entries.append((name.strip(), label, number))
    if len(entries) % 2:
        raise InputError(f"{str(path)!r} has {len(entries):,} lines; a pair is two lines, so the number should be even")
    pairs = []
    for (first, label, _), (second, other, number) in zip(entries[::2], entries[1::2]):
        if label != other:
            raise InputError(
                f"{str(path)!r} line {number} has the label {other} and the line before it {label}; the two lines of a pair"
                f" should have the same"
            )
        pairs.append(Listed(first, second, answers[label], number - 1))
    return checked(pairs, path)


def read_three_columns(path: Path, answers: Mapping[str, bool]) -> list[Listed]:
    """The pairs of a list with a line `first second label` for each; answers and errors as in `read_two_line_pairs`."""
    pairs = []
    for number, line in _numbered_lines(path):
        fields = line.split()
        if len(fields) != 3 or fields[2] not in answers:
            _refuse(path, number, line, f"two images and a label (one of {listing(answers)}), such as 'a.jpg b.jpg 1'")
        pairs.append(Listed(fields[0], fields[1], answers[fields[2]], number))
    return checked(pairs, path)


def fold_by_fold(pairs: Sequence[Listed], folds: int = FOLDS) -> list[Listed]:
    """The pairs as LFW lists them: in each fold its block of those of the same person, then its block of the others.

    Both kinds are cut into `folds` blocks in the order that they have. This is how FaceX-Zoo reads CPLFW and CALFW.
    """
    kinds = [[pair for pair in pairs if pair.same == same] for same in (True, False)]
    blocks = [np.array_split(np.arange(len(kind)), folds) for kind in kinds]
    return [kind[place] for fold in zip(*blocks) for kind, block in zip(kinds, fold) for place in block]


def checked(pairs: list[Listed], path: Path, unit: str = "line") -> list[Listed]:
    """The pairs, if there are some and none is listed with both answers, else InputError.

    Those listed again with the same answer count each time, as in the published figures, which is said in one sentence.
    unit: what `Listed.line` counts.
    """
    if not pairs:
        raise InputError(f"the list of pairs {str(path)!r} has no pairs")
    found: dict[tuple[str, ...], Listed] = {}
    twice = []
    for pair in pairs:
        earlier = found.setdefault(tuple(sorted((pair.first, pair.second))), pair)
        if earlier.same != pair.same:
            raise InputError(
                f"{str(path)!r} {unit} {pair.line} has the pair of {unit} {earlier.line} again with the other answer:"
                f" {listing((pair.first, pair.second))}; which is right is unknown"
            )
        if earlier is not pair:
            twice.append(pair.line)
    if twice:
        say(f"{str(path)!r} lists {len(twice):,} pairs again, which count each time: {unit} {listing(twice)}")
    return pairs


def _header(line: str) -> tuple[int, int]:
    """Folds and pairs of each kind in a fold as the first line says; 0, 0 if it is a pair and no such line."""
    fields = line.split()
    if len(fields) > 2 or not all(map(NUMBER.fullmatch, fields)):
        return 0, 0
    folds, each = (1, int(fields[0])) if len(fields) == 1 else map(int, fields)
    return (folds, each) if folds and each else (0, 0)


def _names_and_numbers(path: Path, number: int, line: str) -> Listed:
    fields = [field.strip() for field in line.split("\t")] if "\t" in line else line.split()
    if len(fields) == 3:
        fields = [fields[0], fields[1], fields[0], fields[2]]
        same = True
    else:
        same = False
    names, numbers = fields[::2], fields[1::2]
    wrong = [name for name in names if not name or "/" in name or name in (".", "..")]
    if len(fields) != 4 or wrong or not all(map(NUMBER.fullmatch, numbers)):
        _refuse(path, number, line, "'name i j' or 'name i other j', i and j the numbers of photographs")
    if not same and names[0] == names[1]:
        _refuse(path, number, line, "a pair of two different people, or 'name i j'")
    first, second = (f"{name}/{name}_{int(which):04d}.jpg" for name, which in zip(names, numbers))
    return Listed(first, second, same, number)


def _numbered_lines(path: Path) -> Iterator[tuple[int, str]]:
    """The lines that are not empty, without the blanks around them, and their numbers from 1. Raises InputError if none is."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise InputError(f"the list of pairs {str(path)!r} cannot be read: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise InputError(f"the list of pairs {str(path)!r} is not UTF-8 text: {error}") from error
    if not text.strip():
        raise InputError(f"the list of pairs {str(path)!r} is empty")
    return ((number, line.strip()) for number, line in enumerate(text.split("\n"), start=1) if line.strip())


def _refuse(path: Path, number: int, line: str, right: str) -> NoReturn:
    raise InputError(f"{str(path)!r} line {number} is {shortened(repr(line))}; it should be {right}")
