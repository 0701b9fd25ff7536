"""Augmentation: random changes to a training image, as a list of named steps. One step a file, and one line in STEPS.

A constructor's parameters are the step's options, apart from `image_size` (the side of the images that come to the step, in
pixels) and `point_order` (see Augmentation), which the program provides.
"""

from collections.abc import Iterable

import cv2
import numpy as np
from numpy.typing import ArrayLike

from common.registry import ChoiceLike, Registry
from datasets.batches.augment.affine import Affine
from datasets.batches.augment.basic import Basic
from datasets.batches.augment.colour import Colour
from datasets.batches.augment.crop import Crop
from datasets.batches.augment.erasing import Erasing
from datasets.batches.augment.face_mask import FaceMask
from datasets.batches.augment.flip import Flip
from datasets.batches.augment.grey import Grey
from datasets.batches.augment.hat import Hat
from datasets.batches.augment.mask import Mask
from datasets.batches.augment.seaweed import Seaweed
from datasets.batches.augment.step import Sample, Step
from datasets.manifest import Manifest

cv2.setNumThreads(1)  # one image is too small to share among threads, and loader processes already share the cores

STEPS = Registry(
    "augmentation step",
    {
        "flip": Flip,
        "affine": Affine,
        "crop": Crop,
        "colour": Colour,
        "grey": Grey,
        "erasing": Erasing,
        "hat": Hat,
        "mask": Mask,
        "face_mask": FaceMask,
        "basic": Basic,
        "seaweed": Seaweed,
    },
)


class Augmentation:
    """The steps of a list, one after another, as a function of the sample and a random generator alone.

    choices: the steps in order, each a name or {name: ..., option: ...}.
    side: of the images that come in, in pixels; `output_side` is that of the images that go out.
    point_order: int [L], the landmark whose place each landmark takes in a mirrored face, such as [1, 0, 2, 4, 3] for left
        eye, right eye, nose, left and right corner of the mouth; None: a mirror changes no landmark's meaning.

    Every step draws as many random numbers whether it acts or not, so that a probability changes what a step does and
    nothing of what the others do. Raises InputError for an unknown step, a wrong option and a value outside its range.
    """

    def __init__(self, choices: Iterable[ChoiceLike], side: int, point_order: ArrayLike | None = None):
        self.steps: list[Step] = []
        self.output_side = side
        for choice in choices:
            step = STEPS.build(choice, image_size=self.output_side, point_order=point_order)
            self.steps.append(step)
            self.output_side = step.output_side(self.output_side)

    def check_faces(self, faces: Manifest) -> None:
        """Raise InputError if a step can do nothing with the photographs of `faces`."""
        for step in self.steps:
            step.check_faces(faces)

    def __call__(self, sample: Sample, random: np.random.Generator) -> Sample:
        """A sample of side `side` -> a sample of side `output_side`; the arrays that come in stay as they are."""
        for step in self.steps:
            sample = step(sample, random)
        return sample
