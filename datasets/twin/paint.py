"""The colour of every place of a person: functions of the canonical position, the same on every photograph.

All take canonical positions float32 [N, 3] in metres on the average head (x to the person's left, -y to the front, z up) and
give linear RGB float32 [N, 3].
"""

import numpy as np

from datasets.twin.noise import Noise, smoothstep
from datasets.twin.people import Person

EYE_X, EYE_Z = 0.030, 0.137  # landmarks of the average head
NOSE_BASE_Z, MOUTH_Z, CHIN_Z = 0.092, 0.070, 0.035
MOUTH_X = 0.022
FRONT_Y = -0.05  # whatever lies before it is the face
IRIS, PUPIL, LIMBUS = 0.40, 0.17, 0.05  # radians on the eyeball


class Paint:
    """The paint box of one person. moles: places on the average head, float32 [n, 3]."""

    def __init__(self, person: Person, moles: np.ndarray):
        self.person = person
        self.moles = moles
        self.noise = Noise(person.texture)

    def skin(self, place: np.ndarray, lips: np.ndarray, lids: np.ndarray) -> np.ndarray:
        """Skin with all that grows on it; lips and lids: float32 [N], how much a place belongs to them."""
        person = self.person
        x, y, z = np.abs(place[:, 0]), place[:, 1], place[:, 2]
        front = smoothstep(FRONT_Y + 0.02, FRONT_Y - 0.02, y)
        blotches = self.noise(place * 90)
        shade = 1 + 0.14 * (blotches - 0.5) + 0.10 * (self.noise(place * 420) - 0.5) * (1 + person.age)
        colour = person.skin * shade[:, None]
        red = person.blush * front * (
            _spot(x, z, 0.042, 0.100, 0.020) + 0.7 * _spot(x, z, 0.0, 0.102, 0.013) + 0.3 * (blotches - 0.4)
        )  # fmt: skip
        colour = colour * (1 + red[:, None] * np.array([0.08, -0.22, -0.20], np.float32))
        colour = self._freckles(colour, place, front, x, z)
        colour = self._lines(colour, front, x, z)
        tired = (0.10 + 0.35 * person.age) * front * _spot(x, z, EYE_X, EYE_Z - 0.016, 0.011)
        made_up = person.lid_shadow * lids
        colour = colour * (1 - np.maximum(tired, made_up))[:, None]
        colour = colour * (1 + lips[:, None] * (person.lips - 1) * (0.9 + 0.3 * self.noise(place * [700, 60, 60])[:, None]))
        for mole, (_, _, radius, dark) in zip(self.moles, person.moles):
            near = np.exp(-((np.linalg.norm(place - mole, axis=1) / radius) ** 2))
            colour = colour * (1 - dark * near)[:, None]
        colour = _mix(colour, person.hair.colour * 0.8, self._beard(place, x, y, z) * (1 - smoothstep(0.3, 0.7, lips)))
        return _mix(colour, person.hair.colour * 0.7, self._brows(place, front, x, z))

    def hair(self, outward: np.ndarray) -> np.ndarray:
        """Strands; outward: float32 [N, 3], direction from the head's centre."""
        azimuth = np.arctan2(outward[:, 0], -outward[:, 1])
        radius = np.hypot(outward[:, 0], outward[:, 1])
        curl = self.person.hair.curl
        strands = self.noise(np.stack([azimuth * 30, radius * (6 + 30 * curl), outward[:, 2] * (3 + 30 * curl)], axis=1))
        fine = self.noise(np.stack([azimuth * 90, outward[:, 2] * 8, radius * 10], axis=1))
        return self.person.hair.colour * (0.45 + 0.75 * strands + 0.35 * fine)[:, None]

    def eye(self, angle: np.ndarray, turn: np.ndarray) -> np.ndarray:
        """The eyeball by angle from the gaze and turn about it, in radians [N]."""
        white = np.array([0.70, 0.66, 0.63], np.float32) * (1 - 0.25 * smoothstep(0.5, 1.1, angle))[:, None]
        rays = self.noise(np.stack([np.cos(turn) * 9, np.sin(turn) * 9, angle * 6], axis=1))
        iris = self.person.iris * (0.6 + 0.9 * rays)[:, None] * (1 - 0.6 * smoothstep(IRIS - LIMBUS, IRIS, angle))[:, None]
        colour = _mix(white, iris, smoothstep(IRIS + 0.02, IRIS - 0.02, angle))
        return _mix(colour, np.full(3, 0.006, np.float32), smoothstep(PUPIL + 0.02, PUPIL - 0.02, angle))

    def _brows(self, place: np.ndarray, front: np.ndarray, x: np.ndarray, z: np.ndarray) -> np.ndarray:
        person = self.person
        along = (x - 0.009) / (0.043 * person.brow_length)  # 0 at the nose, 1 at the temple
        height = EYE_Z + person.brow_height + person.brow_arch * 4 * along * (1.25 - along) - 0.006 * along**2
        width = person.brow_width * (1 - 0.55 * along.clip(0, 1))
        hairs = 0.65 + 0.7 * (self.noise(np.stack([place[:, 0] * 900, place[:, 2] * 350, 0 * x], axis=1)) - 0.5)
        inside = np.exp(-(((z - height) / width) ** 2)) * smoothstep(-0.08, 0.06, along) * smoothstep(1.05, 0.85, along)
        return np.clip(1.5 * inside * hairs, 0, 1) * front * person.brow_density

    def _beard(self, place: np.ndarray, x: np.ndarray, y: np.ndarray, z: np.ndarray) -> np.ndarray:
        kind = self.person.beard
        if kind == "none":
            return np.zeros(len(x), np.float32)
        edge = 0.006 * (self.noise(place * 200) - 0.5)
        moustache = _spot(x / 1.6, z, 0.0, 0.0855, 0.009) * smoothstep(0.030, 0.024, x)
        moustache = np.maximum(moustache, _spot(x, z, 0.024, 0.078, 0.006)) * smoothstep(-0.10, -0.12, y)
        chin = (
            smoothstep(0.062, 0.054, z)
            * smoothstep(0.024, 0.016, x + edge)
            * smoothstep(-0.09, -0.11, y)
            * smoothstep(0.012, 0.02, z)
        )
        line = 0.062 + 0.045 * smoothstep(0.030, 0.072, x)  # from beside the mouth up to the ears
        cheeks = smoothstep(line + 0.004, line - 0.006, z + edge) * smoothstep(-0.035, -0.055, y) * smoothstep(0.008, 0.022, z)
        cheeks = cheeks * (1 - _spot(x, z, 0.0, 0.070, 0.012))
        where = {"moustache": moustache, "goatee": np.maximum(moustache, chin)}.get(
            kind, np.maximum(np.maximum(moustache, chin), cheeks)
        )
        hairs = 0.55 + 0.9 * (self.noise(place * [900, 900, 400]) - 0.35)
        return np.clip(where * hairs, 0, 1) * (0.42 if kind == "stubble" else 0.9)

    def _freckles(self, colour: np.ndarray, place: np.ndarray, front: np.ndarray, x: np.ndarray, z: np.ndarray) -> np.ndarray:
        where = front * np.exp(-(((z - 0.108) / 0.022) ** 2)) * smoothstep(0.070, 0.045, x)
        spots = smoothstep(0.62, 0.75, self.noise(place * 330)) * where * self.person.freckles
        return colour * (1 - spots[:, None] * np.array([0.25, 0.42, 0.5], np.float32))

    def _lines(self, colour: np.ndarray, front: np.ndarray, x: np.ndarray, z: np.ndarray) -> np.ndarray:
        age = max(0.0, self.person.age - 0.25)
        along = np.clip((0.096 - z) / 0.032, 0, 1)  # from the nostril to beside the mouth
        fold = (
            np.exp(-(((x - (0.019 + 0.014 * along)) / 0.0016) ** 2)) * smoothstep(0.0, 0.2, along) * smoothstep(1.0, 0.8, along)
        )
        furrows = (0.5 + 0.5 * np.sin((z + 6 * x**2) * 2 * np.pi / 0.0095)) ** 6
        furrows = furrows * smoothstep(0.168, 0.174, z) * smoothstep(0.205, 0.195, z) * smoothstep(0.04, 0.02, x)
        crows = (0.5 + 0.5 * np.sin(np.arctan2(z - EYE_Z, x - 0.046) * 14)) ** 4 * _spot(x, z, 0.056, EYE_Z - 0.002, 0.007)
        return colour * (1 - age * front * (0.45 * fold + 0.30 * furrows + 0.35 * crows))[:, None]


def _spot(x: np.ndarray, z: np.ndarray, centre_x: float, centre_z: float, radius: float) -> np.ndarray:
    return np.exp(-(((x - centre_x) ** 2 + (z - centre_z) ** 2) / radius**2))


def _mix(first: np.ndarray, second: np.ndarray, share: np.ndarray) -> np.ndarray:
    return first + (second - first) * share[:, None]
