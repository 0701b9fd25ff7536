"""One photograph -> its faces, as boxes and landmarks in pixels of the upright photograph."""

from typing import NamedTuple

import cv2
import numpy as np

from datasets.detect.detector import Detector
from datasets.photographs.decoding import read_photograph, upright_size

LANDMARKS = ("right_eye", "left_eye", "nose", "mouth_right", "mouth_left")
PADDING = 0.25  # of the width on the left and on the right, of the height above and below: hair and chin belong to the face
SCORE = 0.7
SIDE = 320
DECIMALS = 2  # of a pixel


class Face(NamedTuple):
    """A face. box: left, top, right, bottom in pixels, right and bottom exclusive, as in `datasets.readers.boxes`; padded, and so
    perhaps beyond the photograph. points: x, y of each of LANDMARKS, where 0, 0 is the middle of the first pixel. score: 0 to 1.
    """

    box: tuple[float, ...]
    points: tuple[tuple[float, float], ...]
    score: float


class Look(NamedTuple):
    """How a photograph is shown to the detector: `side` pixels long with a black border on all four sides, which is `border` of
    the photograph's longer side wide."""

    side: int
    border: float


def looks(side: int) -> tuple[Look, ...]:
    """The first look, and those that follow while no face is found: for small faces, and for one that fills the photograph.

    The border of the first is what a face that fills the photograph, as profiles do in CFP, is missed without.
    """
    return Look(side, 0.25), Look(2 * side, 0), Look(3 * side // 4, 0)


def find_faces(content: bytes, detector: Detector, score: float = SCORE, side: int = SIDE) -> list[Face]:
    """The faces in the photograph that a file's bytes hold, the largest first; those alone that score at least `score`.

    side: pixels of the longer side of what the detector is shown first. Small photographs are scaled up to it, large ones down;
    a large JPEG is decoded at a part of its size. Raises ValueError, with the reason, for a photograph that cannot be read.
    """
    photograph = read_photograph(content, max(look.side for look in looks(side)))
    size = upright_size(content)
    for look in looks(side):
        faces = [face for face in _seen(photograph, size, look, detector) if face.score >= score]
        if faces:
            return sorted(faces, key=_order)
    return []


def _seen(photograph: np.ndarray, size: tuple[int, int], look: Look, detector: Detector) -> list[Face]:
    """All faces that the detector finds at one look, in pixels of a photograph of `size` = height, width."""
    picture, border, inner = _shown(photograph, look)
    rows = np.asarray(detector.detect(picture), dtype=np.float64)
    rows = rows[np.isfinite(rows).all(axis=1) & (rows[:, 2:4] > 0).all(axis=1)]
    scale = np.array([size[1] / inner[1], size[0] / inner[0]])  # x, y
    corners = rows[:, :4].reshape(-1, 2, 2)
    corners[:, 1] += corners[:, 0]
    padding = PADDING * (corners[:, 1] - corners[:, 0])
    corners += np.stack([-padding, padding], axis=1)
    boxes = ((corners - border) * scale).round(DECIMALS).reshape(-1, 4)
    points = ((rows[:, 4:14].reshape(-1, 5, 2) - border + 0.5) * scale - 0.5).round(DECIMALS)
    return [
        Face(tuple(box), tuple((x, y) for x, y in places), float(row[14]))
        for box, places, row in zip(boxes.tolist(), points.tolist(), rows)
    ]


def _shown(photograph: np.ndarray, look: Look) -> tuple[np.ndarray, int, tuple[int, int]]:
    """uint8 RGB [H, W, 3] -> what the detector sees, uint8 BGR; its border in pixels; height and width within the border."""
    height, width = photograph.shape[:2]
    scale = look.side / max(height, width) / (1 + 2 * look.border)
    inner = max(1, round(height * scale)), max(1, round(width * scale))
    border = round(look.border * max(inner))
    scaled = cv2.resize(photograph, inner[::-1], interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    framed = cv2.copyMakeBorder(scaled, border, border, border, border, cv2.BORDER_CONSTANT)
    return cv2.cvtColor(framed, cv2.COLOR_RGB2BGR), border, inner


def _order(face: Face) -> tuple[float, ...]:
    """The largest first; of equally large ones that with the better score."""
    left, top, right, bottom = face.box
    return (top - bottom) * (right - left), -face.score, *face.box
