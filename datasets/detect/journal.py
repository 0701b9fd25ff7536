"""What was found so far, on disk while the search goes on: one line of JSON a photograph, so that a stopped search goes on."""

import json
import os
from pathlib import Path
from typing import IO, Any, NamedTuple

from datasets.detect.find import Face


class Found(NamedTuple):
    """What is known of a photograph: `faces`, the largest first, or else `fault`, why it cannot be read; `stamp` tells the state
    of its file."""

    file_name: str
    stamp: str
    faces: list[Face]
    fault: str = ""


class Journal:
    """The lines of an open file that is locked for this process and written at its end; the first holds the settings.

    `known`: by name, what it held about photographs that could be read, under these settings; under others it begins anew.
    """

    def __init__(self, path: Path, file: IO[bytes], settings: dict[str, Any]):
        self._file = file
        content = path.read_bytes()
        whole = content[: content.rfind(b"\n") + 1]  # a line without its end was not written whole
        lines = whole.splitlines()
        self.known: dict[str, Found] = {}
        if lines and _read(lines[0]) == settings:
            found = [_found(_read(line)) for line in lines[1:]]
            self.known = {photograph.file_name: photograph for photograph in found if photograph and not photograph.fault}
            self._file.truncate(len(whole))
        else:
            self._file.truncate(0)
            self._write(settings)

    def add(self, found: Found) -> None:
        """One more photograph."""
        self._write(found)

    def _write(self, value: object) -> None:
        self._file.write(json.dumps(value).encode() + b"\n")
        self._file.flush()


def stamp(path: Path) -> str:
    """What tells one state of a file from another, as far as the file system knows. Raises OSError."""
    told = os.stat(path)
    return f"{told.st_size} {told.st_mtime_ns} {told.st_ctime_ns}"


def _read(line: bytes) -> Any:
    try:
        return json.loads(line)
    except ValueError:
        return None


def _found(value: Any) -> Found | None:
    """The photograph that a line is about; None if a crash of the machine left something else there."""
    try:
        name, state, faces, fault = value
        if not all(isinstance(text, str) for text in (name, state, fault)):
            return None
        read = [Face(tuple(box), tuple((x, y) for x, y in points), score) for box, points, score in faces]
        return Found(name, state, read, fault)
    except (TypeError, ValueError):
        return None
