"""Thirty lightings, L1 to L30: a key light that moves in direction, strength and warmth, a fill light and the room."""

from dataclasses import dataclass

import numpy as np

AZIMUTHS = (-70, -35, 0, 35, 70)  # degrees, positive towards the person's left
ELEVATIONS = (15, 50)
LEVELS = ((2.6, 0.55), (1.7, 0.8), (3.4, 0.3))  # key light, room light
WARMTHS = (-0.10, -0.04, 0.02, 0.08, 0.15)


@dataclass(frozen=True)
class Lighting:
    """directions: float32 [2, 3], unit, from the face to the key and to the fill light; colours: float32 [2, 3] their
    linear RGB; room: float32 [3], light that comes from everywhere."""

    directions: np.ndarray
    colours: np.ndarray
    room: np.ndarray


def draw_lighting(light: str, random: np.random.Generator) -> Lighting:
    """The lighting of that number, jittered by some degrees and some percent."""
    number = int(light.removeprefix("L")) - 1
    key, room = LEVELS[number // 10]
    azimuth, elevation = AZIMUTHS[number % 5] + random.normal(0, 6), ELEVATIONS[number // 5 % 2] + random.normal(0, 5)
    warmth = WARMTHS[number * 7 % 5] + random.normal(0, 0.02)
    tint = np.array([1 + warmth, 1.0, 1 - warmth], np.float32)
    directions = np.stack([_direction(azimuth, elevation), _direction(-azimuth * 0.8 + random.normal(0, 10), 10)])
    strengths = np.array([key * random.uniform(0.9, 1.1), 0.25 * key * random.uniform(0.6, 1.4)], np.float32)
    colours = strengths[:, None] * np.stack([tint, 2 - tint])
    return Lighting(directions.astype(np.float32), colours.astype(np.float32), (room * (2 - tint)).astype(np.float32))


def _direction(azimuth: float, elevation: float) -> np.ndarray:
    azimuth, elevation = np.radians([azimuth, elevation])
    return np.array([np.sin(azimuth) * np.cos(elevation), -np.cos(azimuth) * np.cos(elevation), np.sin(elevation)])
