"""How a face stands in a photograph, from its landmarks: a mean face in three dimensions, turned until it fits them."""

from functools import lru_cache
from typing import NamedTuple

import numpy as np

HALF = {
    "jaw_0": (-1.11, 0.06, -1.38),
    "jaw_1": (-1.10, 0.37, -1.34),
    "jaw_2": (-1.06, 0.68, -1.31),
    "jaw_3": (-1.00, 0.98, -1.20),
    "jaw_4": (-0.90, 1.26, -1.01),
    "jaw_5": (-0.74, 1.50, -0.76),
    "jaw_6": (-0.53, 1.68, -0.49),
    "jaw_7": (-0.29, 1.82, -0.19),
    "jaw_8": (0.00, 1.87, 0.17),
    "brow_0": (-0.90, -0.21, -0.28),
    "brow_1": (-0.59, -0.34, 0.05),
    "brow_2": (-0.24, -0.26, 0.32),
    "eye_0": (-0.68, 0.01, -0.19),
    "eye_1": (-0.57, -0.07, -0.05),
    "eye_2": (-0.43, -0.08, 0.08),
    "eye_3": (-0.32, 0.00, 0.16),
    "eye_4": (-0.45, 0.07, -0.07),
    "eye_5": (-0.55, 0.08, 0.07),
    "nose_0": (0.00, -0.02, 0.41),
    "nose_1": (0.00, 0.18, 0.50),
    "nose_2": (0.00, 0.37, 0.60),
    "nose_3": (0.00, 0.60, 0.69),
    "nose_4": (0.00, 0.77, 0.46),
    "nose_5": (-0.11, 0.75, 0.33),
    "nose_6": (-0.20, 0.68, 0.20),
    "mouth_0": (-0.41, 1.11, -0.02),
    "mouth_1": (0.00, 0.98, 0.42),
    "mouth_2": (0.00, 1.10, 0.39),
    "mouth_3": (0.00, 1.36, 0.34),
    "mouth_4": (0.00, 1.21, 0.34),
}
"""The 30 landmarks of CFP (Sengupta et al., WACV 2016), of one half of the face: the mean shape of the data set's frontal and
profile photographs, found by fitting each as below and then the shape to all, in turns. x to the right of the picture, y down,
z to the camera of a frontal face; the middle between the eyes is 0 and their distance 1."""
WHOLE = {
    "left_eye": (-0.5, 0.0, 0.0),
    "right_eye": (0.5, 0.0, 0.0),
    "nose": HALF["nose_3"],
    "left_mouth": HALF["mouth_0"],
    "right_mouth": (0.41, 1.11, -0.02),
    "chin": HALF["jaw_8"],
}
OTHER_NAMES = {
    "nose_tip": "nose",
    "mouth_left": "left_mouth",
    "mouth_right": "right_mouth",
    "left_mouth_corner": "left_mouth",
    "right_mouth_corner": "right_mouth",
    "mouth_left_corner": "left_mouth",
    "mouth_right_corner": "right_mouth",
}
KNOWN = {**HALF, **WHOLE, **{other: WHOLE[name] for other, name in OTHER_NAMES.items()}}
"""Landmarks by which a face is found, and where they are on the mean face."""

LEAST = 3  # landmarks: with a scale, a shift and three turns to find
YAWS, PITCHES = np.arange(-95, 96, 5.0), np.arange(-35, 36, 5.0)  # degrees
FINER = (2.5, 0.6)  # steps, in degrees, of the searches around the best
UNUSUAL = 5e-4  # what 30 degrees up or down cost, or 5 beyond a profile, as a share of the landmarks' spread
NEAR = 0.6  # how far a landmark pulls the face beside it, in distances between the eyes
STIFF = 0.2  # how little the face gives way to a landmark


class Pose(NamedTuple):
    """Where the mean face appears in a photograph.

    turn: float64 [3, 3]. zoom, shift: complex; a point x, y of the turned face is at zoom * (x + iy) + shift, in pixels.
    anchors: float64 [K, 3], landmarks on the mean face; pull: complex [K], how the face is bent by each, in pixels.
    """

    turn: np.ndarray
    zoom: complex
    shift: complex
    anchors: np.ndarray
    pull: np.ndarray

    @property
    def unit(self) -> float:
        """Pixels that the distance between the eyes of a frontal face has."""
        return abs(self.zoom)

    def turned(self, points: np.ndarray) -> np.ndarray:
        """Points of the mean face [..., 3] as the camera sees them, in the same unit; the third is nearer where it is larger."""
        return points @ self.turn.T

    def bent(self, points: np.ndarray) -> np.ndarray:
        """By how much this face differs from the mean face, which stands as it does, at points [..., 3]: complex, in pixels."""
        return _kernel(points, self.anchors) @ self.pull

    def place(self, points: np.ndarray) -> np.ndarray:
        """Where points of the mean face [..., 3] are in the photograph, [..., 2] as x, y in pixels."""
        turned = self.turned(points)
        places = self.zoom * (turned[..., 0] + 1j * turned[..., 1]) + self.shift + self.bent(points)
        return np.stack([places.real, places.imag], axis=-1)


def can_wear(points: np.ndarray, landmarks: tuple[str, ...]) -> np.ndarray:
    """Of which faces enough is known to lay a mask on them, bool [N], from points [N, L, 2]."""
    used = [place for place, name in enumerate(landmarks) if name in KNOWN]
    return np.isfinite(points[:, used]).all(axis=2).sum(axis=1) >= LEAST


