"""Large arrays of bytes kept between runs: a folder of entries that all processes share, bounded in size.

    <folder>/<key>.entry      its bytes, then one line of JSON about them; locked (shared) by every process that maps it
    <folder>/<key>.partial    the same while a process writes it, who holds its lock
    <folder>/.lock            held for the moments in which a process looks for, claims, finishes or removes a file

Locks (flock) end with their process, however it ends: so an entry in use is never removed, what a killed process left
half-written is known for what it is, and the first of several processes that want an entry writes it for all.
"""

import json
import os
import re
import shutil
import time
import zlib
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from common.config import DataConfig
from common.errors import InputError
from common.files import locked
from common.progress import say

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

FORMAT = 1
OURS = {kind: re.compile(rf"[0-9a-f]{{64}}\.{kind}") for kind in ("entry", "partial")}  # no other file is ever touched
MOST_ABOUT = 4096  # bytes of JSON
ATTEMPTS = 3  # to use a folder that somebody deletes
PAUSE = 0.2  # seconds between two looks at what another process is writing
GIB = 2**30
PIECE = 2**20  # bytes read at once

About = dict[str, Any]  # plain values about the bytes of an entry


class Entry(NamedTuple):
    """An open file that begins with the entry's bytes, and what is known about them.

    While this file, a duplicate of its descriptor or a mapping made from it is open, the entry is in use.
    """

    file: BinaryIO
    about: About


class Cache:
    """Entries of a folder, which is made if need be; the one used longest ago gives way first, never one in use.

    gigabytes: how large all entries together may become, in GiB. check: whether entries should be compared with what
    they were made from, byte for byte; that is for those who make them to do.
    """

    def __init__(self, folder: str | Path, gigabytes: float, check: bool = False):
        self.folder = Path(folder)
        self.most = int(gigabytes * GIB)
        self.check = check

    def entry(
        self, key: str, size: int, title: str, valid: Callable[[Entry], bool], write: Callable[[BinaryIO], About]
    ) -> Entry | None:
        """The entry of `key`, found or written now; None if the cache cannot hold it. Its folder may be deleted at any time.

        key: 64 hexadecimal digits. size: of the entry, in bytes. title: of the step, for what stderr is told. valid:
        whether an entry found may be used; if not, it is written anew. write: writes `size` bytes to the file that it is
        given and returns what to remember about them. If another process is writing the entry, wait for it. Raises
        InputError if the folder cannot be used or its disk is too full.
        """
        try:
            for _ in range(ATTEMPTS):
                with suppress(FileNotFoundError):  # the folder was deleted after it was made or found
                    self.folder.mkdir(parents=True, exist_ok=True)
                    return self._entry(key, size, title, valid, write)
            say(f"{title}: not kept, since the cache folder {str(self.folder)!r} is deleted again and again")
            return None
        except OSError as error:
            raise InputError(
                f"the cache folder {str(self.folder)!r} cannot be used ({error.strerror or error}); --data.cache=DIR names "
                f"another, and --data.cache= goes without"
            ) from error

    def _entry(
        self, key: str, size: int, title: str, valid: Callable[[Entry], bool], write: Callable[[BinaryIO], About]
    ) -> Entry | None:
        waiting = False
        while True:
            with self._alone():
                self._remove_leftovers()
                entry = self._find(key, size)
                busy = not entry and self._path(key, "partial").exists()
                claim = None if entry or busy else self._claim(key, size)
            if claim:
                return self._write(key, size, title, claim, write)
            if entry and valid(entry):
                say(f"{title}: found in {str(self.folder)!r}")
                return entry
            if entry:
                self._forget(key, entry)
            elif busy:
                if not waiting:
                    say(f"{title}: waiting for another process that is at it")
                waiting = True
                time.sleep(PAUSE)
            else:
                say(f"{title}: not kept, since {size / GIB:,.1f} GiB are more than data.cache_gb leaves room for")
                return None

    def _alone(self) -> AbstractContextManager[None]:
        """No other process looks for, claims, finishes or removes a file in the meantime."""
        return locked(self.folder / ".lock")

    def _path(self, key: str, kind: str) -> Path:
        return self.folder / f"{key}.{kind}"

    def _files(self, kind: str) -> list[Path]:
        """Our files of one kind, the one used longest ago first."""
        names = OURS[kind]
        found = [path for path in self.folder.iterdir() if names.fullmatch(path.name)]
        return sorted(found, key=lambda path: path.stat().st_mtime_ns)

    def _remove_leftovers(self) -> None:
        for path in self._files("partial"):
            _remove_unused(path)

    def _find(self, key: str, size: int) -> Entry | None:
        """The entry, open, locked and marked as just used; whatever else stands in its place is removed."""
        path = self._path(key, "entry")
        try:
            file = open(path, "rb")
        except FileNotFoundError:
            return None
        about = _read_about(file, key, size)
        if about is None:
            file.close()
            path.unlink()
            return None
        fcntl.flock(file, fcntl.LOCK_SH)
        os.utime(path)
        return Entry(file, about)

    def _forget(self, key: str, entry: Entry) -> None:
        """Remove an entry that is no longer true, unless another process has already put a new one in its place."""
        path = self._path(key, "entry")
        with entry.file as file, self._alone():
            if _is(path, file):
                path.unlink()

    def _claim(self, key: str, size: int) -> BinaryIO | None:
        """A new partial file, locked, for `size` bytes; None if the cache cannot hold them."""
        if not self._make_room(size):
            return None
        file = open(self._path(key, "partial"), "x+b")
        fcntl.flock(file, fcntl.LOCK_EX)
        file.truncate(size)  # so that other processes count it from now on
        return file

    def _make_room(self, size: int) -> bool:
        """Remove unused entries, oldest first, until `size` more bytes fit; whether they do.

        Raises InputError if the cache may become as large but its disk has no room.
        """
        if size > self.most:
            return False  # nothing has to go for what never fits
        for path in [*self._files("entry"), None]:
            excess = self._size + size - self.most
            free = shutil.disk_usage(self.folder).free
            if excess <= 0 and size <= free:
                return True
            if path:
                _remove_unused(path)
        if excess <= 0:
            raise InputError(
                f"the cache folder {str(self.folder)!r} should take {size / GIB:,.1f} GiB more, and its disk has "
                f"{free / GIB:,.1f} GiB free; --data.cache=DIR names a folder with more room"
            )
        return False

    @property
    def _size(self) -> int:
        return sum(path.stat().st_size for kind in OURS for path in self._files(kind))

    def _write(self, key: str, size: int, title: str, claim: BinaryIO, write: Callable[[BinaryIO], About]) -> Entry:
        """Fill a claimed file and make it an entry, whole or not at all; of a deleted folder only this process has it."""
        partial = self._path(key, "partial")
        try:
            about = {"format": FORMAT, "key": key, "size": size, **write(claim)}
            claim.seek(size)
            claim.write(json.dumps(about).encode() + b"\n")
            claim.flush()
            os.fsync(claim.fileno())  # the rename must not reach the disk before the bytes do
            with suppress(FileNotFoundError), self._alone():
                if _is(partial, claim):
                    os.replace(partial, self._path(key, "entry"))
                    fcntl.flock(claim, fcntl.LOCK_SH)
                    return Entry(claim, about)
        except BaseException:
            with claim, suppress(FileNotFoundError), self._alone():
                if _is(partial, claim):
                    partial.unlink()
            raise
        say(f"{title}: not kept, since the cache folder {str(self.folder)!r} was deleted meanwhile")
        return Entry(claim, about)


