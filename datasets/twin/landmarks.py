"""Where eyes, nose, mouth and chin of synthetic people are in their photographs, without rendering anything again.

    python -m datasets.twin.landmarks           writes landmarks.csv, which comes with the repository

A photograph's camera is drawn from the numbers in its name (`shots.draw_stream`). The landmarks of a neutral head are measured
once: those of the people of the sample are in landmarks.csv, and other people are taken to have the mean of these, which is wrong
by a few millimetres (standard deviation up to 11 mm for the chin, 8 mm for nose and mouth, 2 mm for the eyes; a picture is
240 mm wide). Expressions are not counted.
"""

import argparse
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path

import numpy as np

from common.errors import run_script
from common.files import write_whole
from common.progress import progress
from datasets.twin.cameras import HEAD_AIM, draw_camera
from datasets.twin.shots import Shot, draw_stream

LANDMARKS = ("left_eye", "right_eye", "nose", "left_mouth", "right_mouth", "chin")
"""left and right are the picture's, in a frontal photograph."""
TABLE = Path(__file__).with_name("landmarks.csv")
SEED, PEOPLE = 2020, 350  # of the sample


def twin_points(file_names: Iterable[str], seed: int, side: int) -> np.ndarray:
    """The LANDMARKS in photographs of the population `seed`, float64 [N, 6, 2] as x, y in pixels of pictures of `side` pixels;
    also of what the head itself hides."""
    people, mean = _table()
    points = []
    for name in file_names:
        person, session, light, expression, yaw, take = Path(name).stem.split("_")
        shot = Shot(session, light, expression, yaw, int(take))
        camera = draw_camera(shot.camera, HEAD_AIM, draw_stream(seed, int(person), shot))
        head = people[int(person)] if seed == SEED and int(person) < len(people) else mean
        points.append((camera.project(head) + 1) / 2 * side - 0.5)
    return np.array(points).reshape(-1, len(LANDMARKS), 2)


@lru_cache(maxsize=1)
def _table() -> tuple[np.ndarray, np.ndarray]:
    """Landmarks of the people of the sample, float64 [350, 6, 3] in metres from the middle between the eyeballs, and their
    mean [6, 3]."""
    people = np.loadtxt(TABLE, delimiter=",", skiprows=1).reshape(-1, len(LANDMARKS), 3) / 10_000
    return people, people.mean(axis=0)


def measure(seed: int, people: int) -> np.ndarray:
    """Landmarks of neutral heads, float64 [people, 6, 3] in metres from the middle between the eyeballs, with x to the person's
    left, -y to the front and z up. Raises InputError where anny is not installed."""
    from datasets.twin.heads import HeadModel
    from datasets.twin.people import draw_person

    model = HeadModel()
    place, lips, skin = model.template, np.flatnonzero(model.regions["lips"] > 0.5), np.unique(model.triangles[model.part == 0])
    middle = skin[np.abs(place[skin, 0]) < 0.004]
    tip = middle[place[middle, 1].argmin()]
    low = middle[np.abs(place[middle, 2] - 0.032) < 0.002]  # the lowest of the chin that one sees from the front
    corner = lips[place[lips, 0].argmax()]
    other = lips[np.linalg.norm(place[lips] - place[corner] * [-1, 1, 1], axis=1).argmin()]
    vertices = [tip, other, corner, low[place[low, 1].argmin()]]
    found = []
    for number in progress(range(people), "landmarks", unit="person"):
        head = model.shape(draw_person(seed, number, model.local_labels).face)
        centres = model.eye_centres(head)
        pupils = centres.copy()
        pupils[:, 1] = [head[eye, 1].min() for eye in model.eyes]
        found.append(np.concatenate([pupils[::-1], head[vertices]]) - centres.mean(axis=0))
    return np.array(found, dtype=np.float64)


def main() -> None:
    """Run the command. Raises InputError."""
    argparse.ArgumentParser(
        prog="python -m datasets.twin.landmarks", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    ).parse_args()
    names = [f"{name}_{axis}" for name in LANDMARKS for axis in "xyz"]
    rows = [",".join(map(str, row)) for row in np.rint(measure(SEED, PEOPLE) * 10_000).astype(int).reshape(PEOPLE, -1).tolist()]
    write_whole(TABLE, "\n".join([",".join(names), *rows]) + "\n")
    print(f"wrote {TABLE}, in tenths of a millimetre")


if __name__ == "__main__":
    run_script(main)
