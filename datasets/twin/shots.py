"""Under which conditions each person is photographed, and what the photograph is called. No pixels here."""

import zlib
from itertools import product
from typing import NamedTuple

import numpy as np

from common.errors import InputError
from datasets.pairs.draw import random_stream
from datasets.readers.competition import ANGLES, EXPRESSIONS

PLAIN = "S001"
ACCESSORIES = {"S002": "glasses", "S003": "sunglasses", "S004": "hat", "S005": "face mask"}
"""What a person wears in each session but the plain one."""
LIGHTS = tuple(f"L{number}" for number in range(1, 31))
MOST_PEOPLE = 100_000  # a person's number has five digits


class Shot(NamedTuple):
    """The conditions of one photograph, in the order of the file name."""

    session: str  # S001 plain, or one of ACCESSORIES
    light: str  # L1 to L30
    expression: str  # E01 neutral, E02 smile, E03 frown
    camera: str  # one of datasets.readers.competition.ANGLES
    take: int  # 1, 2, ...: tells photographs of one expression and camera apart


def draw_shots(person: int, seed: int, takes: int = 1, plain_share: float = 0.76) -> list[Shot]:
    """One shot for every take, expression and camera, the first take first; session and light are drawn.

    A shot is plain with probability `plain_share`; the accessories share the rest evenly, and so do the lights all
    shots. The draw depends on seed and person alone, and more takes leave the earlier ones as they are. Raises
    InputError for fewer takes than 1, a share outside [0, 1] or a negative seed.
    """
    if takes < 1:
        raise InputError(f"takes is {takes}; it should be 1 or more")
    if not 0 <= plain_share <= 1:
        raise InputError(f"plain_share is {plain_share}; it should be at least 0 and at most 1")
    generator = random_stream(seed, f"shots of person {person}")
    worn = tuple(ACCESSORIES)
    shots = []
    for take, expression, camera in product(range(1, takes + 1), EXPRESSIONS, ANGLES):
        plain = generator.random() < plain_share
        accessory = worn[generator.integers(len(worn))]  # drawn in any case, so that lights do not depend on the share
        light = LIGHTS[generator.integers(len(LIGHTS))]
        shots.append(Shot(PLAIN if plain else accessory, light, expression, camera, take))
    return shots


def draw_stream(seed: int, person: int, shot: Shot) -> np.random.Generator:
    """The chance in one photograph of the population `seed`, its own whatever was photographed before; the camera comes first."""
    return np.random.default_rng((seed, 2, person, zlib.crc32("_".join(map(str, shot)).encode())))


def face_id(person: int) -> str:
    """The person's number as it stands in file names and tables."""
    return f"{person:05d}"


def file_name(person: int, shot: Shot) -> str:
    """`<id>_<S>_<L>_<E>_<C>_<n>.jpg`, as the competition named its photographs."""
    return f"{face_id(person)}_{'_'.join(map(str, shot))}.jpg"
