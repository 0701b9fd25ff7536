"""Masks: what they cover and what never, that they follow the landmarks, and where the photographs that wear them go."""

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from benchmarks import masked
from common.config import DataConfig, make_config, read_config
from common.errors import InputError
from common.files import write_json
from datasets import READERS
from datasets.batches.augment import Augmentation, Sample
from datasets.manifest import MASKED, Manifest, Pairs
from datasets.masks import draw_look, wear
from datasets.masks.copies import with_masked_pairs, with_masks
from datasets.masks.face import HALF, KNOWN, WHOLE, find_pose
from datasets.masks.shapes import SHAPES
from datasets.masks.wear import coverage
from datasets.photographs.cache import Cache
from datasets.photographs.originals import Originals
from datasets.photographs.photographs import Photographs
from datasets.readers.opening import open_reader
from datasets.twin.cameras import Camera
from datasets.twin.landmarks import LANDMARKS, twin_points
from datasets.twin.reader import Twin
from training.checks import check_settings
from verification.evaluation import open_pairs

SIDE = 96
FIVE = ("left_eye", "right_eye", "nose", "left_mouth", "right_mouth")
GREY = np.full((SIDE, SIDE, 3), 128, np.uint8)


def seen(names, yaw=0.0, pitch=0.0, roll=0.0, unit=22.0, middle=(48.0, 30.0)):
    """Where landmarks of the mean face are in a picture, float32 [L, 2], by rotation matrices of its own."""
    yaw, pitch, roll = np.radians([yaw, pitch, roll])
    sideways = np.array([[np.cos(yaw), 0, np.sin(yaw)], [0, 1, 0], [-np.sin(yaw), 0, np.cos(yaw)]])
    upwards = np.array([[1, 0, 0], [0, np.cos(pitch), -np.sin(pitch)], [0, np.sin(pitch), np.cos(pitch)]])
    tilted = np.array([[np.cos(roll), -np.sin(roll)], [np.sin(roll), np.cos(roll)]])
    face = np.array([KNOWN[name] for name in names]) @ (upwards @ sideways).T
    return (unit * face[:, :2] @ tilted.T + middle).astype(np.float32)


def at(cover, point):
    x, y = np.rint(point).astype(int)
    return cover[y, x]


def bare(shape, key=0):
    """A mask of the given shape without straps, which may run over anything."""
    return draw_look(np.random.default_rng(key))._replace(shape=shape, straps=False)


@pytest.fixture
def four(tmp_path):
    """Four photographs of two people; the last has no landmarks."""
    for number in range(4):
        Image.fromarray(np.full((SIDE, SIDE, 3), 90 + 20 * number, np.uint8)).save(tmp_path / f"{number}.png")
    faces = Manifest.of_columns([f"{number}.png" for number in range(4)], ["a", "a", "b", "b"], {}, tmp_path)
    points = np.stack([seen(FIVE, yaw).astype(float) for yaw in (-20, 0, 20, 0)])
    points[3] = np.nan
    return replace(faces, points=points, landmarks=FIVE)


@pytest.mark.parametrize("yaw", [-85, -40, 0, 15, 60, 90])
@pytest.mark.parametrize("names", [FIVE, tuple(HALF)], ids=["five", "half"])
def test_the_pose_is_found_from_whole_and_half_faces(names, yaw):
    """Half of a face is seen from its own side only: at a negative yaw the half is the other one, its picture a mirror image."""
    points = seen(names, abs(yaw) if names != FIVE else yaw, pitch=5, roll=10)
    if names != FIVE and yaw < 0:
        points = points * [-1, 1] + [SIDE - 1, 0]
    pose = find_pose(points, names)
    error = 4 if len(names) == 5 else 1  # degrees; level and so not quite the truth where there is little to go by
    assert abs(np.degrees(np.arctan2(pose.turn[0, 2], pose.turn[0, 0])) - yaw) < error
    assert abs(pose.unit - 22) < 0.5
    assert np.abs(pose.place(pose.anchors) - points).max() < 0.6


