"""Affine: the image rotated, zoomed and shifted, in one resampling."""

import cv2
import numpy as np

from datasets.batches.augment.step import Sample, Step, checked


class Affine(Step):
    """Rotation, zoom and shift about the centre, each drawn evenly; one bilinear resampling, the border replicated.

    rotation: largest rotation either way, in degrees (0 to 180).
    scale: largest zoom either way, as a share of the size (0 to below 1): 0.1 draws a factor from 0.9 to 1.1.
    shift: largest shift either way and per axis, as a share of the side (0 to 1).
    """

    def __init__(self, rotation: float = 0.0, scale: float = 0.0, shift: float = 0.0):
        self.rotation = checked("rotation", rotation, 180, " degrees")
        if not 0 <= scale < 1:
            raise ValueError(f"scale is {scale}; it should be a number of at least 0 and below 1")
        self.scale = scale
        self.shift = checked("shift", shift)

    def __call__(self, sample: Sample, random: np.random.Generator) -> Sample:
        turn, zoom, right, down = (2 * random.random(4) - 1).tolist()
        if not (self.rotation or self.scale or self.shift):
            return sample
        height, width = sample.image.shape[:2]
        matrix = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), turn * self.rotation, 1 + zoom * self.scale)
        matrix[0, 2] += right * self.shift * width
        matrix[1, 2] += down * self.shift * height
        return moved(sample, matrix, cv2.INTER_LINEAR, cv2.BORDER_REPLICATE)


def moved(sample: Sample, matrix: np.ndarray, interpolation: int, border: int, fill: int = 0) -> Sample:
    """The image resampled, and its landmarks moved, by the affine map from old to new places, float64 [2, 3].

    border: what stands outside the image, as OpenCV names it; with BORDER_CONSTANT the level `fill` of all colours.
    """
    image, points = sample.image, sample.points
    if points is not None:
        points = (points @ matrix[:, :2].T + matrix[:, 2]).astype(np.float32)
    size = (image.shape[1], image.shape[0])
    image = cv2.warpAffine(image, matrix, size, flags=interpolation, borderMode=border, borderValue=(fill,) * 3)
    return sample._replace(image=image, points=points)
