"""Colour: brightness, contrast, saturation and hue."""

import cv2
import numpy as np

from datasets.batches.augment.step import Sample, Step, checked

LUMA = np.array([0.299, 0.587, 0.114])  # ITU-R BT.601


class Colour(Step):
    """Factors and a turn of the hue, each drawn evenly for the whole image.

    brightness, contrast, saturation: 0 to 1; 0.2 draws a factor from 0.8 to 1.2, by which every pixel, its difference from
        the image's mean luma, and its difference from its own luma are multiplied, in this order.
    hue: largest turn either way, as a share of the colour circle (0 to 0.5).

    The first three are one linear map of the pixels, computed in one pass and right to within one of 256 levels.
    """

    def __init__(self, brightness: float = 0.0, contrast: float = 0.0, saturation: float = 0.0, hue: float = 0.0):
        self.brightness = checked("brightness", brightness)
        self.contrast = checked("contrast", contrast)
        self.saturation = checked("saturation", saturation)
        self.hue = checked("hue", hue, 0.5, " of the colour circle")

    def __call__(self, sample: Sample, random: np.random.Generator) -> Sample:
        brightness, contrast, saturation, hue = (2 * random.random(4) - 1).tolist()
        image = sample.image
        if self.brightness or self.contrast or self.saturation:
            image = adjusted(
                image, 1 + brightness * self.brightness, 1 + contrast * self.contrast, 1 + saturation * self.saturation
            )
        if self.hue:
            image = turned_hue(image, hue * self.hue)
        return sample._replace(image=image)


def adjusted(image: np.ndarray, brightness: float, contrast: float, saturation: float) -> np.ndarray:
    """uint8 [h, w, 3] with its brightness, contrast and saturation multiplied by the factors."""
    mean = brightness * float(LUMA @ cv2.mean(image)[:3])
    colour = saturation * np.eye(3) + (1 - saturation) * LUMA  # each row: s * channel + (1 - s) * luma
    offset = np.full((3, 1), (1 - contrast) * mean)  # grey, which the saturation leaves as it is
    return cv2.transform(image, np.hstack([brightness * contrast * colour, offset]))


def turned_hue(image: np.ndarray, turn: float) -> np.ndarray:
    """uint8 [h, w, 3] with its hue turned by a share of the colour circle."""
    hsv = cv2.cvtColor(image.astype(np.float32) / 255, cv2.COLOR_RGB2HSV)  # hue in degrees
    hsv[..., 0] = (hsv[..., 0] + 360 * turn) % 360
    return (cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB) * 255).round().astype(np.uint8)