def test_left_may_be_the_persons_or_the_pictures():
    points, swapped = seen(FIVE, 20), ("right_eye", "left_eye", "nose", "right_mouth", "left_mouth")
    look = bare("surgical")
    assert (coverage(SIDE, points, FIVE, look) == coverage(SIDE, points, swapped, look)).mean() > 0.99


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("yaw", [0, 30, 60, 88])
def test_nose_mouth_and_chin_are_covered_and_the_eye_never(shape, yaw):
    points = seen(tuple(HALF), yaw, pitch=-3)
    inside = seen(("nose_3", "mouth_0", "mouth_2"), yaw, pitch=-3)
    outside = seen((*(f"eye_{number}" for number in range(6)), "brow_1", "nose_0"), yaw, pitch=-3)
    for key in range(3):
        cover = coverage(SIDE, points, tuple(HALF), bare(shape, key))
        assert min(at(cover, point) for point in inside - [0.5 if yaw > 80 else 0, 0]) > 0.9  # a tip of half a pixel
        assert max(at(cover, point) for point in outside) == 0


def test_the_mask_goes_where_the_landmarks_go():
    look = bare("cloth")
    here, there = (coverage(SIDE, seen(FIVE, 20, middle=middle), FIVE, look) for middle in ((40.0, 26.0), (50.0, 33.0)))
    assert np.abs(np.roll(here, (7, 10), axis=(0, 1)) - there).max() < 0.02
    small, large = (coverage(SIDE, seen(FIVE, unit=unit), FIVE, look).sum() for unit in (11, 22))
    assert small == pytest.approx(large / 4, rel=0.03)


def test_a_face_of_its_own_bends_the_mask():
    """A chin that is further down than the mean one draws the mask's lower edge with it."""
    names = (*FIVE, "chin")
    points = seen(names)
    longer = points + np.array([[0, 0]] * 5 + [[0, 8]])
    low, lower = (np.flatnonzero(coverage(SIDE, face, names, bare("surgical"))[:, 48]).max() for face in (points, longer))
    assert lower - low >= 4


@pytest.mark.parametrize("shape", SHAPES)
def test_mirrored_landmarks_give_the_mirrored_mask(shape):
    look = bare(shape)._replace(valve=False, straps=True)
    points = seen(tuple(HALF), 50, 4, 8)
    there = coverage(SIDE, points * [-1, 1] + [SIDE - 1, 0], tuple(HALF), look.mirrored())
    assert np.abs(coverage(SIDE, points, tuple(HALF), look) - there[:, ::-1]).mean() < 2e-3


def test_a_mask_is_drawn_again_to_the_same_pixels_and_changes_no_array():
    image, points = GREY.copy(), seen(FIVE, 10)
    image.flags.writeable = points.flags.writeable = False
    looks = [draw_look(np.random.default_rng(key)) for key in (1, 1, 2)]
    first, again, other = (wear(image, points, FIVE, look) for look in looks)
    assert (first == again).all() and (first != other).any() and (image == 128).all()


def test_too_few_landmarks_leave_the_face_bare():
    points = seen(FIVE)
    points[2:] = np.nan
    assert wear(GREY, points, FIVE, draw_look(np.random.default_rng(0))) is GREY
    assert find_pose(np.zeros((5, 2)), FIVE) is None  # all in one place
    assert find_pose(seen(FIVE), ("a", "b", "c", "d", "e")) is None


def test_random_masks_are_smaller_eaten_away_and_darker():
    points, look = seen(FIVE), bare("surgical")
    whole, shrunk, eaten = (
        coverage(SIDE, points, FIVE, it) for it in (look, look._replace(shrink=0.03), look._replace(erode=0.07))
    )
    assert shrunk.sum() < 0.95 * whole.sum() and eaten.sum() < 0.8 * whole.sum() and (eaten <= whole).all()
    dark, light = (wear(GREY, points, FIVE, look._replace(darken=factor)).mean() for factor in (0.5, 1.0))
    assert dark < light
    drawn = [draw_look(np.random.default_rng(key), 0.5, 0.2, 0.5) for key in range(200)]
    assert 60 < sum(it.shrink > 0 for it in drawn) < 140 and 15 < sum(it.erode > 0 for it in drawn) < 55
    assert 60 < sum(it.darken < 1 for it in drawn) < 140 and min(it.darken for it in drawn) >= 0.5


# the augmentation step


def test_the_step_follows_the_mirror_and_keeps_the_points():
    """Behind a flip, whose points change places, and so do names and halves, the mask still sits on the mouth."""
    points = seen(FIVE, 35)
    sample = Sample(GREY, points, landmarks=FIVE)
    steps = Augmentation(["flip", {"name": "face_mask", "probability": 1}], SIDE, point_order=[1, 0, 2, 4, 3])
    results = [steps(sample, np.random.default_rng(key)) for key in range(8)]
    assert {result.mirrored for result in results} == {True, False}
    for result in results:
        nose, mouth = result.points[2], result.points[3:].mean(axis=0)
        changed = np.abs(result.image.astype(int) - 128).sum(axis=2)
        assert at(changed, nose) and at(changed, mouth) and not at(changed, result.points[0])
        assert np.abs(np.sort(result.points[:, 1]) - np.sort(points[:, 1])).max() < 1e-4
    never = Augmentation([{"name": "face_mask", "probability": 0}], SIDE)(sample, np.random.default_rng(0))
    assert never.image is GREY


