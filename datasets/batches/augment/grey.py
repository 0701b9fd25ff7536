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
        luma = cv2.cvtColor(sample.image, cv2.COLOR_RGB2GRAY)
        return sample._replace(image=cv2.cvtColor(luma, cv2.COLOR_GRAY2RGB))
