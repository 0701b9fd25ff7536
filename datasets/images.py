"""Photographs from files to square uint8 arrays: any common format, every unreadable file counted and named."""

import hashlib
import io
import os
import platform
import shutil
import tempfile
import zlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, BinaryIO

import cv2
import numpy as np
from PIL import Image, ImageOps, features

from datasets.cache import About, Cache, Entry, checksum
from datasets.manifest import Manifest
from datasets.originals import Digest, Originals
from errors import InputError, listing
from processes import leader_first
from progress import progress

FORMATS = ("JPEG", "PNG", "PPM", "BMP", "WEBP", "TIFF")  # no format whose reader starts another program (EPS)
LARGEST_MARGIN = 10  # in sides of the photograph: a mistyped box must not fill the memory
DECODER = "\n".join(
    [
        hashlib.sha256(Path(__file__).read_bytes()).hexdigest(),  # no version number that one could forget to raise
        *(f"{name} {features.version(name)}" for name in ("pil", "jpg", "libjpeg_turbo", "zlib", "libtiff", "webp")),
        cv2.getBuildInformation(),
        cv2.getCPUFeaturesLine(),
        f"numpy {np.__version__} on {platform.machine()}",
    ]
)
"""All that the pixels depend on beside the photographs: another text, and what was decoded before is not used."""


def read_photograph(content: bytes, enough: int | None = None) -> np.ndarray:
    """Decode a photograph -> uint8 RGB [H, W, 3], upright. Grey, palette, alpha, CMYK and 16-bit images are converted.

    enough: a JPEG larger than needed may come at a half, a quarter or an eighth of its height and width, which is faster by
    far, as long as both have `enough` pixels; without it, at full size.
    Raises ValueError, with the reason, for whatever cannot be decoded whole.
    """
    try:
        with Image.open(io.BytesIO(content), formats=FORMATS) as image:
            if enough:
                image.draft(None, (enough, enough))
            image.load()
            if image.mode == "F":
                raise ValueError("floating-point pixels have no defined range")
            if image.mode.startswith("I"):  # 16 bits a pixel; 257 = 65535 / 255
                image = Image.fromarray((np.asarray(image).astype(np.float64) / 257).round().clip(0, 255).astype(np.uint8))
            ImageOps.exif_transpose(image, in_place=True)
            return np.asarray(image if image.mode == "RGB" else image.convert("RGB"))
    except Exception as error:  # a decoder meets arbitrary bytes here and may raise anything
        raise ValueError(" ".join(str(error).split()) or type(error).__name__) from error


def square(photograph: np.ndarray, side: int, box: Sequence[float] | None = None) -> np.ndarray:
    """Cut the box (left, top, right, bottom in pixels, possibly beyond the edges) and scale it to [side, side, 3].

    Without a box, the smallest square around the whole photograph. Nothing is distorted and nothing is lost: what lies
    beyond an edge repeats the edge.
    """
    height, width = photograph.shape[:2]
    if box is None or not np.isfinite(box).all():
        margin = (max(height, width) - min(height, width)) / 2
        box = (0, -margin, width, height + margin) if width > height else (-margin, 0, width + margin, height)
    left, top, right, bottom = (int(round(edge)) for edge in _squared(*box))
    # A box outside the photograph still touches its nearest row and column.
    inner_left, inner_right = np.clip(left, 0, width - 1), np.clip(right, 1, width)
    inner_top, inner_bottom = np.clip(top, 0, height - 1), np.clip(bottom, 1, height)
    if right <= left or bottom <= top:
        raise ValueError(f"the face box {left}, {top}, {right}, {bottom} is empty")
    if max(-left, -top, right - width, bottom - height) > LARGEST_MARGIN * max(height, width):
        raise ValueError(f"the face box {left}, {top}, {right}, {bottom} is far outside the photograph, {width} x {height}")
    cut = photograph[inner_top:inner_bottom, inner_left:inner_right]
    outside = [max(0, inner_top - top), max(0, bottom - inner_bottom), max(0, inner_left - left), max(0, right - inner_right)]
    if any(outside):
        cut = cv2.copyMakeBorder(cut, *map(int, outside), borderType=cv2.BORDER_REPLICATE)
    shrinking = max(cut.shape[:2]) > side
    return cv2.resize(cut, (side, side), interpolation=cv2.INTER_AREA if shrinking else cv2.INTER_LINEAR)


def _squared(left: float, top: float, right: float, bottom: float) -> tuple[float, float, float, float]:
    """The box with its shorter side grown about the middle, so that no face is squeezed; a pixel more or less is square."""
    excess = (right - left) - (bottom - top)
    if abs(excess) <= 1 or right <= left or bottom <= top:
        return left, top, right, bottom
    across, down = max(0.0, -excess) / 2, max(0.0, excess) / 2
    return left - across, top - down, right + across, bottom + down


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

    with leader_first():  # the others find what it decodes
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
