"""The face cut out of a photograph, as a square: the same for training, evaluation and serving."""

from collections.abc import Sequence

import cv2
import numpy as np

LARGEST_MARGIN = 10  # in sides of the photograph: a mistyped box must not fill the memory
MOST_PIXELS = 160_000_000  # of a photograph, and of the square cut out of it; the largest cameras have 150 million


def square(photograph: np.ndarray, side: int, box: Sequence[float] | None = None) -> np.ndarray:
    """Cut the box (left, top, right, bottom in pixels, possibly beyond the edges) and scale it to [side, side, 3].

    Without a box, the smallest square around the whole photograph. Nothing is distorted and nothing is lost: what lies
    beyond an edge repeats the edge. Raises ValueError for a box that is empty, far outside or too large.
    """
    height, width = photograph.shape[:2]
    left, top, right, bottom = square_box((height, width), box)
    # A box outside the photograph still touches its nearest row and column.
    inner_left, inner_right = np.clip(left, 0, width - 1), np.clip(right, 1, width)
    inner_top, inner_bottom = np.clip(top, 0, height - 1), np.clip(bottom, 1, height)
    cut = photograph[inner_top:inner_bottom, inner_left:inner_right]
    outside = [max(0, inner_top - top), max(0, bottom - inner_bottom), max(0, inner_left - left), max(0, right - inner_right)]
    if any(outside):
        cut = cv2.copyMakeBorder(cut, *map(int, outside), borderType=cv2.BORDER_REPLICATE)
    shrinking = max(cut.shape[:2]) > side
    return cv2.resize(cut, (side, side), interpolation=cv2.INTER_AREA if shrinking else cv2.INTER_LINEAR)


def square_points(points: np.ndarray, size: tuple[int, int], side: int, box: Sequence[float] | None = None) -> np.ndarray:
    """Where `square` puts the points of a photograph of `size` = height, width: float32 [..., 2] from float [..., 2], as x, y.

    In both, 0, 0 is the middle of the first pixel, so that a point stays on what it was set on. Unknown ones stay NaN.
    """
    left, top, right, bottom = square_box(size, box)
    scale = side / np.array([right - left, bottom - top])
    return ((points - np.array([left, top]) + 0.5) * scale - 0.5).astype(np.float32)


def square_box(size: tuple[int, int], box: Sequence[float] | None) -> tuple[int, int, int, int]:
    """What is cut out of a photograph of `size` = height, width: left, top, right, bottom in whole pixels. Raises ValueError."""
    height, width = size
    if box is None or not np.isfinite(box).all():
        margin = (max(height, width) - min(height, width)) / 2
        box = (0, -margin, width, height + margin) if width > height else (-margin, 0, width + margin, height)
    left, top, right, bottom = map(float, box)
    shown = f"the face box {left:g}, {top:g}, {right:g}, {bottom:g}"
    if right <= left or bottom <= top:
        raise ValueError(f"{shown} is empty")
    if max(-left, -top, right - width, bottom - height) > LARGEST_MARGIN * max(height, width):
        raise ValueError(f"{shown} is far outside the photograph, {width} x {height}")
    left, top, right, bottom = (int(round(edge)) for edge in _squared(left, top, right, bottom))
    if right <= left or bottom <= top:
        raise ValueError(f"{shown} is empty")
    if (right - left) * (bottom - top) > MOST_PIXELS:
        raise ValueError(
            f"the square around it would have {right - left:,} x {bottom - top:,} pixels, more than {MOST_PIXELS:,}"
            f" (the photograph has {width:,} x {height:,})"
        )
    return left, top, right, bottom


def _squared(left: float, top: float, right: float, bottom: float) -> tuple[float, float, float, float]:
    """The box with its shorter side grown about the middle, so that no face is squeezed; a pixel more or less is square."""
    excess = (right - left) - (bottom - top)
    if abs(excess) <= 1:
        return left, top, right, bottom
    across, down = max(0.0, -excess) / 2, max(0.0, excess) / 2
    return left - across, top - down, right + across, bottom + down
