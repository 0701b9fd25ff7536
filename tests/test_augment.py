"""Augmentation: geometry checked on marked pixels, colour on known formulas, determinism by the key; every step by what all
steps promise."""

import numpy as np
import pytest
import torch

from common.config import read_config
from common.errors import InputError
from datasets.batches.augment import STEPS, Augmentation, Sample
from datasets.batches.augment.crop import centre_crop
from datasets.batches.loaders import attribute_target
from datasets.manifest import Face, Manifest
from models.network_input import network_input

IMAGE = np.random.default_rng(0).integers(0, 256, size=(32, 32, 3), dtype=np.uint8)
SURE = {
    "flip": {"probability": 1.0},
    "affine": {"rotation": 20, "scale": 0.2, "shift": 0.1},
    "crop": {"side": 20},
    "colour": {"brightness": 0.3, "contrast": 0.3, "saturation": 0.3, "hue": 0.2},
    "grey": {"probability": 1.0},
    "erasing": {"probability": 1.0},
    "hat": {"probability": 1.0},
    "mask": {"probability": 1.0},
    "face_mask": {"probability": 1.0},
    "basic": {"flip": 1.0, "rotation": 20, "rescale": 1.0, "jitter": 1.0, "grey": 0.5},
    "seaweed": {"probability": 1.0, "second": 0.5},
}
"""Options with which every step changes the image, or almost surely does."""


def sure(name):
    return {"name": name, **SURE[name]}


def augment(*choices, image=IMAGE, key=0, points=None):
    sample = Sample(image, None if points is None else np.array(points, dtype=np.float32))
    return Augmentation(choices, image.shape[0])(sample, np.random.default_rng(key))


def test_no_step_changes_nothing():
    image, points, mirrored, _ = augment()
    assert not mirrored and points is None and (image == IMAGE).all()


@pytest.mark.parametrize("name", sorted(STEPS))
def test_every_step_keeps_its_promises(name):
    """The key decides alone, the arrays that come in stay as they are, and shapes and dtypes are those announced."""
    image, points = IMAGE.copy(), np.array([[12, 10], [np.nan, np.nan], [21, 9], [16, 15]], dtype=np.float32)
    image.flags.writeable = points.flags.writeable = False
    names = ("left_eye", "left_ear", "right_eye", "nose")
    step = Augmentation([sure(name)], 32)
    results = [step(Sample(image, points, landmarks=names), np.random.default_rng((1, 2, key))) for key in (3, 3, 4)]
    assert (image == IMAGE).all() and points[2].tolist() == [21, 9]
    for result in results:
        assert result.image.shape == (step.output_side, step.output_side, 3) and result.image.dtype == np.uint8
        assert result.points.shape == (4, 2) and result.points.dtype == np.float32
        assert np.isnan(result.points[1]).all() and not np.isnan(result.points[[0, 2, 3]]).any()
    assert (results[0].image == results[1].image).all() and (
        results[0].image.shape != IMAGE.shape or (results[0].image != IMAGE).any()
    )
    assert np.array_equal(results[0].points, results[1].points, equal_nan=True)
    if name not in ("flip", "grey"):  # which have nothing to choose but whether
        assert (results[0].image != results[2].image).any()


@pytest.mark.parametrize("name", sorted(STEPS))
def test_every_step_draws_as_much_whether_it_acts_or_not(name):
    """So that the steps after it see the same numbers whatever its settings are."""
    idle = {option: 16 if option == "side" else 0.0 for option in SURE[name]}
    after = set()
    for options, key in ((SURE[name], 5), (idle, 5)):
        random = np.random.default_rng(key)
        Augmentation([{"name": name, **options}], 32)(Sample(IMAGE), random)
        after.add(random.random())
    assert len(after) == 1


@pytest.mark.parametrize("name", sorted(set(STEPS) - {"crop"}))
def test_a_step_of_probability_0_or_of_no_strength_does_nothing(name):
    image, _, mirrored, _ = augment({"name": name, **dict.fromkeys(SURE[name], 0.0)})
    assert not mirrored and (image == IMAGE).all()


