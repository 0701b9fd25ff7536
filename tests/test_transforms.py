"""Augmentation: geometry checked on marked pixels, colour on known formulas, determinism by the key."""

import numpy as np
import pytest
import torch

from common.config import AugmentConfig
from common.errors import InputError
from datasets.batches.loaders import attribute_target
from datasets.batches.transforms import Augmentation, centre_crop
from datasets.manifest import Face, Manifest
from models.network_input import network_input

IMAGE = np.random.default_rng(0).integers(0, 256, size=(32, 32, 3), dtype=np.uint8)


def augment(image=IMAGE, key=0, **settings):
    return Augmentation(AugmentConfig(**settings), 32)(image, np.random.default_rng(key))


def test_nothing_configured_changes_nothing():
    image, mirrored = augment(flip=0.0)
    assert not mirrored and (image == IMAGE).all()


def test_flip_mirrors_and_says_so():
    image, mirrored = augment(flip=1.0)
    assert mirrored and (image == IMAGE[:, ::-1]).all()


def test_resampled_flip_equals_exact_flip():
    """The affine path mirrors about the same axis as the slice: with next to no rotation both agree."""
    smooth = np.tile(np.linspace(0, 250, 32)[None, :, None], (32, 1, 3)).astype(np.uint8)
    for flip in (0.0, 1.0):
        resampled, _ = augment(smooth, flip=flip, rotation=1e-6)
        exact, _ = augment(smooth, flip=flip)
        assert np.abs(resampled.astype(int) - exact).max() <= 1


def test_crop_is_a_window_of_the_image():
    crop, _ = augment(flip=0.0, crop=20)
    windows = np.lib.stride_tricks.sliding_window_view(IMAGE, (20, 20, 3)).reshape(-1, 20, 20, 3)
    assert crop.shape == (20, 20, 3) and any((crop == window).all() for window in windows)


def test_rotation_keeps_the_centre_and_moves_the_rim():
    image = np.zeros((33, 33, 3), dtype=np.uint8)
    image[16, 16] = 255
    turned, _ = Augmentation(AugmentConfig(flip=0.0, rotation=45), 33)(image, np.random.default_rng(1))
    assert turned[16, 16, 0] > 200


def test_colour_jitter_jitters():
    """The original's jitter had no arguments and did nothing."""
    for name in ("brightness", "contrast", "saturation", "hue"):
        image, _ = augment(flip=0.0, **{name: 0.4})
        assert (image != IMAGE).any(), name


def test_grey_drops_the_colour():
    image, _ = augment(flip=0.0, grey=1.0)
    assert (image == image[..., :1]).all()


def test_erasing_paints_one_grey_rectangle_of_2_to_33_percent():
    white = np.full((32, 32, 3), 255, dtype=np.uint8)
    for key in range(50):
        image, _ = augment(white, key, flip=0.0, erasing=1.0)
        erased = (image == 127).all(axis=2)
        rows, columns = np.flatnonzero(erased.any(axis=1)), np.flatnonzero(erased.any(axis=0))
        assert erased[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].all()
        assert 0.01 < erased.mean() < 0.36
    assert (white == 255).all()  # the stored photograph is never painted on


@pytest.mark.parametrize("name, shares, at", [("hat", (0.15, 0.33), 0), ("mask", (0.3, 0.45), -1)])
def test_hat_and_mask_paint_a_band_of_one_colour(name, shares, at):
    colours = set()
    for key in range(50):
        image, _ = augment(IMAGE, key, flip=0.0, **{name: 1.0})
        painted = (image == image[at, 0]).all(axis=(1, 2))
        assert shares[0] - 1 / 32 < painted.mean() < shares[1] + 1 / 32
        assert (image[~painted] == IMAGE[~painted]).all() and painted[at]
        colours.add(tuple(image[at, 0]))
    assert len(colours) > 40
    worn = sum((augment(IMAGE, key, flip=0.0, **{name: 0.3})[0] != IMAGE).any() for key in range(200))
    assert 40 <= worn <= 80


def test_same_key_same_image_other_key_other_image():
    settings = dict(rotation=20, scale=0.2, shift=0.1, brightness=0.3, erasing=0.5, hat=0.5, mask=0.5)
    assert (augment(key=(1, 2, 3), **settings)[0] == augment(key=(1, 2, 3), **settings)[0]).all()
    assert (augment(key=(1, 2, 3), **settings)[0] != augment(key=(1, 2, 4), **settings)[0]).any()


def test_crop_larger_than_the_image_is_refused():
    with pytest.raises(InputError, match="larger than model.image_size"):
        augment(crop=33)


def test_centre_crop_takes_the_middle():
    assert (centre_crop(IMAGE[None], 30)[0] == IMAGE[1:31, 1:31]).all() and centre_crop(IMAGE, 0) is IMAGE


def test_network_input_spans_minus_one_to_one():
    images = torch.tensor([0, 255], dtype=torch.uint8).view(2, 1, 1, 1).expand(2, 4, 4, 3).contiguous()
    inputs = network_input(images)
    assert inputs.shape == (2, 3, 4, 4) and inputs.dtype == torch.float32
    assert inputs.is_contiguous(memory_format=torch.channels_last)
    assert inputs[0].unique().tolist() == [-1.0] and inputs[1].unique().tolist() == [1.0]


def test_mirrored_face_gets_the_mirrored_angle():
    faces = [Face("a", "1", {"angle": "C1"}), Face("b", "1", {"angle": "C7"}), Face("c", "1", {})]
    manifest = Manifest.of(faces, ".", {"angle": {"C1": "C13", "C13": "C1"}})
    values = manifest.values("angle")
    assert values == ["C1", "C13", "C7"]  # C13 is a class, since C1 in the mirror is one
    target = attribute_target(manifest, "angle", values)
    assert target.plain.tolist() == [0, 2, -1] and target.mirrored.tolist() == [1, 2, -1]
