"""Crop: a window of the image, at a random place while training and in the middle elsewhere."""

import numpy as np

from datasets.batches.augment.step import Sample, Step

SMALLEST = 16  # pixels; smaller images leave a network nothing to see


class Crop(Step):
    """A square window of `side` pixels (16 to the image's side) at a random place; what goes on is of that size."""

    def __init__(self, side: int, image_size: int):
        if not SMALLEST <= side <= image_size:
            raise ValueError(
                f"side is {side}; it should be at least {SMALLEST} and at most {image_size}, the side of the images that come"
                f" to this step"
            )
        self.side = side

    def output_side(self, side: int) -> int:
        return self.side

    def __call__(self, sample: Sample, random: np.random.Generator) -> Sample:
        image, points = sample.image, sample.points
        height, width = image.shape[:2]
        across, down = random.random(2).tolist()
        left, top = int(across * (width - self.side + 1)), int(down * (height - self.side + 1))
        if points is not None:
            points = points - np.array([left, top], dtype=np.float32)
        return sample._replace(image=image[top : top + self.side, left : left + self.side], points=points)


def centre_crop(images: np.ndarray, side: int) -> np.ndarray:
    """The central `side` x `side` pixels of uint8 [..., H, W, 3]; side 0 keeps all."""
    height, width = images.shape[-3:-1]
    if not side:
        return images
    top, left = (height - side) // 2, (width - side) // 2
    return images[..., top : top + side, left : left + side, :]