def test_steps_follow_one_another_in_the_order_of_the_list():
    random = np.random.default_rng(9)
    sample = Sample(IMAGE)
    for name in ("crop", "mask", "affine"):
        sample = Augmentation([sure(name)], len(sample.image))(sample, random)
    assert (augment(sure("crop"), sure("mask"), sure("affine"), key=9).image == sample.image).all()


def test_flip_mirrors_and_says_so():
    image, _, mirrored, _ = augment(sure("flip"))
    assert mirrored and (image == IMAGE[:, ::-1]).all()


def test_flip_mirrors_half_of_the_images_unless_told_otherwise():
    assert 70 <= sum(augment("flip", key=key).mirrored for key in range(200)) <= 130


def test_a_flip_exchanges_left_and_right_landmarks():
    eyes_and_nose = np.array([[10, 5], [20, 6], [14, 9]], dtype=np.float32)
    flip = Augmentation([sure("flip")], 32, point_order=[1, 0, 2])
    assert flip(Sample(IMAGE, eyes_and_nose), np.random.default_rng(0)).points.tolist() == [[11, 6], [21, 5], [17, 9]]
    assert augment(sure("flip"), points=eyes_and_nose).points.tolist() == [[21, 5], [11, 6], [17, 9]]


@pytest.mark.parametrize(
    "choices",
    [
        [sure("flip")],
        [{"name": "affine", "rotation": 180}],
        [{"name": "affine", "scale": 0.3}],
        [{"name": "affine", "shift": 0.1}],
        [{"name": "crop", "side": 56}],
        [{"name": "basic", "flip": 1.0, "rotation": 40, "rescale": 1.0, "jitter": 0.0, "grey": 0.0}],
        [sure("flip"), {"name": "affine", "rotation": 40, "scale": 0.2, "shift": 0.05}, {"name": "crop", "side": 56}],
    ],
)
def test_a_marked_pixel_and_its_point_stay_together(choices):
    for key in range(20):
        x, y = np.random.default_rng(key).integers(24, 40, size=2)
        rows, columns = np.mgrid[:64, :64]
        spot = 127 + 128 * np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / 8)  # wide enough to outlive the resampling
        image, points, _, _ = augment(
            *choices, image=spot[..., None].repeat(3, axis=2).astype(np.uint8), key=key, points=[[x, y]]
        )
        weight = (image[..., 0].astype(float) - 127).clip(min=0)  # what is filled in around an image is mid-grey, too
        rows, columns = np.mgrid[: len(image), : len(image)]
        found = [(weight * places).sum() / weight.sum() for places in (columns, rows)]
        assert np.abs(points[0] - found).max() < 0.5, key


def test_an_affine_step_that_moves_nothing_resamples_to_the_same_image():
    smooth = np.tile(np.linspace(0, 250, 32)[None, :, None], (32, 1, 3)).astype(np.uint8)
    resampled = augment({"name": "affine", "rotation": 1e-6}, image=smooth).image
    assert np.abs(resampled.astype(int) - smooth).max() <= 1


def test_crop_is_a_window_of_the_image():
    crop = augment(sure("crop")).image
    windows = np.lib.stride_tricks.sliding_window_view(IMAGE, (20, 20, 3)).reshape(-1, 20, 20, 3)
    assert crop.shape == (20, 20, 3) and any((crop == window).all() for window in windows)
    assert (augment({"name": "crop", "side": 32}).image == IMAGE).all()


def test_crops_reach_every_place():
    places = np.tile(np.arange(20, dtype=np.uint8)[:, None, None], (1, 20, 3))
    tops = {int(augment({"name": "crop", "side": 16}, image=places, key=key).image[0, 0, 0]) for key in range(100)}
    assert tops == {0, 1, 2, 3, 4}


