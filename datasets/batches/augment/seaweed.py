"""Seaweed: bands from side to side, or from top to bottom, painted over the image."""

import numpy as np

from datasets.batches.augment.erasing import GREY
from datasets.batches.augment.step import Sample, Step, checked

THICKNESS = 44 / 224  # of one strip, as a share of the image's side
LAST_START = 130 / 224  # a strip begins at an even share from 0 to this


class Seaweed(Step):
    """Paints one or two mid-grey bands over the image with `probability` (0 to 1), as the NTU teacher-student system does.

    A band lies across or upright, each half of the time, is one or two strips of 44/224 of the side thick, each half of the
    time, and begins at 0 to 130/224 of the side, drawn evenly. `second`: how often, of the images that have a band, there is
    another one, drawn by itself, which may cover the first. Landmarks under a band stay.

    NTU draws the bands once for a whole batch; here they are drawn for every image.
    """

    def __init__(self, probability: float = 0.7, second: float = 0.25):
        self.probability = checked("probability", probability)
        self.second = checked("second", second)

    def __call__(self, sample: Sample, random: np.random.Generator) -> Sample:
        chosen, again, *bands = random.random(8).tolist()
        if chosen >= self.probability:
            return sample
        image = sample.image.copy()
        for upright, strips, start in (bands[:3], bands[3:])[: 2 if again < self.second else 1]:
            lines = image.swapaxes(0, 1) if upright < 0.5 else image
            first = round(start * LAST_START * len(lines))
            lines[first : first + max(1, round((1 if strips < 0.5 else 2) * THICKNESS * len(lines)))] = GREY
        return sample._replace(image=image)
