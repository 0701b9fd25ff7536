"""Flip: the image mirrored left to right."""

import cv2
import numpy as np
from numpy.typing import ArrayLike

from datasets.batches.augment.step import Sample, Step, checked


class Flip(Step):
    """Mirrors the image with `probability` (0 to 1), and says so in the sample, since labels may change with it.

    point_order: see Augmentation; a mirrored left eye stands where the program expects the right eye.
    """

    def __init__(self, probability: float = 0.5, point_order: ArrayLike | None = None):
        self.probability = checked("probability", probability)
        self.point_order = None if point_order is None else np.asarray(point_order, dtype=np.int64)

    def __call__(self, sample: Sample, random: np.random.Generator) -> Sample:
        if random.random() >= self.probability:
            return sample
        image, points = sample.image, sample.points
        if points is not None:
            points = points if self.point_order is None else points[self.point_order]
            points = np.stack([image.shape[1] - 1 - points[:, 0], points[:, 1]], axis=1)
        return sample._replace(image=cv2.flip(image, 1), points=points, mirrored=not sample.mirrored)