def test_rotation_keeps_the_centre_and_moves_the_rim():
    image = np.zeros((33, 33, 3), dtype=np.uint8)
    image[16, 16] = image[16, 32] = 255
    turned = augment({"name": "affine", "rotation": 45}, image=image).image
    assert turned[16, 16, 0] > 200 and turned[16, 32, 0] < 100


def test_an_affine_step_repeats_the_border():
    white = np.full((32, 32, 3), 255, dtype=np.uint8)
    assert all((augment(sure("affine"), image=white, key=key).image == 255).all() for key in range(10))


@pytest.mark.parametrize("name", ["brightness", "contrast", "saturation", "hue"])
def test_colour_jitter_jitters(name):
    """The original's jitter had no arguments and did nothing."""
    assert (augment({"name": "colour", name: 0.4}).image != IMAGE).any()


def test_brightness_contrast_and_saturation_are_what_their_names_say():
    """Against the three formulas, one after another; the one map of the step differs by no more than a level."""
    for key in range(20):
        brightness, contrast, saturation, _ = 1 + 0.4 * (2 * np.random.default_rng(key).random(4) - 1)
        luma = np.array([0.299, 0.587, 0.114])
        pixels = IMAGE * brightness
        mean = (pixels @ luma).mean()
        pixels = mean + (pixels - mean) * contrast
        own = (pixels @ luma)[..., None]
        expected = (own + (pixels - own) * saturation).clip(0, 255).round()
        image = augment({"name": "colour", "brightness": 0.4, "contrast": 0.4, "saturation": 0.4}, key=key).image
        assert np.abs(image - expected).max() <= 1


def test_hue_keeps_brightness_and_grey():
    image = augment({"name": "colour", "hue": 0.5}).image
    assert (np.abs(image.max(axis=2).astype(int) - IMAGE.max(axis=2)) <= 1).all()  # the value of HSV
    grey = IMAGE[..., :1].repeat(3, axis=2)
    assert (augment({"name": "colour", "hue": 0.5}, image=grey).image == grey).all()


def test_grey_drops_the_colour():
    image = augment(sure("grey")).image
    assert (image == image[..., :1]).all()
    assert np.abs(image[..., 0] - IMAGE @ [0.299, 0.587, 0.114]).max() <= 1


def test_erasing_paints_one_grey_rectangle_of_2_to_33_percent():
    white = np.full((32, 32, 3), 255, dtype=np.uint8)
    for key in range(50):
        erased = (augment(sure("erasing"), image=white, key=key).image == 127).all(axis=2)
        rows, columns = np.flatnonzero(erased.any(axis=1)), np.flatnonzero(erased.any(axis=0))
        assert erased[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].all()
        assert 0.01 < erased.mean() < 0.36


@pytest.mark.parametrize("name, shares, at", [("hat", (0.15, 0.33), 0), ("mask", (0.3, 0.45), -1)])
def test_hat_and_mask_paint_a_band_of_one_colour(name, shares, at):
    colours = set()
    for key in range(50):
        image = augment(sure(name), key=key).image
        painted = (image == image[at, 0]).all(axis=(1, 2))
        assert shares[0] - 1 / 32 < painted.mean() < shares[1] + 1 / 32
        assert (image[~painted] == IMAGE[~painted]).all() and painted[at]
        colours.add(tuple(image[at, 0]))
    assert len(colours) > 40
    worn = sum((augment({"name": name, "probability": 0.3}, key=key).image != IMAGE).any() for key in range(200))
    assert 40 <= worn <= 80


