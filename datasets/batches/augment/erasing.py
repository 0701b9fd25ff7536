"""Erasing: a rectangle of the image painted over."""

import numpy as np

from datasets.batches.augment.step import Sample, Step, checked

AREA = (0.02, 0.33)  # of the image
RATIO = (0.3, 3.3)  # height to width
GREY = 127  # 0 for the network


class Erasing(Step):
    """Paints a rectangle of 2 to 33 % of the image mid-grey with `probability` (0 to 1): Zhong et al., "Random Erasing Data
    Augmentation", arXiv 1708.04896, whose probability is the default. Landmarks under the rectangle stay."""

    def __init__(self, probability: float = 0.5):
        self.probability = checked("probability", probability)

    def __call__(self, sample: Sample, random: np.random.Generator) -> Sample:
        chosen, size, shape, down, across = random.random(5).tolist()
        if chosen >= self.probability:
            return sample
        image = sample.image.copy()
        height, width = image.shape[:2]
        area = (AREA[0] + size * (AREA[1] - AREA[0])) * height * width
        ratio = RATIO[0] * (RATIO[1] / RATIO[0]) ** shape
        rows, columns = min(height, round((area * ratio) ** 0.5)), min(width, round((area / ratio) ** 0.5))
        top, left = int(down * (height - rows + 1)), int(across * (width - columns + 1))
        image[top : top + rows, left : left + columns] = GREY
        return sample._replace(image=image)
