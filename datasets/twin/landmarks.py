"""Where eyes, nose, mouth and chin of synthetic people are in their photographs, without rendering anything again.

A photograph's camera is drawn from the numbers in its name (`shots.draw_stream`). The landmarks of a neutral head are measured
once: those of the people of the sample are in landmarks.csv (`datasets.twin.measure`), and other people are taken to have the
mean of these, which is wrong by a few millimetres (standard deviation up to 11 mm for the chin, 8 mm for nose and mouth, 2 mm
for the eyes; a picture is 240 mm wide). Expressions are not counted.
"""

from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path

import numpy as np

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
