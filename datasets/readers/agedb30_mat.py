"""The pairs of AgeDB-30 from its MATLAB file, version 5 (MathWorks, "MAT-File Format"), with bounds on size and depth.

    splits{fold}.<1>{2, 600}    the pairs of a fold; of each photograph a struct, whose first field is its name without .jpg
    splits{fold}.<2>(600)       their labels: 1 the same person, -1 different people

Only what this needs is read: cells, structs, text and numbers. Nothing in such a file can be carried out. The fields are
taken by their place, as FaceX-Zoo does.
"""

import struct
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from common.errors import InputError
from datasets.readers.pair_lists import Listed, checked

MOST_BYTES = 32 << 20  # of the file, and of all that is compressed in it once it is inflated; the published one is smaller
MOST_LEVELS = 12
NUMBERS = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8"}
"""How each type of numbers is stored."""
ENCODINGS = {4: "utf-16-le", 16: "utf-8", 17: "utf-16-le"}  # of text; MATLAB writes most as 4
MATRIX, COMPRESSED = 14, 15
CELL, STRUCT, CHAR = 1, 2, 4
FIRST_OF_NUMBERS, LAST_OF_NUMBERS = 6, 15
LABELS = {1: True, -1: False, 0: False}


class NotReadable(ValueError):
    """Why a file is none that this reads."""


@dataclass(frozen=True)
class Matrix:
    """A variable or a part of one: its shape, and its items in MATLAB's order, column by column.

    items: of a cell its Matrices, of a struct array a list of fields for each element, of text one str, else numbers.
    """

    shape: tuple[int, ...]
    items: list[Any]


def read_splits(path: Path) -> list[Listed]:
    """The pairs, fold after fold, as `<name>.jpg`; `line` counts them from 1. Raises InputError."""
    try:
        if path.stat().st_size > MOST_BYTES:
            raise NotReadable(f"it has more than {MOST_BYTES:,} bytes")
        splits = read_variable(path.read_bytes(), "splits")
        pairs = [pair for split in splits.items for pair in _fold(split)]
    except OSError as error:
        raise InputError(f"the list of pairs {str(path)!r} cannot be read: {error.strerror or error}") from error
    except NotReadable as error:
        raise InputError(f"{str(path)!r} is not the MATLAB file of AgeDB-30's pairs: {error}") from error
    return checked([Listed(*pair, line=number) for number, pair in enumerate(pairs, start=1)], path, "pair")


def _fold(split: Matrix) -> list[tuple[str, str, bool]]:
    try:
        photographs, labels = split.items[0][:2]
        names = [_name(photograph) for photograph in photographs.items]
        answers = [LABELS[label] for label in labels.items]
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:  # it is made of other parts
        raise NotReadable("a fold of 'splits' should have pairs of named photographs and labels 1 or -1") from error
    if photographs.shape != (2, len(answers)) or len(names) != 2 * len(answers):
        raise NotReadable(f"a fold of 'splits' has photographs of shape {photographs.shape} and {len(answers):,} labels")
    return list(zip(names[::2], names[1::2], answers))


def _name(photograph: Matrix) -> str:
    name = photograph.items[0][0].items[0]
    if not isinstance(name, str):
        raise TypeError("a name is text")
    return f"{name}.jpg"


def read_variable(content: bytes, name: str) -> Matrix:
    """The variable of this name in a MATLAB file of version 5 or 7. Raises NotReadable."""
    if content[124:128] != b"\x00\x01IM":
        raise NotReadable("it is no MATLAB file of version 5 or 7")
    left = MOST_BYTES
    for kind, data in _elements(memoryview(content)[128:]):
        if kind == COMPRESSED:
            try:
                inflated = memoryview(zlib.decompressobj().decompress(data, left + 1))
            except zlib.error as error:
                raise NotReadable(f"compressed data in it are damaged: {error}") from error
            left -= len(inflated)
            if left < 0:
                raise NotReadable(f"inflated it has more than {MOST_BYTES:,} bytes")
            kind, data = next(iter(_elements(inflated)), (0, inflated))
        if kind == MATRIX and _begin(data)[2] == name:
            return _matrix(data, 0)
    raise NotReadable(f"it has no variable {name!r}")


def _elements(data: memoryview) -> list[tuple[int, memoryview]]:
    """The elements that stand one after another in `data`: the type and the content of each."""
    found, place = [], 0
    while place < len(data):
        if place + 8 > len(data):
            raise NotReadable("it ends in the middle of an element")
        kind, size = struct.unpack_from("<II", data, place)
        start, stored = place + 8, size + (0 if kind == COMPRESSED else -size % 8)
        if kind >> 16:  # a small element: type, size and content in eight bytes
            kind, size, start, stored = kind & 0xFFFF, kind >> 16, place + 4, 4
        if size > min(stored, len(data) - start):
            raise NotReadable("an element in it is longer than what holds it")
        found.append((kind, data[start : start + size]))
        place = start + stored
    return found


def _begin(data: memoryview) -> tuple[int, tuple[int, ...], str, list[tuple[int, memoryview]]]:
    """The class, the shape and the name of an array, and the elements that follow."""
    parts = _elements(data)
    if len(parts) < 3 or len(parts[0][1]) != 8:
        raise NotReadable("an array in it has no class, no shape or no name")
    return parts[0][1][0], tuple(_numbers(parts[1])), bytes(parts[2][1]).decode("latin-1"), parts[3:]


def _matrix(data: memoryview, level: int) -> Matrix:
    if level > MOST_LEVELS:
        raise NotReadable(f"it is nested more than {MOST_LEVELS} deep")
    if not len(data):
        return Matrix((0, 0), [])
    kind, shape, _, parts = _begin(data)
    items: list[Any] = []  # of a sparse array, an object or a function: none of them is asked for
    if kind == CELL:
        items = [_matrix(part, level + 1) for _, part in parts]
    elif kind == STRUCT and len(parts) > 2:
        (length,) = _numbers(parts[0])[:1] or [0]
        fields = len(parts[1][1]) // length if length > 0 else 0
        values = [_matrix(part, level + 1) for _, part in parts[2:]]
        items = [values[start : start + fields] for start in range(0, len(values), fields or 1)]
    elif kind == CHAR and parts:
        items = [_text(*parts[0])]
    elif FIRST_OF_NUMBERS <= kind <= LAST_OF_NUMBERS and parts:
        items = _numbers(parts[0])
    return Matrix(shape, items)


def _text(kind: int, data: memoryview) -> str:
    return bytes(data).decode(ENCODINGS.get(kind, "latin-1"), errors="replace")


def _numbers(element: tuple[int, memoryview]) -> list[Any]:
    kind, data = element
    if kind not in NUMBERS or len(data) % np.dtype(NUMBERS[kind]).itemsize:
        raise NotReadable(f"it has data of the type {kind} that do not fit it")
    return np.frombuffer(data, f"<{NUMBERS[kind]}").tolist()
