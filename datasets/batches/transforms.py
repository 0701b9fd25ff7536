"""Augmentation of single images, as a pure function of the image and a random generator."""

import cv2
import numpy as np

from common.config import AugmentConfig
from common.errors import InputError

cv2.setNumThreads(1)  # one image is too small to share among threads, and loader processes already share the cores

GREY = np.array([0.299, 0.587, 0.114], dtype=np.float32)  # ITU-R BT.601 luma
ERASE_AREA = (0.02, 0.33)
ERASE_RATIO = (0.3, 3.3)
HAT_HEIGHT = (0.15, 0.33)  # in sides of the image
MASK_HEIGHT = (0.3, 0.45)


def centre_crop(images: np.ndarray, side: int) -> np.ndarray:
    """The central `side` x `side` pixels of uint8 [..., H, W, 3]; side 0 keeps all."""
    height, width = images.shape[-3:-1]
    if not side:
        return images
    top, left = (height - side) // 2, (width - side) // 2
    return images[..., top : top + side, left : left + side, :]


class Augmentation:
    """Random changes to a square image: geometry in one resampling, then colour, then erasing and covering."""

    def __init__(self, config: AugmentConfig, side: int):
        if config.crop > side:
            raise InputError(f"augment.crop is {config.crop}, larger than model.image_size = {side}")
        self.config = config
        self.side = side
        self.output_side = config.crop or side

    def __call__(self, image: np.ndarray, random: np.random.Generator) -> tuple[np.ndarray, bool]:
        """uint8 [side, side, 3] -> uint8 [output_side, output_side, 3] and whether the image was mirrored."""
        image, mirrored = self._geometry(image, random)
        return self._cover(self._erase(self._colour(image, random), random), random), mirrored

    def _geometry(self, image: np.ndarray, random: np.random.Generator) -> tuple[np.ndarray, bool]:
        config = self.config
        mirrored = bool(random.random() < config.flip)
        corner = random.integers(self.side - self.output_side + 1, size=2)  # of the crop: x, y
        turn, zoom, *shift = random.uniform(-1, 1, size=4)
        if not (config.rotation or config.scale or config.shift):
            x, y = corner
            image = image[y : y + self.output_side, x : x + self.output_side]
            return np.ascontiguousarray(image[:, ::-1] if mirrored else image), mirrored
        middle = (self.side - 1) / 2
        matrix = cv2.getRotationMatrix2D((middle, middle), turn * config.rotation, 1 + zoom * config.scale)
        matrix[:, 2] += np.array(shift) * config.shift * self.side - corner
        if mirrored:
            matrix[0] = -matrix[0]
            matrix[0, 2] += self.output_side - 1
        size = (self.output_side, self.output_side)
        return cv2.warpAffine(
            np.ascontiguousarray(image), matrix, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
        ), mirrored

    def _colour(self, image: np.ndarray, random: np.random.Generator) -> np.ndarray:
        config = self.config
        brightness, contrast, saturation, hue = random.uniform(-1, 1, size=4).tolist()  # numpy scalars would make float64
        colourless = random.random() < config.grey
        if not (config.brightness or config.contrast or config.saturation or config.hue or colourless):
            return image
        pixels = image.astype(np.float32) * (1 + brightness * config.brightness)
        if config.contrast:
            mean = float((pixels @ GREY).mean())
            pixels = mean + (pixels - mean) * (1 + contrast * config.contrast)
        if config.saturation or colourless:
            luma = (pixels @ GREY)[..., None]
            pixels = luma + (pixels - luma) * (0.0 if colourless else 1 + saturation * config.saturation)
        pixels = pixels.clip(0, 255)
        if config.hue and not colourless:
            hsv = cv2.cvtColor(pixels / 255, cv2.COLOR_RGB2HSV)  # hue in degrees
            hsv[..., 0] = (hsv[..., 0] + 360 * hue * config.hue) % 360
            pixels = cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB) * 255
        return pixels.round().astype(np.uint8)

    def _erase(self, image: np.ndarray, random: np.random.Generator) -> np.ndarray:
        """Random erasing (Zhong et al., arXiv 1708.04896) with mid-grey, which is 0 for the network."""
        chosen = random.random() < self.config.erasing
        area = random.uniform(*ERASE_AREA) * self.output_side**2
        ratio = np.exp(random.uniform(*np.log(ERASE_RATIO)))
        place = random.random(2)
        if not chosen:
            return image
        height, width = (int(min(self.output_side, round(edge))) for edge in ((area * ratio) ** 0.5, (area / ratio) ** 0.5))
        top, left = (place * (self.output_side - np.array([height, width]) + 1)).astype(int)
        image = image.copy()
        image[top : top + height, left : left + width] = 127
        return image

    def _cover(self, image: np.ndarray, random: np.random.Generator) -> np.ndarray:
        """A hat over the top, a mask over the bottom, each a band of one colour: what people wear is not who they are."""
        config = self.config
        if not (config.hat or config.mask):
            return image
        image = image.copy()
        for band, share, heights in ((image, config.hat, HAT_HEIGHT), (image[::-1], config.mask, MASK_HEIGHT)):
            chosen, height, colour = random.random() < share, random.uniform(*heights), random.integers(256, size=3)
            if chosen:
                band[: round(height * self.output_side)] = colour
        return image
