"""The files that decoded photographs are made from, and whether they are still what they were when that was done."""

import hashlib
import os
import time
from collections.abc import Iterable
from typing import Any

import numpy as np

from common.progress import progress
from datasets.manifest import Manifest, points_digest

SETTLED = 2_000_000_000  # ns; the coarsest clock of a file system (FAT) ticks every two seconds
NEVER = np.iinfo(np.int64).max


class Originals:
    """The photographs of a manifest as files: what the file system says of each at one moment, without reading it.

    What is trusted: size, inode, time of modification and time of change (ctime) of a file together. Each new content,
    each replacement and each rename changes one of them; a program can set back the first time, but not the second. A
    file that changed less than two seconds before it was decoded may have changed once more under the same stamp
    (`unsettled`): such files are read and compared byte for byte. The clock of a file server has to agree with this
    machine's to those two seconds. A file system without a ctime of its own (FAT, some network ones) hides a file that
    was rewritten at the same size with its old time put back: there, compare all files (`data.cache_check`).
    """

    def __init__(self, faces: Manifest):
        self.faces = faces
        self.file_names = faces.file_names
        self.taken = time.time_ns()  # before the first file is asked
        stamps = [_stamp(os.path.join(faces.root, path)) for path in faces.paths]
        self._stamps = [stamp for stamp, _ in stamps]
        self._changed = np.array([changed for _, changed in stamps], dtype=np.int64)

    def key(self, made_by: str) -> str:
        """64 hexadecimal digits that differ for other names, stamps, face boxes or landmarks, and for another maker."""
        boxes = self.faces.boxes
        parts = [made_by, "\0".join(self.file_names), "\0".join(self._stamps)]
        parts.append("none" if boxes is None else hashlib.sha256(boxes.tobytes()).hexdigest())
        parts.append(points_digest(self.faces))
        return hashlib.sha256("\0\0".join(parts).encode()).hexdigest()

    def unsettled(self, taken: int) -> np.ndarray:
        """Positions of the files that had changed so shortly before `taken` (ns) that a later change may not show."""
        return np.flatnonzero(self._changed > taken - SETTLED)

    def unchanged(self, about: dict[str, Any], check: bool) -> bool:
        """Whether the files are those of which `about` was written, given that their stamps are; with `check`, read all.

        about: `taken`, `digest` over all files and `unsettled`, the digest over those that were unsettled then.
        """
        taken = about.get("taken")
        if type(taken) is not int or not 0 <= taken <= self.taken or not isinstance(about.get("digest"), str):
            return False
        positions = range(len(self.file_names)) if check else self.unsettled(taken)
        return about.get("digest" if check else "unsettled") == self._digest(positions)

    def _digest(self, positions: Iterable[int]) -> str | None:
        """What `Digest` says of some of the files; None if one cannot be read."""
        digest, paths = Digest(), self.faces.paths
        for position in progress(positions, "compare photographs", unit="photo", leave=False):
            name = self.file_names[position]
            try:
                with open(os.path.join(self.faces.root, paths[position]), "rb") as file:
                    digest.add(name, hashlib.file_digest(file, "sha256").digest())
            except OSError:
                return None
        return str(digest)


class Digest:
    """SHA-256 over the names and the bytes of files, in order."""

    def __init__(self):
        self._total = hashlib.sha256()

    def add(self, name: str, digest: bytes) -> None:
        """One more file: its name and the SHA-256 of its bytes."""
        self._total.update(name.encode() + b"\0" + digest)

    def __str__(self) -> str:
        return self._total.hexdigest()


def _stamp(path: str) -> tuple[str, int]:
    """What tells one state of a file from another, and when that state began in ns; for an absent file, not yet."""
    try:
        found = os.stat(path)  # of the file that a link leads to
    except OSError:  # whoever reads the file will tell why
        return "absent", NEVER
    stamp = f"{found.st_size} {found.st_mtime_ns} {found.st_ctime_ns} {found.st_ino}"
    return stamp, min(max(found.st_mtime_ns, found.st_ctime_ns), NEVER)
