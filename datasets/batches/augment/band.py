"""A band of one colour painted over the top or the bottom of the image: the base of `hat` and `mask`."""

import numpy as np

from datasets.batches.augment.step import Sample, Step, checked


class Band(Step):
    """Paints the band with `probability` (0 to 1), in a random height and colour. Landmarks under it stay."""

    heights: tuple[float, float]
    """Least and largest height, as a share of the image's."""
    at_the_top: bool

    def __init__(self, probability: float):
        self.probability = checked("probability", probability)

    def __call__(self, sample: Sample, random: np.random.Generator) -> Sample:
        chosen, size, *colour = random.random(5).tolist()
        if chosen >= self.probability:
            return sample
        image = sample.image.copy()
        rows = round((self.heights[0] + size * (self.heights[1] - self.heights[0])) * len(image))
        band = image[:rows] if self.at_the_top else image[len(image) - rows :]
        band[:] = [int(256 * value) for value in colour]
        return sample._replace(image=image)