def test_photographs_without_landmarks_are_refused_before_training(four):
    config = read_config(["configs/smoke.yaml"], {"train": {"augment": ["flip", "face_mask"], "batch_size": 2}})
    with pytest.raises(InputError, match="'face_mask' lays a mask by landmarks, and these 4 photographs have none"):
        check_settings(config, replace(four, points=None, landmarks=()), "train")
    with pytest.raises(InputError, match="none of these 4 photographs has three of those that are known here .*theirs are a, b"):
        check_settings(config, replace(four, points=four.points[:, :2], landmarks=("a", "b")), "train")
    check_settings(config, four, "train")


# the twin's landmarks


def test_landmarks_of_the_twin_are_where_its_camera_puts_them():
    faces = Twin(landmarks=True).faces("test")
    assert faces.landmarks == LANDMARKS and np.isfinite(faces.points).all()
    left, right, nose = (faces.points[:, number, 0] for number in range(3))
    angle = faces.table["angle"]
    assert (left < right)[angle == "C7"].all()
    aside = nose - (left + right) / 2
    assert (aside[angle == "C1"] > 3).all() and (aside[angle == "C13"] < -3).all() and (np.abs(aside[angle == "C7"]) < 3).all()
    assert (faces.points > 0).all() and (faces.points < 79).mean() > 0.999


def test_the_points_of_a_camera_by_hand():
    """A camera straight ahead at the usual distance: 120 mm are half a picture, less what the depth takes."""
    x, y = Camera(np.array([0.0, 0.028, -0.028]), 0.0).project(np.array([[0.03, 0.028, -0.028 - 0.06]]))[0]
    assert (x, y) == pytest.approx((0.25, 0.5))
    stranger = twin_points(["00400_S001_L1_E01_C7_1.jpg"], 2020, 80)  # has the mean head, and a camera of its own
    assert stranger.shape == (1, 6, 2) and np.abs(stranger[0, 2] - [39.5, 48]).max() < 12


# masked photographs as rows


def test_copies_double_the_photographs_that_have_landmarks(four, capsys):
    doubled = with_masks(four, plain=True)
    assert doubled.file_names == [*four.file_names, *(f"{MASKED}{number}.png" for number in range(3))]
    assert doubled.labels().tolist() == [0, 0, 1, 1, 0, 0, 1] and doubled.masked.tolist() == [False] * 4 + [True] * 3
    assert "1 of 4 photographs have no landmarks" in capsys.readouterr().err
    assert with_masks(four, plain=False).file_names == doubled.file_names[4:]
    with pytest.raises(InputError, match="masks are laid on faces by landmarks, and these 4 photographs have none"):
        with_masks(replace(four, points=None, landmarks=()), plain=True)


def test_masks_are_drawn_when_photographs_are_cut(four, tmp_path):
    photographs = Photographs(with_masks(four, plain=True), SIDE, "read")
    plain, worn = photographs.pixels[:3].astype(int), photographs.pixels[4:].astype(int)
    for before, after, points in zip(plain, worn, photographs.points[4:], strict=True):
        changed = np.abs(before - after).sum(axis=2) > 0
        assert at(changed, points[2]) and not at(changed, points[0]) and 0.1 < changed.mean() < 0.5
    assert np.array_equal(photographs.points[:3], photographs.points[4:])
    assert (worn == Photographs(with_masks(four, plain=False), SIDE, "read").pixels).all()  # whatever stands beside them


def test_the_cache_knows_masks(four, tmp_path, capsys):
    cache = Cache(tmp_path / "cache", 1.0)
    makes = [four.where(~np.isnan(four.points).any(axis=(1, 2))), with_masks(four, plain=False)]
    assert len({Originals(faces).key("x") for faces in makes}) == 2
    for found in (False, True):
        for faces in makes:
            fresh = Photographs(faces, SIDE, "read").pixels
            assert (Photographs(faces, SIDE, "read", cache).pixels == fresh).all()
            assert ("found" in capsys.readouterr().err) == found