def open_cache(config: DataConfig) -> Cache | None:
    """The configured cache; None if there is to be none, or no way to share one (Windows has no flock)."""
    return Cache(config.cache, config.cache_gb, config.cache_check) if config.cache and fcntl else None


def _is(path: Path, file: BinaryIO) -> bool:
    """Whether `path` still is the open file: it may have been deleted, and another process may have put a new one there."""
    return path.exists() and os.path.samestat(path.stat(), os.fstat(file.fileno()))


def _read_about(file: BinaryIO, key: str, size: int) -> About | None:
    """What an entry says about itself; None for a truncated file or one that was not written as this entry."""
    length = os.fstat(file.fileno()).st_size
    if not size < length <= size + MOST_ABOUT:
        return None
    file.seek(size)
    try:
        about = json.loads(file.read())
    except (ValueError, RecursionError):
        return None
    right = {"format": FORMAT, "key": key, "size": size}
    return about if isinstance(about, dict) and right.items() <= about.items() else None


def checksum(file: BinaryIO, size: int) -> int:
    """CRC-32 of the first `size` bytes of a file, read piece by piece."""
    file.seek(0)
    total = 0
    for start in range(0, size, PIECE):
        total = zlib.crc32(file.read(min(PIECE, size - start)), total)
    return total


def _remove_unused(path: Path) -> None:
    """Remove a file unless a process, this one included, has it locked."""
    with open(path, "r+b") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return
        path.unlink()
