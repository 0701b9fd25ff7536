"""What a mask looks like: its shape, its cloth and how it is worn, drawn at random."""

from typing import NamedTuple

import cv2
import numpy as np

from datasets.masks.shapes import SHAPES

PATTERNS = ("plain", "stripes", "checks", "dots")
USUAL = {
    "surgical": ((150, 190, 215), (225, 229, 232), (165, 205, 190), (40, 42, 48), (232, 190, 205)),
    "respirator": ((236, 236, 233), (40, 42, 46), (222, 226, 232), (120, 124, 130)),
}
"""Colours (RGB) that most masks of a shape have; cloth has any."""
SHRINK = 4 / 112  # of the image's side, at most
ERODE = 8 / 112  # as four times an erosion by 5 x 5 pixels
DARKEN = (0.5, 0.8)


class Look(NamedTuple):
    """One mask. shape: of SHAPES. pattern: of PATTERNS. colours: RGB of the cloth and of its pattern, float [2, 3]. repeats:
    of the pattern across the mask. angle: of stripes, in radians. folds: float32 [5, 7], light and dark of a cloth that is
    not ironed. lift: how much lower the upper edge sits, in distances between the eyes. wide: how much wider than usual.
    straps, valve: whether there are any. shrink, erode: pixels as shares of the image's side. darken: factor."""

    shape: str
    pattern: str
    colours: np.ndarray
    repeats: float
    angle: float
    folds: np.ndarray
    lift: float
    wide: float
    straps: bool
    valve: bool
    shrink: float = 0.0
    erode: float = 0.0
    darken: float = 1.0

    def mirrored(self) -> "Look":
        """The same mask in a mirror."""
        return self._replace(angle=-self.angle, folds=self.folds[:, ::-1])


def draw_look(random: np.random.Generator, shrink: float = 0.0, erode: float = 0.0, darken: float = 0.0) -> Look:
    """A mask drawn at random.

    shrink, erode, darken: probabilities (0 to 1) of a mask that is up to 4 pixels of 112 smaller, whose edge is eaten away by up
    to four times two pixels, and that is darkened to 0.5 to 0.8: the random masks of FaceX-Zoo (Wang et al., arXiv
    2101.04407), whose probabilities are 0.5, 0.2 and 0.5.
    """
    shape = str(random.choice(list(SHAPES)))
    pattern = PATTERNS[int(random.choice(4, p=(0.3, 0.25, 0.25, 0.2)))] if shape == "cloth" else "plain"
    if shape in USUAL:
        usual = USUAL[shape]
        colour = np.array(usual[int(random.integers(len(usual)))]) + random.normal(0, 6, 3)
        second = 0.9 * colour
    else:
        colour, second = random.uniform(20, 235, (2, 3))
    chosen = random.random(6)
    return Look(
        shape,
        pattern,
        np.stack([colour, second]).clip(0, 255),
        repeats=float(random.uniform(5, 12)),
        angle=float(random.choice([0.0, np.pi / 2, np.pi / 4, -np.pi / 4])),
        folds=random.normal(0, 1, (5, 7)).astype(np.float32),
        lift=float(random.uniform(-0.02, 0.10)),
        wide=float(random.uniform(0.94, 1.04)),
        straps=bool(chosen[0] < 0.85),
        valve=bool(shape == "respirator" and chosen[1] < 0.4),
        shrink=float(SHRINK * random.random() * (chosen[2] < shrink)),
        erode=float(ERODE * random.integers(5) / 4 * (chosen[3] < erode)),
        darken=float(random.uniform(*DARKEN)) if chosen[4] < darken else 1.0,
    )


def paint(look: Look, across: np.ndarray, down: np.ndarray) -> np.ndarray:
    """Colours (0 to 255, float32 [h, w, 3]) of the flat cloth at across (-1 to 1) and down (0 to 1), float [h, w] each."""
    shape = SHAPES[look.shape]
    first, second = look.colours.astype(np.float32)
    colour = first + (second - first) * _pattern(look, across, 0.75 * (2 * down - 1))[..., None]
    folds = cv2.resize(look.folds, (across.shape[1], across.shape[0]), interpolation=cv2.INTER_CUBIC)
    light = 1 + (0.035 if shape.pleats else 0.05) * folds
    for number in range(shape.pleats):  # light above the fold, a shadow below it, less towards the ends
        below = (down - (0.3 + 0.4 * number / max(1, shape.pleats - 1))) / 0.05
        light -= 0.22 * np.exp(-np.maximum(below, 0)) * (below > 0) * (1 - np.abs(across) ** 3)
    edge = np.maximum(np.abs(across), np.abs(2 * down - 1)) > 0.93
    light = np.where(edge, light * 0.9, light)  # the hem
    if look.shape == "cloth":
        light *= 1 - 0.18 * np.exp(-((across / 0.02) ** 2))  # the seam in the middle
    if look.shape == "respirator":
        light *= 1 - 0.15 * np.exp(-(((down - 0.42) / 0.02) ** 2))
    colour = colour * light[..., None]
    if look.valve:
        ring = np.hypot((across + 0.32) * 1.25, down - 0.55)  # on the right of who wears it
        colour = np.where((ring < 0.13)[..., None], np.where((ring < 0.10)[..., None], np.float32(196), np.float32(150)), colour)
    return colour.clip(0, 255)


def _pattern(look: Look, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """How much of its second colour the cloth has, bool or float32 [h, w] from 0 to 1, at places of equal scale."""
    if look.pattern == "stripes":
        along = x * np.cos(look.angle) + y * np.sin(look.angle)
        return np.sin(np.pi * look.repeats * along + 0.7) > 0.2
    if look.pattern == "checks":
        across, down = ((np.sin(np.pi * look.repeats * value) > 0).astype(np.float32) for value in (x, y))
        return (across + down) / 2
    if look.pattern == "dots":
        cell = look.repeats / 2
        return np.hypot(*((cell * value + 0.5) % 1 - 0.5 for value in (x, y))) < 0.28
    return np.zeros_like(x)
