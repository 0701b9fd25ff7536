"""A mask put on the face in a photograph."""

import cv2
import numpy as np

from datasets.masks.face import Pose, find_pose
from datasets.masks.look import Look, paint
from datasets.masks.shapes import EARS, SHAPES, Shape

FINE = 128  # pixels, at least, of the side of the picture in which a mask is drawn before it is made smaller
PLACES = (17, 33)  # down and across, at which the surface is computed; between them it is flat
MOST = 1024  # rows or columns of the cloth
LIGHT = np.array([-0.25, -0.45, 0.86])  # from where it comes: above, and a little from the left
LUMA = np.array([0.299, 0.587, 0.114])  # ITU-R BT.601


def wear(image: np.ndarray, points: np.ndarray, landmarks: tuple[str, ...], look: Look) -> np.ndarray:
    """The photograph, uint8 [S, S, 3], with the mask on the face: a new array, or the same one if too few landmarks are known.

    points: float [L, 2], x, y of the `landmarks` in pixels of the image, where whole numbers are the centres of pixels, NaN
    where unknown. What lies on the far side of the head is not drawn.
    """
    pose = find_pose(points, landmarks)
    if pose is None:
        return image
    colours, cover = draw(image.shape[0], pose, look)
    if not cover.any():
        return image
    light = _light(image, cover, pose.unit)
    worn = image * (1 - cover[..., None]) + (colours * (light * look.darken)[..., None]).clip(0, 255) * cover[..., None]
    return worn.round().clip(0, 255).astype(np.uint8)


def coverage(side: int, points: np.ndarray, landmarks: tuple[str, ...], look: Look) -> np.ndarray:
    """How much of each pixel `wear` covers, float32 [side, side] from 0 to 1."""
    pose = find_pose(points, landmarks)
    return np.zeros((side, side), np.float32) if pose is None else draw(side, pose, look)[1]