class Reads:
    """A reader of four photographs, whatever is asked for."""

    def __init__(self, faces):
        self.root, self.faces, self.pairs = (
            faces.root,
            lambda split: faces,
            lambda split: Pairs.of(["0.png"], ["1.png"], [True], faces.root),
        )


def test_the_setting_masks_training_photographs_alone(four, monkeypatch):
    monkeypatch.setattr(READERS, "build", lambda *choice, **given: Reads(four))
    plain, copies, alone = (open_reader(DataConfig(masked=how)) for how in ("none", "copies", "all"))
    assert [len(reader.faces("train")) for reader in (plain, copies, alone)] == [4, 7, 3]
    assert alone.faces("train").masked.all() and not copies.faces("validate").masked.any()
    assert copies.pairs("validate").table.equals(plain.pairs("validate").table)


def test_probes_are_masked_and_the_gallery_is_not():
    """A photograph that is both is there twice: once with a mask, once without."""
    config = make_config({"data": {"reader": {"name": "twin", "landmarks": True}}, "evaluate": {"masked": "first"}})
    pairs, known = open_pairs(config)
    assert pairs.table["first"].str.startswith(MASKED).all() and not pairs.table["second"].str.startswith(MASKED).any()
    assert known.file_names == pairs.file_names and np.isfinite(known.points).all()
    assert (known.table["face_id"] == [name.removeprefix(MASKED)[:5] for name in known.file_names]).all()


@pytest.mark.parametrize(("which", "sides"), [("second", [False, True]), ("both", [True, True])])
def test_either_side_wears_masks(four, which, sides):
    pairs = Pairs.of(["1.png", "0.png"], ["0.png", "1.png"], [True, True], four.root)
    wearing, known = with_masked_pairs(pairs, four.of_files(pairs.file_names), which)
    assert [wearing.table[side].str.startswith(MASKED).all() for side in ("first", "second")] == sides
    assert known.file_names == wearing.file_names and len(known) == (4 if which == "second" else 2)


def test_pairs_without_landmarks_are_refused(four):
    pairs = Pairs.of(["3.png", "0.png"], ["0.png", "1.png"], [False, True], four.root)
    known = four.of_files(pairs.file_names)
    with pytest.raises(InputError, match=r"'first', and 1 of 2 photographs .* have no landmarks to lay it by: 3.png"):
        with_masked_pairs(pairs, known, "first")
    assert with_masked_pairs(pairs, known, "second")[1].file_names == ["0.png", "3.png", f"{MASKED}0.png", f"{MASKED}1.png"]


def test_the_mean_face_is_the_same_under_all_names():
    assert WHOLE["nose"] == HALF["nose_3"] and KNOWN["mouth_right"] == tuple(np.array(KNOWN["mouth_left"]) * [-1, 1, 1])
    centre = np.mean([HALF[f"eye_{number}"] for number in range(6)], axis=0)
    assert np.abs(centre - WHOLE["left_eye"]).max() < 0.01


# the comparison


def test_the_four_rows_train_three_networks_and_fuse_two(tmp_path, monkeypatch):
    """Every program is started as it should be; what evaluate.py would write is made up."""
    started = []

    def start(program, *words):
        started.append((program, words))
        if program == "evaluate":
            name = next(word for word in words if word.startswith("--name=")).removeprefix("--name=")
            score = 0.5 if name.endswith("probes") else 1.0
            figures = dict.fromkeys(("auc", "eer", "tar_at_far_1e-2"), score) | {"k_fold": None, "parameters": 1234, "pairs": 8}
            write_json(tmp_path / "test" / f"{name}_metrics.json", figures)

    (tmp_path / "test").mkdir()
    monkeypatch.setattr(masked, "start", start)
    page = masked.compare("configs/masked.yaml", tmp_path, [3, 4], ["--train.epochs=1"]).read_text()
    trained, evaluated = ([words for program, words in started if program == kind] for kind in ("train", "evaluate"))
    assert len(trained) == 6 and len(evaluated) == 16 and all("--train.epochs=1" in words for words in trained)
    assert sum("--model.part=upper" in words and "--data.masked=none" in words for words in trained) == 2
    assert sum("--data.masked=copies" in words for words in trained) == 2
    weights = tmp_path / "train" / "weights"
    assert sum(f"--model_weight={weights / 'upper-3.pt'},{weights / 'masked-3.pt'}" in words for words in evaluated) == 2
    assert sum("--evaluate.masked=first" in words for words in evaluated) == 8
    assert "| plain | 1,234 |  | 100.00% | 100.00% | 100.00% |  | 50.00% | 50.00% | 50.00% |" in page
