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
from typing import Any, BinaryIO, NamedTuple

import cv2
import numpy as np
from PIL import features

from common.errors import InputError, listing
from common.progress import progress
from datasets.manifest import Manifest
from datasets.masks.copies import DRAWING, masked_pixels
from datasets.photographs.cache import About, Cache, Entry, checksum
from datasets.photographs.cutting import square, square_points
from datasets.photographs.decoding import read_photograph, upright_size
from datasets.photographs.originals import Digest, Originals
from distributed.processes import main_process_first

POINT = np.dtype("<f4")

DECODER = "\n".join(
    [
        *(hashlib.sha256(Path(__file__).with_name(name).read_bytes()).hexdigest() for name in ("cutting.py", "decoding.py")),
        *(f"{name} {features.version(name)}" for name in ("pil", "jpg", "libjpeg_turbo", "zlib", "libtiff", "webp")),
        cv2.getBuildInformation(),
        cv2.getCPUFeaturesLine(),
        f"numpy {np.__version__} on {platform.machine()}",
    ]
)
"""All that the pixels depend on beside the photographs: another text, and what was decoded before is not used."""


class Source(NamedTuple):
    """What is known of a photograph that was decoded: the SHA-256 of its file, and its landmarks in pixels of the image cut
    from it, float32 [L, 2], or None if the manifest has none."""

    digest: bytes
    points: np.ndarray | None


def decode_all(faces: Manifest, side: int, title: str) -> Iterator[tuple[np.ndarray, Source]]:
    """Yield, in order, each photograph as uint8 [side, side, 3], cut to its face box, with a mask if it is to have one, and
    what is known of it.

    Raises InputError, once all were tried, that counts the unreadable files and names the first.
    """
    file_names, paths, boxes, points, masked = faces.file_names, faces.paths, faces.boxes, faces.points, faces.masked
    faults: list[str] = []

    def decode(index: int) -> tuple[np.ndarray, Source] | str:
        box = boxes[index] if boxes is not None and np.isfinite(boxes[index]).all() else None
        try:
            content = (faces.root / paths[index]).read_bytes()
            photograph = read_photograph(content, side) if box is None else read_photograph(content)  # a box is of the full size
            pixels = square(photograph, side, box)
            placed = None
            if points is not None:
                size = upright_size(content) if box is None else photograph.shape[:2]
                placed = square_points(points[index], size, side, box)
                if masked[index]:
                    pixels = masked_pixels(pixels, placed, faces.landmarks, file_names[index])
        except (OSError, ValueError) as error:
            return f"{file_names[index]} ({error})"
        return pixels, Source(hashlib.sha256(content).digest(), placed)

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for decoded in progress(in_order(pool, decode, len(file_names)), title, total=len(file_names), unit="photo"):
            if isinstance(decoded, str):
                faults.append(decoded)
            else:
                yield decoded
    if faults:
        raise InputError(
            f"{len(faults):,} of {len(file_names):,} photographs in {str(faces.root)!r} cannot be read whole: {listing(faults)}"
        )


def in_order(pool: ThreadPoolExecutor, function: Callable[[int], Any], count: int, ahead: int = 64) -> Iterator[Any]:
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
    data does. `points` are the landmarks in pixels of these images, float32 [N, L, 2] as x, y, where 0, 0 is the middle of the
    first pixel, NaN where unknown and perhaps outside the image; None if the manifest has none; `landmarks` are their names.
    With a cache the file is one of its entries, which serves as long as the files (see `Originals`), the face boxes, the
    landmarks, the side and the decoder are the same. Without one, or if it is too small, a nameless temporary file goes with
    the object. Raises InputError for photographs that cannot be read and for a disk that is too full.
    """

    def __init__(self, faces: Manifest, side: int, title: str, cache: Cache | None = None):
        self.file_names, self.landmarks = faces.file_names, faces.landmarks
        shape = (len(faces), side, side, 3)
        entry = _cached(faces, side, title, cache) if cache else None
        file, about = entry or _temporary(faces, side, title)
        with file:  # the mapping has its own descriptor, which keeps an entry in use and a nameless file alive
            self.pixels = np.memmap(file, dtype=np.uint8, mode="r", shape=shape) if len(faces) else np.empty(shape, np.uint8)
            self.points = _read_points(file, self.pixels.size, faces)
        self.digest = about["digest"]

    def __len__(self) -> int:
        return len(self.file_names)

    def __getitem__(self, index: int) -> np.ndarray:
        """One photograph, uint8 [side, side, 3]: a copy, which may be changed."""
        return np.array(self.pixels[index])


class Chosen:
    """Some of the photographs, such as those that do not train. positions: int64, of them among all; nothing is copied."""

    def __init__(self, photographs: Photographs, positions: np.ndarray):
        self.photographs, self.positions = photographs, positions
        self.file_names = [photographs.file_names[position] for position in positions]
        self.points = None if photographs.points is None else photographs.points[positions]

    def __len__(self) -> int:
        return len(self.positions)

    def __getitem__(self, index: int) -> np.ndarray:
        """One photograph, uint8 [side, side, 3]: a copy, which may be changed."""
        return self.photographs[self.positions[index]]


def _cached(faces: Manifest, side: int, title: str, cache: Cache) -> Entry | None:
    """The decoded photographs as an entry of the cache; None if it is too small for them."""
    originals = Originals(faces)
    size = _size(faces, side)

    def valid(entry: Entry) -> bool:
        whole = not cache.check or entry.about.get("checksum") == checksum(entry.file, size)
        return whole and originals.unchanged(entry.about, cache.check)

    def write(file: BinaryIO) -> About:
        return {"taken": originals.taken, **_decode(faces, side, title, file, originals.unsettled(originals.taken))}

    with main_process_first():  # the others find what it decodes
        maker = f"{side} {DECODER}" + (f"\n{DRAWING}" if faces.masked.any() else "")
        return cache.entry(originals.key(maker), size, title, valid, write)


def _temporary(faces: Manifest, side: int, title: str) -> Entry:
    size, folder = _size(faces, side), tempfile.gettempdir()
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
    """Write the pixels of all photographs, then all points, to a file; return what `Originals.unchanged` will want to know."""
    everything, part, check, unsettled = Digest(), Digest(), 0, set(unsettled)
    file_names = faces.file_names
    points = None if faces.points is None else np.empty(faces.points.shape, POINT)
    for index, (pixels, source) in enumerate(decode_all(faces, side, title)):
        content = pixels.tobytes()
        file.write(content)
        check = zlib.crc32(content, check)
        if points is not None:
            points[index] = source.points
        for total in (everything, part) if index in unsettled else (everything,):
            total.add(file_names[index], source.digest)
    if points is not None:
        file.write(points.tobytes())
        check = zlib.crc32(points.tobytes(), check)
    return {"digest": str(everything), "unsettled": str(part), "checksum": check}


def _size(faces: Manifest, side: int) -> int:
    """Bytes that `_decode` writes."""
    return len(faces) * side * side * 3 + (0 if faces.points is None else faces.points.size * POINT.itemsize)


def _read_points(file: BinaryIO, start: int, faces: Manifest) -> np.ndarray | None:
    """The points that `_decode` wrote from the byte `start` on, float32 [N, L, 2]."""
    if faces.points is None:
        return None
    file.seek(start)
    content = file.read(faces.points.size * POINT.itemsize)
    return np.frombuffer(content, POINT).reshape(faces.points.shape)