def find_pose(points: np.ndarray, landmarks: tuple[str, ...]) -> Pose | None:
    """The pose of a face from its landmarks, [L, 2] as x, y in pixels, NaN where unknown; None if fewer than three are known.

    Scale, shift and roll have a closed form for each yaw and pitch, which are searched for. Whether left is the person's or the
    picture's, and which half of the face half of the landmarks belong to, is decided by what fits better.
    """
    used = np.array([place for place, name in enumerate(landmarks) if name in KNOWN], dtype=int)
    used = used[np.isfinite(points[used]).all(axis=1)]
    if len(used) < LEAST:
        return None
    names = tuple(landmarks[place] for place in used)
    seen = points[used].astype(np.float64) @ np.array([1, 1j])
    spread = seen - seen.mean()
    if not np.abs(spread).max() > 0:
        return None
    candidates = [_search(_mean_face(names, mirrored), seen, names, mirrored) for mirrored in (False, True)]
    error, yaw, pitch, mirrored = min(candidates, key=lambda candidate: candidate[0])
    face = _mean_face(names, mirrored)
    turn = _turns(np.array([yaw]), np.array([pitch]))[0]
    places = _flat(face @ turn.T)
    zoom, _ = _fit(places[None], seen)
    shift = seen.mean() - zoom[0] * places.mean()
    residual = seen - zoom[0] * places - shift
    pull = np.linalg.solve(_kernel(face, face) + STIFF * np.eye(len(face)), residual)
    return Pose(turn, complex(zoom[0]), complex(shift), face, pull)


def _search(face: np.ndarray, seen: np.ndarray, names: tuple[str, ...], mirrored: bool) -> tuple[float, float, float, bool]:
    """Error, yaw and pitch in degrees of the best fit, and which of the two faces it is of."""
    yaws, pitches = (grid.ravel() for grid in np.meshgrid(YAWS, PITCHES, indexing="ij"))
    places = _all_places(names, mirrored)
    for step in (*FINER, None):
        beyond = np.maximum(np.abs(yaws) - 90, 0)  # a profile fits as well with the halves of the face exchanged, as far beyond
        errors = _fit(places, seen)[1] + UNUSUAL * ((pitches / 30) ** 2 + (beyond / 5) ** 2)
        best = int(errors.argmin())
        error, yaw, pitch = float(errors[best]), float(yaws[best]), float(pitches[best])
        if step is not None:
            around = step * np.arange(-2, 3)
            yaws, pitches = (grid.ravel() for grid in np.meshgrid(yaw + around, pitch + around, indexing="ij"))
            places = _flat(face @ _turns(yaws, pitches).swapaxes(1, 2))
    return error, yaw, pitch, mirrored


def _fit(places: np.ndarray, seen: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """For candidates [N, K] the zoom, complex [N], that brings them nearest to those seen, complex [K], and the squared
    distance that is left, as a share of the spread of those seen."""
    centred, aim = places - places.mean(axis=1, keepdims=True), seen - seen.mean()
    size = np.maximum((np.abs(centred) ** 2).sum(axis=1), 1e-9)
    zoom = centred.conj() @ aim / size
    total = (np.abs(aim) ** 2).sum()
    return zoom, 1 - np.abs(zoom) ** 2 * size / total


@lru_cache(maxsize=256)
def _mean_face(names: tuple[str, ...], mirrored: bool) -> np.ndarray:
    return np.array([KNOWN[name] for name in names]) * ([-1, 1, 1] if mirrored else 1)


@lru_cache(maxsize=64)
def _all_places(names: tuple[str, ...], mirrored: bool) -> np.ndarray:
    """Where the landmarks are at every yaw and pitch of the first search, complex [N, K]."""
    yaws, pitches = (grid.ravel() for grid in np.meshgrid(YAWS, PITCHES, indexing="ij"))
    return _flat(_mean_face(names, mirrored) @ _turns(yaws, pitches).swapaxes(1, 2))


def _turns(yaws: np.ndarray, pitches: np.ndarray) -> np.ndarray:
    """Rotations [N, 3, 3] by angles [N] in degrees: yaw above 0 turns the nose to the right of the picture, pitch above 0 up."""
    yaw, pitch = np.radians(yaws), np.radians(pitches)
    zero, one = np.zeros(len(yaw)), np.ones(len(yaw))
    sideways = np.array([[np.cos(yaw), zero, np.sin(yaw)], [zero, one, zero], [-np.sin(yaw), zero, np.cos(yaw)]])
    upwards = np.array([[one, zero, zero], [zero, np.cos(pitch), -np.sin(pitch)], [zero, np.sin(pitch), np.cos(pitch)]])
    return np.einsum("ijn,jkn->nik", upwards, sideways)


def _flat(points: np.ndarray) -> np.ndarray:
    return points[..., 0] + 1j * points[..., 1]


def _kernel(points: np.ndarray, anchors: np.ndarray) -> np.ndarray:
    """exp(-d^2 / 2 NEAR^2) of the distances of points [..., 3] from anchors [K, 3] -> [..., K]"""
    squares = ((points[..., None, :] - anchors) ** 2).sum(axis=-1)
    return np.exp(-squares / (2 * NEAR**2))
