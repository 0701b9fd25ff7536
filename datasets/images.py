"""Photographs from files to square uint8 arrays: any common format, every unreadable file counted and named."""

import hashlib
import io
import os
import shutil
import tempfile
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import cv2
import numpy as np
from PIL import Image, ImageOps

from datasets.manifest import Manifest
from errors import InputError, listing
from progress import progress

FORMATS = ("JPEG", "PNG", "PPM", "BMP", "WEBP", "TIFF")  # no format whose reader starts another program (EPS)
LARGEST_MARGIN = 10  # in sides of the photograph: a mistyped box must not fill the memory


def read_photograph(content: bytes) -> np.ndarray:
    """Decode a photograph -> uint8 RGB [H, W, 3], upright. Grey, palette, alpha, CMYK and 16-bit images are converted.

    Raises ValueError, with the reason, for whatever cannot be decoded whole.
    """
    try:
        with Image.open(io.BytesIO(content), formats=FORMATS) as image:
            image.load()
            if image.mode == "F":
                raise ValueError("floating-point pixels have no defined range")
            if image.mode.startswith("I"):  # 16 bits a pixel; 257 = 65535 / 255
                image = Image.fromarray((np.asarray(image).astype(np.float64) / 257).round().clip(0, 255).astype(np.uint8))
            return np.asarray(ImageOps.exif_transpose(image).convert("RGB"))
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
            pixels = square(read_photograph(content), side, None if boxes is None else boxes[index])
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
    """The photographs of a manifest decoded once: uint8 [N, side, side, 3] in a memory-mapped file that goes with the object.

    `digest` is the SHA-256 over all names and files, in order: it changes if any byte of the data does.
    """

    def __init__(self, faces: Manifest, side: int, title: str):
        self.file_names = faces.file_names
        size, free = len(faces) * side * side * 3, shutil.disk_usage(tempfile.gettempdir()).free
        if size > free:  # writing to a mapping on a full disk would kill the process without a word
            raise InputError(
                f"{len(faces):,} photographs of {side} x {side} pixels take {size / 2**30:,.1f} GiB, and the temporary folder"
                f" {tempfile.gettempdir()!r} has {free / 2**30:,.1f} GiB free; set TMPDIR to a folder with more room"
            )
        with tempfile.TemporaryFile() as file:  # the mapping keeps the nameless file alive
            self.pixels = np.memmap(file, dtype=np.uint8, mode="w+", shape=(len(faces), side, side, 3))
        total = hashlib.sha256()
        for index, (pixels, digest) in enumerate(decode_all(faces, side, title)):
            self.pixels[index] = pixels
            total.update(self.file_names[index].encode() + b"\0" + digest)
        self.digest = total.hexdigest()

    def __len__(self) -> int:
        return len(self.file_names)

    def __getitem__(self, index: int) -> np.ndarray:
        return self.pixels[index]
