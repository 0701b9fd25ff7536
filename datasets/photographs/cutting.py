"""The face cut out of a photograph, as a square: the same for training, evaluation and serving."""

from collections.abc import Sequence

import cv2
import numpy as np

LARGEST_MARGIN = 10  # in sides of the photograph: a mistyped box must not fill the memory


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
