"""Face mask: a mask drawn over nose, mouth and chin, where the landmarks say that they are."""

import numpy as np

from common.errors import InputError
from common.ranges import Share
from datasets.batches.augment.step import Sample, Step
from datasets.manifest import Manifest
from datasets.masks import draw_look, wear
from datasets.masks.copies import lacking, wearers


class FaceMask(Step):
    """Lays a mask of random shape, colour and cloth on the face with `probability` (0 to 1); see `datasets.masks`. A face of
    which fewer than three such landmarks are known stays as it is. Landmarks under the mask stay.

    shrink, erode, darken: how often (0 to 1) a mask is up to 4/112 of the image's side smaller, has its edge eaten away by up to
    8/112, and is darkened to 0.5 to 0.8. The defaults are those of FaceX-Zoo (Wang et al., arXiv 2101.04407), whose pixels
    are of 112; so is the probability 0.5 for the mirror image of each mask, which here comes of drawing all masks anew.
    """

    def __init__(self, probability: Share = 0.5, shrink: Share = 0.5, erode: Share = 0.2, darken: Share = 0.5):
        self.probability = probability
        self.variation = {"shrink": shrink, "erode": erode, "darken": darken}

    def check_faces(self, faces: Manifest) -> None:
        if not wearers(faces).any():
            raise InputError(f"the augmentation step 'face_mask' lays a mask by landmarks, and {lacking(faces)}")

    def __call__(self, sample: Sample, random: np.random.Generator) -> Sample:
        chosen, key = random.random(), random.integers(2**63)
        if chosen >= self.probability or sample.points is None:
            return sample
        look = draw_look(np.random.default_rng(key), **self.variation)
        return sample._replace(image=wear(sample.image, sample.points, sample.landmarks, look))
