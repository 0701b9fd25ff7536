"""Shapes of masks, as surfaces over the mean face of `datasets.masks.face`."""

from typing import NamedTuple

import numpy as np


class Shape(NamedTuple):
    """A mask before the mean face. All in its coordinates: the distance between the eyes is 1, y points down.

    middle: y and z of the line from the nose over the chin, from top to bottom. side: x, y and z of the mask's end beside the
    cheek, from top to bottom. tent: 1 for a cloth that lies round the face, more for one that runs straight from the nose to
    the cheek. corners: 2 for an ellipse, more for corners, seen flat. pleats: folds across. straps: where, from top (0) to
    bottom (1), a strap to the ear begins.
    """

    middle: tuple[tuple[float, float], ...]
    side: tuple[tuple[float, float, float], ...]
    tent: float
    corners: float
    pleats: int
    straps: tuple[float, float]

    def surface(self, across: np.ndarray, down: np.ndarray) -> np.ndarray:
        """Points of the surface [..., 3]; across: -1 at the left end of the picture, 0 in the middle, 1 at the right; down: 0 at
        the top to 1 at the bottom, [...] each."""
        y0, z0 = (_along(self.middle, axis, down) for axis in range(2))
        x1, y1, z1 = (_along(self.side, axis, down) for axis in range(3))
        turn = np.abs(across) * np.pi / 2
        share = np.abs(np.sin(turn)) ** (1 + 0.8 * down)  # the lower edge follows the jaw, the upper one the cheek
        forward = np.abs(np.cos(turn)) ** self.tent
        return np.stack([np.sign(across) * np.sin(turn) * x1, y0 + (y1 - y0) * share, z1 + (z0 - z1) * forward], axis=-1)


def _along(line: tuple[tuple[float, ...], ...], axis: int, share: np.ndarray) -> np.ndarray:
    return np.interp(share, np.linspace(0, 1, len(line)), [point[axis] for point in line])


SHAPES = {
    "surgical": Shape(
        middle=((0.30, 0.66), (0.60, 0.86), (0.98, 0.72), (1.36, 0.54), (1.72, 0.42), (1.98, 0.10)),
        side=((0.97, 0.66, -0.72), (0.99, 0.92, -0.74), (0.94, 1.16, -0.72), (0.82, 1.38, -0.66), (0.68, 1.60, -0.58)),
        tent=1.0,
        corners=14.0,
        pleats=3,
        straps=(0.06, 0.94),
    ),
    "cloth": Shape(
        middle=((0.30, 0.66), (0.60, 0.88), (0.98, 0.76), (1.36, 0.58), (1.74, 0.40), (2.02, 0.02)),
        side=((1.04, 0.58, -0.98), (1.04, 0.86, -1.00), (0.98, 1.12, -0.94), (0.86, 1.38, -0.84), (0.70, 1.62, -0.72)),
        tent=1.15,
        corners=6.0,
        pleats=0,
        straps=(0.14, 0.86),
    ),
    "respirator": Shape(
        middle=((0.26, 0.64), (0.58, 0.88), (0.95, 0.90), (1.32, 0.80), (1.70, 0.52), (1.98, 0.14)),
        side=((0.78, 0.62, -0.26), (0.86, 0.86, -0.36), (0.86, 1.12, -0.42), (0.78, 1.40, -0.44), (0.56, 1.70, -0.36)),
        tent=1.4,
        corners=3.5,
        pleats=0,
        straps=(0.22, 0.72),
    ),
}
EARS = ((-1.13, 0.02, -1.45), (-1.12, 0.62, -1.45))
"""Where the upper and the lower strap go around the ear, on the left of the picture."""
