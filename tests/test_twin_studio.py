"""The synthetic people themselves: geometry against labels, expressions, what is worn, the same bytes every time."""

import itertools
from hashlib import sha256

import numpy as np
import pytest

pytest.importorskip("anny", reason="NO RENDERER: pip install -r requirements-twin.txt")

from datasets.photographs.decoding import read_photograph
from datasets.readers.competition import ANGLES
from datasets.twin.cameras import Camera
from datasets.twin.noise import Noise, smoothstep
from datasets.twin.people import draw_person
from datasets.twin.render import Scene, vertex_normals
from datasets.twin.shots import Shot
from datasets.twin.studio import Studio
from datasets.twin.unpack import unpacked_sample

SIDE = 48
SAMPLE_SEED = 2020
FRONTAL = Shot("S001", "L3", "E01", "C7", 1)


@pytest.fixture(scope="module")
def studio():
    return Studio(seed=5, image_size=SIDE)


@pytest.fixture(scope="module")
def model(studio):
    return studio.model


def test_a_photograph_depends_on_seed_person_and_shot_alone(studio):
    shots = [(person, FRONTAL._replace(camera=camera, session=session)) for person, camera, session in
             [(0, "C7", "S001"), (1, "C1", "S004"), (0, "C12", "S003"), (2, "C8", "S005")]]  # fmt: skip
    forwards = [sha256(studio.photograph(*shot)).hexdigest() for shot in shots]
    again = Studio(seed=5, image_size=SIDE)
    backwards = [sha256(again.photograph(*shot)).hexdigest() for shot in reversed(shots)]
    assert forwards == backwards[::-1]
    assert len(set(forwards)) == len(forwards)
    assert studio.photograph(0, FRONTAL).shape == (SIDE, SIDE, 3)
    assert studio.photograph(0, FRONTAL).dtype == np.uint8


def test_the_committed_sample_is_what_the_renderer_makes():
    root = unpacked_sample()
    again = Studio(seed=SAMPLE_SEED, image_size=80)
    for path in sorted((root / "train").glob("*.jpg"))[::900]:
        person, *shot, take = path.stem.split("_")
        rendered = again.photograph(int(person), Shot(*shot, int(take))).astype(float)
        difference = np.abs(rendered - read_photograph(path.read_bytes()))
        assert difference.mean() < 4, path  # of 255: what JPEG loses at quality 80


