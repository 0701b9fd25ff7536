"""Grey: the colour dropped."""

import cv2
import numpy as np

from datasets.batches.augment.step import Sample, Step, checked


class Grey(Step):
    """Replaces the colour by its luma (ITU-R BT.601) with `probability` (0 to 1; by default that of Chen et al., "A Simple
    Framework for Contrastive Learning of Visual Representations", arXiv 2002.05709)."""

    def __init__(self, probability: float = 0.2):
        self.probability = checked("probability", probability)

    def __call__(self, sample: Sample, random: np.random.Generator) -> Sample:
        if random.random() >= self.probability:
            return sample
        return sample._replace(image=without_colour(sample.image))


def without_colour(image: np.ndarray) -> np.ndarray:
    """uint8 [h, w, 3] with its luma in all three channels."""
    return cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