def draw(side: int, pose: Pose, look: Look) -> tuple[np.ndarray, np.ndarray]:
    """Colours, float32 [side, side, 3], and how much of each pixel is covered, float32 [side, side]."""
    fine = max(2, -(-FINE // side))
    shape = SHAPES[look.shape]
    few_across, few_down = np.meshgrid(np.linspace(-1, 1, PLACES[1]), np.linspace(0, 1, PLACES[0]))
    surface = _surface(shape, look, few_across, few_down)
    seen, places = pose.turned(surface), (pose.place(surface) + 0.5) * fine - 0.5
    normals = _normals(seen) @ _rolled(pose)
    x, y, depth, facing, light = _denser(_counts(places), places, seen[..., 2], normals[..., 2], normals @ LIGHT)
    across, down = _flat_cloth(x.shape)
    x, y = np.rint(x).astype(np.int32), np.rint(y).astype(np.int32)
    cloth = (np.abs(across) ** shape.corners + np.abs(2 * down - 1) ** shape.corners <= 1) & (facing > 0)
    cloth &= (x >= 0) & (x < fine * side) & (y >= 0) & (y < fine * side)
    colours = paint(look, across, down) * (0.62 + 0.42 * np.maximum(light, 0))[..., None]
    canvas, cover = np.zeros((fine * side, fine * side, 3), np.float32), np.zeros((fine * side, fine * side), np.float32)
    if look.straps:
        _draw_straps(canvas, cover, shape, pose, look, fine)
    order = np.argsort(depth[cloth], kind="stable")  # the nearest last, which stays
    rows, columns = y[cloth][order], x[cloth][order]
    patch, sheet = np.zeros_like(canvas), np.zeros_like(cover)
    sheet[rows, columns] = 1
    patch[rows, columns] = colours[cloth][order]
    patch, sheet = _closed(patch, sheet)
    eaten = round(look.erode * side * fine)
    if eaten:
        sheet = cv2.erode(sheet, np.ones((2 * (eaten // 2) + 1,) * 2, np.uint8)).astype(np.float32)
    canvas, cover = np.where(sheet[..., None] > 0, patch, canvas), np.maximum(cover, sheet)
    weight = cv2.resize(cover, (side, side), interpolation=cv2.INTER_AREA)
    mixed = cv2.resize(canvas * cover[..., None], (side, side), interpolation=cv2.INTER_AREA)
    return mixed / np.maximum(weight, 1e-6)[..., None], weight


def _surface(shape: Shape, look: Look, across: np.ndarray, down: np.ndarray) -> np.ndarray:
    """Points of the mask as it is worn, [..., 3]."""
    tight = 1 - 2 * look.shrink
    points = shape.surface(across * tight, 0.5 + (down - 0.5) * tight)
    points[..., 0] *= look.wide
    points[..., 1] += look.lift * (1 - down)
    return points


def _normals(surface: np.ndarray) -> np.ndarray:
    """Unit normals, to the outside, of a surface [h, w, 3]."""
    normal = np.cross(np.gradient(surface, axis=1), np.gradient(surface, axis=0))
    return normal / np.maximum(np.linalg.norm(normal, axis=-1, keepdims=True), 1e-9)


def _rolled(pose: Pose) -> np.ndarray:
    """The roll of the head, float64 [3, 3], for row vectors: the light stays where it is."""
    turn = pose.zoom / abs(pose.zoom)
    return np.array([[turn.real, turn.imag, 0], [-turn.imag, turn.real, 0], [0, 0, 1]])


def _counts(places: np.ndarray) -> tuple[int, int]:
    """How many rows and columns of cloth it takes to leave out no pixel between places [h, w, 2] of the fine picture."""
    rows, columns = (
        int(np.clip(1.1 * (places.shape[axis] - 1) * np.linalg.norm(np.diff(places, axis=axis), axis=-1).max(), 16, MOST))
        for axis in (0, 1)
    )
    return rows, columns | 1  # an odd count has a middle


def _denser(counts: tuple[int, int], places: np.ndarray, *values: np.ndarray) -> list[np.ndarray]:
    """x and y of places [h, w, 2], and values [h, w], at `counts` rows and columns in between, float32 each."""
    y, x = (np.linspace(0, size - 1, count, dtype=np.float32) for size, count in zip(places.shape, counts))
    columns, rows = np.meshgrid(x, y)
    few = [places[..., 0], places[..., 1], *values]
    return [cv2.remap(value.astype(np.float32), columns, rows, cv2.INTER_LINEAR) for value in few]


def _flat_cloth(counts: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Across (-1 to 1) and down (0 to 1), float32 [rows, columns] each."""
    across, down = np.meshgrid(np.linspace(-1, 1, counts[1], dtype=np.float32), np.linspace(0, 1, counts[0], dtype=np.float32))
    return across, down


def _draw_straps(canvas: np.ndarray, cover: np.ndarray, shape: Shape, pose: Pose, look: Look, fine: int) -> None:
    """Two straps to each ear that is seen, drawn into the fine picture."""
    thick = max(1, round(0.045 * pose.unit * fine))
    colour = tuple((0.85 * look.colours[0] + 20).clip(0, 255).tolist())
    for side in (-1, 1):
        if pose.turned(np.array([side, 0.0, 0.15]))[2] <= 0:
            continue
        for start, ear in zip(shape.straps, EARS):
            begin = _surface(shape, look, np.array(0.97 * side), np.array(start))
            end = np.array(ear) * [-side, 1, 1]
            middle = (begin + end) / 2 + np.array([0.04 * side, 0, 0])
            line = np.rint((pose.place(np.stack([begin, middle, end])) + 0.5) * fine - 0.5).astype(np.int32)
            cv2.polylines(canvas, [line], False, colour, thick)
            cv2.polylines(cover, [line], False, 1.0, thick)


def _closed(colours: np.ndarray, cover: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Without the pinholes that rounding leaves between two places of the cloth."""
    kernel = np.ones((3, 3), np.uint8)
    closed = cv2.morphologyEx(cover, cv2.MORPH_CLOSE, kernel)
    holes = (closed > 0) & (cover == 0)
    return np.where(holes[..., None], cv2.dilate(colours, kernel), colours), closed


def _light(image: np.ndarray, cover: np.ndarray, unit: float) -> np.ndarray:
    """How bright the light on the mask is, float32 [S, S]: that of the face beneath, without its features."""
    luma = (image @ LUMA).astype(np.float32)
    weight = np.maximum(cover, 1e-3)
    blur = (0, 0), max(1.0, 0.6 * unit)
    smooth = cv2.GaussianBlur(luma * weight, *blur) / cv2.GaussianBlur(weight, *blur)
    mean = float((luma * cover).sum() / cover.sum())
    return (np.clip(smooth / max(mean, 1.0), 0.6, 1.4) ** 0.7 * np.clip(mean / 125, 0.3, 1.2) ** 0.8).astype(np.float32)
