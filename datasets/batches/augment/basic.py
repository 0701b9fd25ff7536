"""Basic: mirror, rotation, scale and colour in the measures of the NTU teacher-student system."""

import cv2
import numpy as np
from numpy.typing import ArrayLike

from datasets.batches.augment.affine import moved
from datasets.batches.augment.colour import adjusted, turned_hue
from datasets.batches.augment.erasing import GREY
from datasets.batches.augment.flip import Flip
from datasets.batches.augment.grey import without_colour
from datasets.batches.augment.step import Sample, Step, checked

SMALLEST, LARGEST = 0.7, 1.25  # factors of height and width
BRIGHTNESS = 32  # of 255 levels, added or taken off
SATURATION = 0.25
HUE = 0.05  # of the colour circle


class Basic(Step):
    """The level-1 augmentation of NTU's face recognition: everything is drawn for every image.

    flip: probability (0 to 1) of the mirror image.
    rotation: largest rotation either way about the centre, in degrees (0 to 180), drawn evenly.
    rescale: probability of another size: half of these images are enlarged by 1 to 1.25, half shrunk to 0.7 to 1, height and
        width each by a factor of its own, drawn evenly, about the centre.
    jitter: how much (0 to 1) of up to 32 levels of brightness, added or taken off, a factor of the saturation from 0.75 to
        1.25, and a turn of the hue of up to 0.05 of the colour circle.
    grey: probability of the image without colour and without jitter.

    Rotation and size are one bicubic resampling, mid-grey around the image. NTU resamples twice, so that the corners that
    turn out of the image are gone when it is shrunk, and draws the sizes and the jitter once for a whole batch.
    """

    def __init__(
        self,
        flip: float = 0.5,
        rotation: float = 40.0,
        rescale: float = 0.4,
        jitter: float = 1.0,
        grey: float = 0.2,
        point_order: ArrayLike | None = None,
    ):
        self.flip = Flip(checked("flip", flip), point_order)
        self.rotation = checked("rotation", rotation, 180, " degrees")
        self.rescale = checked("rescale", rescale)
        self.jitter = checked("jitter", jitter)
        self.grey = checked("grey", grey)

    def __call__(self, sample: Sample, random: np.random.Generator) -> Sample:
        sample = self.flip(sample, random)
        turn, chosen, enlarge, across, down, brightness, saturation, hue, grey = random.random(9).tolist()
        factors = (1.0, 1.0)
        if chosen < self.rescale:
            least, most = (1.0, LARGEST) if enlarge < 0.5 else (SMALLEST, 1.0)
            factors = (least + across * (most - least), least + down * (most - least))
        if self.rotation or factors != (1.0, 1.0):
            matrix = about_centre(sample.image, self.rotation * (2 * turn - 1), factors)
            sample = moved(sample, matrix, cv2.INTER_CUBIC, cv2.BORDER_CONSTANT, GREY)
        if grey < self.grey:
            return sample._replace(image=without_colour(sample.image))
        if self.jitter:
            shares = [self.jitter * (2 * value - 1) for value in (brightness, saturation, hue)]
            image = brightened(sample.image, shares[0] * BRIGHTNESS)
            image = adjusted(image, 1.0, 1.0, 1 + shares[1] * SATURATION)
            sample = sample._replace(image=turned_hue(image, shares[2] * HUE))
        return sample


def about_centre(image: np.ndarray, degrees: float, factors: tuple[float, float]) -> np.ndarray:
    """The map, float64 [2, 3], that turns the image and then scales its width and height by the factors, its centre fixed."""
    height, width = image.shape[:2]
    centre = np.array([(width - 1) / 2, (height - 1) / 2])
    linear = np.diag(factors) @ cv2.getRotationMatrix2D((0, 0), degrees, 1.0)[:, :2]
    return np.column_stack([linear, centre - linear @ centre])


def brightened(image: np.ndarray, levels: float) -> np.ndarray:
    """uint8 [h, w, 3] with so many levels added to every value, from 0 to 255 at the ends."""
    return np.clip(image + np.float32(levels), 0, 255).round().astype(np.uint8)
