"""What a step of the augmentation is given and returns."""

from typing import NamedTuple

import numpy as np

from datasets.manifest import Manifest


class Sample(NamedTuple):
    """A training image with what is known of it.

    image: uint8 [h, w, 3], RGB. points: float32 [L, 2], the landmarks as x, y in pixels of the image, where whole numbers
    are the centres of pixels, NaN where unknown; None: no landmarks. mirrored: the image is the mirror image of the
    photograph, and labels that a mirror changes (camera angles) are to be mirrored, too. landmarks: the names of the points.
    """

    image: np.ndarray
    points: np.ndarray | None = None
    mirrored: bool = False
    landmarks: tuple[str, ...] = ()


class Step:
    """A random change to a sample. It draws the same number of random numbers at every call, and changes no array in place:
    what it does not change it hands on."""

    def output_side(self, side: int) -> int:
        """Side of the images that go out, in pixels, if images of `side` pixels come in."""
        return side

    def check_faces(self, faces: Manifest) -> None:
        """Raise InputError if the step can do nothing with the photographs of `faces`, before any is read."""

    def __call__(self, sample: Sample, random: np.random.Generator) -> Sample:
        raise NotImplementedError


def checked(name: str, value: float, most: float = 1.0, unit: str = "") -> float:
    """The value of an option that lies between 0 and `most`. Raises ValueError, also for NaN."""
    if not 0 <= value <= most:
        raise ValueError(f"{name} is {value}; it should be a number from 0 to {most:g}{unit}")
    return value
