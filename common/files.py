"""Files written whole or not at all, places for one process at a time, and paths that stay inside their root."""

import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from common.errors import InputError


def write_whole(path: Path, content: bytes | str | Callable[[Path], None]) -> Path:
    """Write `path` through a temporary neighbour and a rename, so that no reader ever sees half a file.

    `content` is the bytes, the text (UTF-8), or a function that writes to the path it is given.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.stem}.{os.getpid()}.partial{path.suffix}")
    try:
        if callable(content):
            content(partial)
        else:
            partial.write_bytes(content.encode() if isinstance(content, str) else content)
        with open(partial, "rb") as written:
            os.fsync(written.fileno())  # the rename must not reach the disk before the bytes do
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)
    return path


def write_json(path: Path, value: object) -> Path:
    """Write `value` as indented JSON with its keys in the order given."""
    return write_whole(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


@contextmanager
def locked(path: Path, wait: bool = True) -> Iterator[None]:
    """Hold the lock of the file `path`, made if need be, for the body; the end of the process frees it, too.

    If another process holds it, wait, or raise BlockingIOError at once. Without effect where there is no `fcntl`.
    """
    try:
        import fcntl
    except ImportError:  # Windows
        fcntl = None
    with open(path, "ab") as handle:
        if fcntl:
            fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        yield


WINDOWS = os.name == "nt"


def existing_folder(path: str | Path, what: str) -> Path:
    """Return `path` if it is a folder; else raise InputError that names it and `what` it should hold."""
    folder = Path(path)
    if not folder.is_dir():
        raise InputError(f"{str(path)!r} is not a folder; it should be {what}")
    return folder


def escapes(name: str) -> bool:
    """Whether a relative file name from a list leaves the folder it is relative to (`..`, an absolute path).

    On Windows `\\` parts folders as `/` does and `C:` names a drive; elsewhere both are letters of a name like any other.
    """
    if WINDOWS:
        name = name.replace("\\", "/")
    if name.startswith("/") or WINDOWS and name[1:2] == ":":
        return True
    if ".." not in name:  # nearly always, and lists may have a million names
        return False
    depth = 0
    for part in PurePosixPath(name).parts:
        depth += {"..": -1, ".": 0}.get(part, 1)
        if depth < 0:
            return True
    return False
