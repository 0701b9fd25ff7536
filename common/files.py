"""Files written whole or not at all, places for one process at a time, and paths that stay inside their root."""

import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath
from typing import IO

from common.errors import InputError


def write_whole(path: str | Path, content: bytes | str | Callable[[Path], None]) -> Path:
    """Write `path` through a temporary neighbour and a rename, so that no reader ever sees half a file.

    `content` is the bytes, the text (UTF-8), or a function that writes to the path it is given. An OSError names `path`.
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
    except OSError as error:  # of a full disk it would name no file, else the temporary one
        error.filename, error.filename2 = str(path), None
        raise
    finally:
        partial.unlink(missing_ok=True)
    return path


def write_json(path: Path, value: object) -> Path:
    """Write `value` as indented JSON with its keys in the order given."""
    return write_whole(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


@contextmanager
def locked(path: Path, wait: bool = True) -> Iterator[IO[bytes]]:
    """Hold the lock of the file `path`, made if need be, for the body; the end of the process frees it, too.

    If another process holds it, wait, or raise BlockingIOError at once. Yields the open file. Processes forked in the body
    do not hold the lock. Without effect where there is no `fcntl`.
    """
    try:
        import fcntl
    except ImportError:  # Windows
        fcntl = None  # type: ignore[assignment]  # no module
    with open(path, "ab") as handle:
        if fcntl:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
            except OSError as error:  # a file system without locks
                error.filename = str(path)
                raise
        _locks.add(handle)
        try:
            yield handle
        finally:
            _locks.discard(handle)


_locks: set[IO[bytes]] = set()


def _leave_locks_to_parent() -> None:
    """A lock is free once every copy of its descriptor is closed, and a fork copies it: workers may outlive their parent."""
    for handle in _locks:
        handle.close()
    _locks.clear()


if hasattr(os, "register_at_fork"):  # not on Windows, which does not fork
    os.register_at_fork(after_in_child=_leave_locks_to_parent)


@contextmanager
def claimed(path: Path) -> Iterator[IO[bytes]]:
    """Hold the lock of `path`, a file that stands there only for the body. Raises BlockingIOError if another process does.
    Yields the open file."""
    while True:
        with locked(path, wait=False) as handle:
            if not _stands_at(handle, path):
                continue  # whoever held it has just removed this very file, and the next process would make a new one
            try:
                yield handle
            finally:
                with suppress(OSError):  # the folder may be gone
                    path.unlink()
            return


@contextmanager
def made(folder: Path) -> Iterator[None]:
    """Make a folder for the body; if nothing came into it, it goes again, and so do those above that were made with it."""
    absent = [path for path in (folder, *folder.parents) if not path.exists()]
    folder.mkdir(parents=True, exist_ok=True)  # one that cannot be made is told now, not after an epoch
    try:
        yield
    finally:
        for path in absent:
            try:
                path.rmdir()
            except OSError:  # it holds something
                break


def _stands_at(handle: IO[bytes], path: Path) -> bool:
    """Whether the open file is the one of this name."""
    try:
        return os.path.samestat(os.fstat(handle.fileno()), os.stat(path))
    except FileNotFoundError:
        return False


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
