"""The photographs of a manifest as square uint8 arrays: decoded once, every unreadable file counted and named."""

import hashlib
import os
import platform
import shutil
import tempfile
import zlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, BinaryIO

import cv2
import numpy as np
from PIL import features

from common.errors import InputError, listing
from common.progress import progress
from datasets.manifest import Manifest
from datasets.photographs import cutting, decoding
from datasets.photographs.cache import About, Cache, Entry, checksum
from datasets.photographs.cutting import square
from datasets.photographs.decoding import read_photograph
from datasets.photographs.originals import Digest, Originals
from distributed.processes import main_process_first

DECODER = "\n".join(
    [
        *(hashlib.sha256(Path(module.__file__).read_bytes()).hexdigest() for module in (cutting, decoding)),
        *(f"{name} {features.version(name)}" for name in ("pil", "jpg", "libjpeg_turbo", "zlib", "libtiff", "webp")),
        cv2.getBuildInformation(),
        cv2.getCPUFeaturesLine(),
        f"numpy {np.__version__} on {platform.machine()}",
    ]
)
"""All that the pixels depend on beside the photographs: another text, and what was decoded before is not used."""


def decode_all(faces: Manifest, side: int, title: str) -> Iterator[tuple[np.ndarray, bytes]]:
    """Yield, in order, each photograph as uint8 [side, side, 3], cut to its face box, and the SHA-256 of its file.

    Raises InputError, once all were tried, that counts the unreadable files and names the first.
    """
    file_names, boxes = faces.file_names, faces.boxes
    faults: list[str] = []

    def decode(index: int) -> tuple[np.ndarray, bytes] | str:
        name = file_names[index]
        try:
            content = (faces.root / name).read_bytes()
            if boxes is None:
                pixels = square(read_photograph(content, side), side)
            else:  # a box is in pixels of the full size
                pixels = square(read_photograph(content), side, boxes[index])
        except (OSError, ValueError) as error:
            return f"{name} ({error})"
        return pixels, hashlib.sha256(content).digest()

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for decoded in progress(_in_order(pool, decode, len(file_names)), title, total=len(file_names), unit="photo"):
            if isinstance(decoded, str):
                faults.append(decoded)
            else:
                yield decoded
    if faults:
        raise InputError(
            f"{len(faults):,} of {len(file_names):,} photographs in {str(faces.root)!r} cannot be read whole: {listing(faults)}"
        )


def _in_order(pool: ThreadPoolExecutor, function: Callable[[int], Any], count: int, ahead: int = 64) -> Iterator[Any]:
    """function(0), function(1), ... computed by the pool, never more than `ahead` waiting: memory stays flat."""
    pending: deque = deque()
    for index in range(count):
        pending.append(pool.submit(function, index))
        if len(pending) > ahead:
            yield pending.popleft().result()
    while pending:
        yield pending.popleft().result()


class Photographs:
    """The photographs of a manifest, decoded once: uint8 [N, side, side, 3] in a memory-mapped file, read-only.

    `digest` is the SHA-256 over all names and files, in order, as they were when decoded: it changes if any byte of the
    data does. With a cache the file is one of its entries, which serves as long as the files (see `Originals`), the face
    boxes, the side and the decoder are the same. Without one, or if it is too small, a nameless temporary file goes with
    the object. Raises InputError for photographs that cannot be read and for a disk that is too full.
    """

    def __init__(self, faces: Manifest, side: int, title: str, cache: Cache | None = None):
        self.file_names = faces.file_names
        shape = (len(faces), side, side, 3)
        entry = _cached(faces, side, title, cache) if cache else None
        file, about = entry or _temporary(faces, side, title)
        with file:  # the mapping has its own descriptor, which keeps an entry in use and a nameless file alive
            self.pixels = np.memmap(file, dtype=np.uint8, mode="r", shape=shape) if len(faces) else np.empty(shape, np.uint8)
        self.digest = about["digest"]

    def __len__(self) -> int:
        return len(self.file_names)

    def __getitem__(self, index: int) -> np.ndarray:
        """One photograph, uint8 [side, side, 3]: a copy, which may be changed."""
        return np.array(self.pixels[index])


def _cached(faces: Manifest, side: int, title: str, cache: Cache) -> Entry | None:
    """The decoded photographs as an entry of the cache; None if it is too small for them."""
    originals = Originals(faces)
    size = len(faces) * side * side * 3

    def valid(entry: Entry) -> bool:
        whole = not cache.check or entry.about.get("checksum") == checksum(entry.file, size)
        return whole and originals.unchanged(entry.about, cache.check)

    def write(file: BinaryIO) -> About:
        return {"taken": originals.taken, **_decode(faces, side, title, file, originals.unsettled(originals.taken))}

    with main_process_first():  # the others find what it decodes
        return cache.entry(originals.key(f"{side} {DECODER}"), size, title, valid, write)


def _temporary(faces: Manifest, side: int, title: str) -> Entry:
    size, folder = len(faces) * side * side * 3, tempfile.gettempdir()
    free = shutil.disk_usage(folder).free
    if size > free:
        raise InputError(
            f"{len(faces):,} photographs of {side} x {side} pixels take {size / 2**30:,.1f} GiB, and the temporary folder"
            f" {folder!r} has {free / 2**30:,.1f} GiB free; set TMPDIR to a folder with more room"
        )
    file = tempfile.TemporaryFile()
    about = _decode(faces, side, title, file)
    file.flush()
    return Entry(file, about)


def _decode(faces: Manifest, side: int, title: str, file: BinaryIO, unsettled: Iterable[int] = ()) -> About:
    """Write the pixels of all photographs to a file and return what `Originals.unchanged` will want to know."""
    everything, part, check, unsettled = Digest(), Digest(), 0, set(unsettled)
    for index, (pixels, digest) in enumerate(decode_all(faces, side, title)):
        content = pixels.tobytes()
        file.write(content)
        check = zlib.crc32(content, check)
        for total in (everything, part) if index in unsettled else (everything,):
            total.add(faces.file_names[index], digest)
    return {"digest": str(everything), "unsettled": str(part), "checksum": check}