def test_a_take_more_is_another_photograph_of_the_same_person(studio):
    first, second = (studio.photograph(0, FRONTAL._replace(take=take)).astype(float) for take in (1, 2))
    other = studio.photograph(1, FRONTAL).astype(float)
    middle = slice(SIDE // 4, 3 * SIDE // 4)  # the face, without the wall behind it
    assert 0 < np.abs(first - second)[middle, middle].mean() < np.abs(first - other)[middle, middle].mean()


@pytest.mark.parametrize("camera, yaw", ANGLES.items())
@pytest.mark.parametrize("person", [0, 3])
def test_the_nose_points_where_the_angle_label_says(studio, model, camera, yaw, person):
    vertices = studio.look(person).vertices
    nose = vertices[[vertices[:, 1].argmin()]]
    shots = [Shot("S001", "L1", expression, camera, take) for expression, take in itertools.product(("E01", "E03"), (1, 2))]
    for shot in shots:
        view = studio.camera(person, shot)
        nose_x, middle_x = view.project(np.concatenate([nose, studio.eye_middle(vertices)[None] + [[0, 0.06, 0]]]))[:, 0]
        assert np.abs(view.yaw - yaw) <= 5
        assert (nose_x < middle_x) == (view.yaw > 0) or abs(view.yaw) < 4, (shot, view.yaw)
        if abs(yaw) >= 60:
            assert abs(nose_x - middle_x) > 0.3  # of half the picture


def test_the_picture_agrees_with_the_projection(studio, model):
    """Rays and projection are each other's inverse."""
    camera = Camera(np.array([0.01, -0.03, 0.12]), yaw=35, pitch=7, roll=4, distance=1.1)
    rays = camera.rays(9).astype(float)
    places = camera.project(camera.position + 1.3 * rays)
    grid = (np.arange(9) + 0.5) / 9 * 2 - 1
    assert np.allclose(places[:, 0].reshape(9, 9), grid[None, :], atol=1e-5)
    assert np.allclose(places[:, 1].reshape(9, 9), grid[:, None], atol=1e-5)


def test_a_smile_lifts_the_corners_of_the_mouth_and_a_frown_lowers_the_brows(model):
    lips = np.flatnonzero(model.regions["lips"] > 0.5)
    corner = lips[np.argmax(model.template[lips, 0])]
    brow = np.argmin(np.linalg.norm(model.template - [0.02, -0.135, 0.158], axis=1))
    smile = model.express(model.template, {"mouthSmileLeft": 1.0, "mouthSmileRight": 1.0})
    frown = model.express(model.template, {"browDownLeft": 1.0, "browDownRight": 1.0})
    assert smile[corner, 2] > model.template[corner, 2] + 0.003
    assert frown[brow, 2] < model.template[brow, 2] - 0.002
    assert np.array_equal(model.express(model.template, {}), model.template)


def test_expressions_change_the_face_and_not_the_person(studio, model):
    look = studio.look(2)
    assert studio.look(2) is look
    neutral, smile = (studio.photograph(2, FRONTAL._replace(expression=expression)) for expression in ("E01", "E02"))
    assert not np.array_equal(neutral, smile)


def test_eyes_are_two_balls_left_and_right(model):
    left, right = (model.template[eye] for eye in model.eyes)
    assert left[:, 0].min() > 0 > right[:, 0].max()
    for eye, centre in zip((left, right), model.eye_centres(model.template)):
        assert np.allclose(np.linalg.norm(eye - centre, axis=1), 0.016, atol=0.002)


@pytest.mark.parametrize("session, change", [("S002", "frame"), ("S003", "lens"), ("S004", "hat"), ("S005", "mask")])
def test_what_is_worn_lies_where_it_belongs(studio, session, change):
    look, costume = studio.look(1), studio.costume(1, session)
    worn = np.concatenate([part.vertices for part in costume.parts if part.material == change])
    eyes = studio.eye_middle(look.vertices)
    middle = worn.mean(axis=0) - eyes
    if change == "hat":
        assert middle[2] > 0.02
    elif change == "mask":
        visible = worn[worn[:, 1] < eyes[1] + 0.02]
        assert visible[:, 2].mean() < eyes[2] - 0.02
    else:
        assert abs(np.median(worn[:, 2]) - eyes[2]) < 0.02 and worn[:, 1].min() < eyes[1]
    assert change not in {part.material for part in studio.costume(1, "S001").parts}
    assert len(costume.openness) == len(look.vertices) + sum(len(part.vertices) for part in costume.parts)
    assert 0 <= costume.openness.min() and costume.openness.max() <= 1


def test_people_differ_and_do_not_depend_on_each_other(model):
    people = [draw_person(3, number, model.local_labels) for number in range(40)]
    again = draw_person(3, 17, model.local_labels)
    assert again.face == people[17].face and np.array_equal(again.skin, people[17].skin)
    assert len({tuple(person.face.local_changes.values()) for person in people}) == 40
    changes = np.array([list(person.face.local_changes.values()) for person in people])
    assert np.abs(changes).max() <= 1
    assert {person.beard != "none" for person in people} == {True, False}
    assert all(person.beard == "none" for person in people if person.face.phenotype["gender"] < 0.5)


def test_both_sides_of_a_face_are_alike_up_to_a_little(model):
    changes = draw_person(3, 0, model.local_labels).face.local_changes
    pairs = [(value, changes["r-" + label[2:]]) for label, value in changes.items() if label.startswith("l-")]
    left, right = np.array(pairs).T
    assert 0 < np.abs(left - right).mean() < 0.1


def test_rays_hit_what_geometry_says():
    vertices = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 2], [1, 0, 2], [0, 1, 2]], np.float32)
    scene = Scene(vertices, np.array([[0, 1, 2], [3, 4, 5]], np.int32))
    starts = np.array([[0.25, 0.25, 5], [0.25, 0.25, 1], [0.9, 0.9, 5]], np.float32)
    down = np.tile(np.float32([0, 0, -1]), (3, 1))
    hits = scene.cast(starts, down)
    assert hits.triangle.tolist() == [1, 0, -1]
    assert np.allclose((vertices[[0, 1, 2]] * hits.weights[1][:, None]).sum(axis=0), [0.25, 0.25, 0], atol=1e-6)
    points, up = np.array([[0.25, 0.25, 0], [0.25, 0.25, 2]], np.float32), np.tile(np.float32([0, 0, 1]), (2, 1))
    assert scene.visible(points, up, np.array([[0, 0, 1]], np.float32))[:, 0].tolist() == [0, 1]
    assert scene.visible(points, up, np.array([[0, 0, 1]], np.float32), length=1.0)[:, 0].tolist() == [1, 1]
    assert scene.visible(points, up, np.array([[0, 0, -1]], np.float32))[:, 0].tolist() == [0, 0]  # faces away


def test_normals_of_a_sphere_point_outwards(model):
    angle = np.linspace(0, 2 * np.pi, 25)[:-1]
    ring = np.stack([np.cos(angle), np.sin(angle), 0 * angle], axis=1)
    vertices = np.concatenate([ring, [[0, 0, 1], [0, 0, -1]]]).astype(np.float32)
    around = np.arange(24)
    triangles = np.concatenate([
        np.stack([around, (around + 1) % 24, 0 * around + 24], axis=1),
        np.stack([(around + 1) % 24, around, 0 * around + 25], axis=1),
    ])  # fmt: skip
    assert np.allclose(vertex_normals(vertices, triangles), vertices, atol=0.02)


def test_noise_is_smooth_and_its_own_for_each_seed():
    points = np.random.default_rng(0).uniform(-100, 100, (1000, 3))
    values = Noise(1)(points)
    assert values.min() >= 0 and values.max() <= 1 and values.std() > 0.1
    assert np.abs(Noise(1)(points + 1e-3) - values).max() < 0.01
    assert not np.allclose(Noise(2)(points), values)
    assert smoothstep(0, 1, np.array([-1, 0, 0.5, 1, 2])).tolist() == [0, 0, 0.5, 1, 1]
    assert smoothstep(1, 0, np.array([-1, 0.5, 2])).tolist() == [1, 0.5, 0]