def bands(painted):
    """First row and number of rows of each run of painted rows."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], painted, [False]]).astype(int)))
    return list(zip(edges[::2].tolist(), (edges[1::2] - edges[::2]).tolist()))


def test_seaweed_paints_a_grey_band_from_side_to_side_or_from_top_to_bottom():
    """Of a photograph of 224 pixels: 44 or 88 thick, beginning at 0 to 130, each way half of the time."""
    black = np.zeros((224, 224, 3), dtype=np.uint8)
    starts, thicknesses, upright = [], [], []
    for key in range(120):
        image = augment({"name": "seaweed", "probability": 1.0, "second": 0.0}, image=black, key=key).image
        assert ((image == 0) | (image == 127)).all()
        grey = (image == 127).all(axis=2)
        upright.append(bool(grey[:, 0].all() or not grey[:, 0].any()))
        lines = grey.T if upright[-1] else grey
        assert (lines == lines[:, :1]).all()
        [(start, thickness)] = bands(lines[:, 0])
        starts.append(start), thicknesses.append(thickness)
    assert min(starts) < 10 and 120 < max(starts) <= 130
    assert set(thicknesses) == {44, 88} and 40 <= thicknesses.count(44) <= 80 and 40 <= sum(upright) <= 80


def test_seaweed_grows_with_the_image_and_comes_as_often_as_it_says():
    white = np.full((32, 32, 3), 255, dtype=np.uint8)
    any_band = one = two = 0
    for key in range(400):
        grey = (augment("seaweed", image=white, key=key).image == 127).all(axis=2)
        rows, columns = grey.all(axis=1), grey.all(axis=0)
        assert (grey == (rows[:, None] | columns[None])).all()
        found = [] if grey.all() or not grey.any() else bands(rows) + bands(columns)
        any_band += bool(grey.any())
        one += len(found) == 1 and found[0][1] in (6, 13)
        two += len(found) == 2
    assert 250 <= any_band <= 310 and 180 <= one <= 250 and 20 <= two <= 70  # 280, 210; 70, less the pairs that overlap


def basic(image=IMAGE, key=0, **options):
    off = {"flip": 0.0, "rotation": 0.0, "rescale": 0.0, "jitter": 0.0, "grey": 0.0}
    return augment({"name": "basic", **off, **options}, image=image, key=key).image


def test_basic_enlarges_or_shrinks_height_and_width_by_factors_of_their_own():
    white = np.full((100, 100, 3), 255, dtype=np.uint8)
    sizes = []
    for key in range(100):
        inside = basic(white, key, rescale=1.0)[..., 0] > 191  # half way to the grey around it
        rows, columns = inside[:, 50], inside[50]
        assert abs(int(rows.argmax()) - int(rows[::-1].argmax())) <= 1  # in the middle
        sizes.append((int(rows.sum()), int(columns.sum())))
    shrunk = [size for size in sizes if size != (100, 100)]
    assert 30 <= len(shrunk) <= 70 and all(69 <= side <= 100 for size in shrunk for side in size)
    assert min(shrunk)[0] < 75 and sum(abs(height - width) > 3 for height, width in shrunk) > len(shrunk) / 2
    place = np.tile(np.arange(100, dtype=np.uint8)[:, None, None], (1, 100, 3))
    extents = [np.ptp(basic(place, key, rescale=1.0)[:, 50, 0].astype(int)) for key in range(100) if sizes[key] == (100, 100)]
    assert 78 <= min(extents) < 83 and max(extents) > 95  # 100 / 1.25 rows of it are seen, or more


def test_basic_turns_both_ways_and_leaves_mid_grey_around_the_image():
    white = np.full((33, 33, 3), 255, dtype=np.uint8)
    for key in range(20):
        corner, centre = basic(white, key, rotation=40.0)[[0, 16], [0, 16]]
        turn = abs(2 * np.random.default_rng(key).random(2)[1] - 1) * 40  # the first number is the mirror's
        assert (centre == 255).all() and (turn < 15 or (abs(corner.astype(int) - 127) < 20).all())
    image = np.full((33, 33, 3), 127, dtype=np.uint8)
    image[16, 30] = 255
    heights = [int(basic(image, key, rotation=40.0)[..., 0].max(axis=1).argmax()) for key in range(60)]
    assert 7 <= min(heights) < 9 and 23 < max(heights) <= 25  # 14 * sin(40 degrees) = 9 rows either way


def test_basic_adds_brightness_and_changes_colour_without_moving_grey():
    grey = np.full((4, 4, 3), 100, dtype=np.uint8)
    levels = [basic(grey, key, jitter=1.0) for key in range(100)]
    assert all((image == image[0, 0, 0]).all() for image in levels)
    values = [int(image[0, 0, 0]) for image in levels]
    assert min(values) in range(68, 74) and max(values) in range(127, 133)
    colourful = np.tile(np.array([200, 120, 80], dtype=np.uint8), (4, 4, 1))
    spreads = [np.ptp(basic(colourful, key, jitter=1.0)[0, 0].astype(int)) for key in range(100)]
    assert min(spreads) < 100 and max(spreads) > 140 and 85 <= min(spreads) and max(spreads) <= 155  # 120 times 0.75 to 1.25


def test_basic_does_what_it_is_named_for_as_often_as_ntu_did():
    flat = np.tile(np.array([200, 120, 80], dtype=np.uint8), (32, 32, 1))
    samples = [Augmentation(["basic"], 32)(Sample(flat), np.random.default_rng(key)) for key in range(300)]
    assert 120 <= sum(sample.mirrored for sample in samples) <= 180
    without = [sample for sample in samples if np.ptp(sample.image[16, 16].astype(int)) == 0]
    assert 40 <= len(without) <= 80
    luma = round(0.299 * 200 + 0.587 * 120 + 0.114 * 80)
    assert all(abs(int(sample.image[16, 16, 0]) - luma) <= 1 for sample in without)  # taken before the jitter


@pytest.mark.parametrize(
    "choice, message",
    [
        ("blur", "unknown augmentation step 'blur'; known: affine, basic, colour, "),
        ({"name": "flip", "chance": 0.5}, "'flip' has no option chance; it takes: probability"),
        ({"name": "flip", "point_order": [0]}, "'flip' has no option point_order"),
        ({"name": "flip", "probability": "often"}, "option probability is 'often'"),
        ("hat", "'hat' needs the option probability"),
        ("crop", "'crop' needs the option side"),
        ({"name": "crop", "side": 1}, "side is 1; it should be at least 16 and at most 32"),
        ({"name": "crop", "side": 33}, "side is 33; it should be at least 16 and at most 32"),
        ({"name": "affine", "rotation": 181}, "rotation is 181; it should be a number from 0 to 180 degrees"),
        ({"name": "affine", "scale": 1.0}, "scale is 1.0; it should be a number of at least 0 and below 1"),
        ({"name": "affine", "scale": float("nan")}, "scale is nan, which is wrong: a number should be finite"),
        ({"name": "colour", "hue": 0.6}, "hue is 0.6; it should be a number from 0 to 0.5 of the colour circle"),
        *[
            ({"name": name, **SURE[name], option: value}, f"{option} is {value}[;,] .* should be")
            for name, options in SURE.items()
            for option in options
            if option != "side"
            for value in (-0.1, float("nan"), float("inf"))
        ],
    ],
)
def test_wrong_steps_and_values_are_one_sentence(choice, message):
    with pytest.raises(InputError, match=message):
        Augmentation([choice], 32)


def test_a_second_crop_cuts_what_the_first_left():
    assert Augmentation([{"name": "crop", "side": 24}, {"name": "crop", "side": 20}], 32).output_side == 20
    with pytest.raises(InputError, match="side is 28; it should be at least 16 and at most 24"):
        Augmentation([{"name": "crop", "side": 24}, {"name": "crop", "side": 28}], 32)


def test_the_command_line_adds_changes_and_takes_out_steps():
    """A mapping addresses a step by its name, which is why a name stands once in the settings' list."""
    assert read_config([]).train.augment == [{"name": "flip"}]
    changes = {"affine": {"rotation": 15}, "flip": None, "hat": {"probability": 0.1}}
    config = read_config([], {"train": {"augment": changes}})
    assert config.train.augment == [{"name": "affine", "rotation": 15}, {"name": "hat", "probability": 0.1}]
    assert read_config([], {"train": {"augment": ["grey"]}}).train.augment == [{"name": "grey"}]


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
