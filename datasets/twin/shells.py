"""What a head wears: hair, hat and mask as shells around the skull, glasses as bent wire, shoulders as an ellipsoid.

A shell is a grid over directions from the head's centre: azimuth 0 to the front and 90 to the person's left, elevation 90 to
the top, in degrees. Where a shell should end it dips under the skin, so that its edge follows the face.
"""

from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np

from datasets.twin.heads import HeadModel
from datasets.twin.noise import Noise, smoothstep
from datasets.twin.people import Hair, Person
from datasets.twin.render import Scene

AZIMUTHS = np.linspace(-180, 180, 97, dtype=np.float32)
ELEVATIONS = np.linspace(-72, 90, 55, dtype=np.float32)
DIP = -0.006  # metres under the skin
BEHIND_EYES = np.array([0.0, 0.085, 0.015], np.float32)  # from between the eyes to the head's centre
HAIRLINE = np.array([[0, 0], [35, 0], [55, -6], [66, -18], [76, -34], [86, -30], [98, -22], [116, -46], [135, -58], [180, -62]])
"""Azimuth, and elevation below the forehead's hairline, of short hair."""
HAIRLINE_LONG = np.array(
    [[0, 0], [35, 0], [55, -8], [66, -16], [76, -42], [86, -110], [98, -110], [116, -110], [135, -110], [180, -110]]
)


class Part(NamedTuple):
    """A piece of geometry. vertices: float32 [V, 3] metres; triangles: int32 [F, 3]; material: a name of studio.MATERIALS."""

    vertices: np.ndarray
    triangles: np.ndarray
    material: str


@dataclass(frozen=True)
class Skull:
    """The outside of a bare head without ears, seen from its centre. radius: float32 [elevations, azimuths], metres."""

    centre: np.ndarray
    radius: np.ndarray
    smooth: np.ndarray

    def shell(self, offset: np.ndarray, material: str, base: np.ndarray | None = None) -> Part:
        """Surface at `offset` metres over the skull (smoothed, where it lies outside), or over `base`."""
        over = np.maximum(self.radius, self.smooth) if base is None else base
        radius = np.where(offset > 0, over + offset, np.minimum(self.radius, self.smooth) + offset)
        vertices = self.centre + radius[..., None] * directions()
        above = (offset > DIP * 0.98).reshape(-1)
        triangles = grid_triangles(*radius.shape)
        used, triangles = np.unique(triangles[above[triangles].any(axis=1)], return_inverse=True)
        return Part(vertices.reshape(-1, 3)[used].astype(np.float32), triangles.reshape(-1, 3).astype(np.int32), material)


def directions() -> np.ndarray:
    """Unit vectors of the grid, float32 [elevations, azimuths, 3]."""
    azimuth, elevation = np.radians(np.meshgrid(AZIMUTHS, ELEVATIONS))
    return np.stack([np.cos(elevation) * np.sin(azimuth), -np.cos(elevation) * np.cos(azimuth), np.sin(elevation)], axis=-1)


def grid_triangles(rows: int, columns: int) -> np.ndarray:
    """Two triangles for each cell of a grid of vertices, facing outwards -> int32 [F, 3]."""
    first = (np.arange(rows - 1)[:, None] * columns + np.arange(columns - 1)).reshape(-1)
    lower = np.stack([first, first + 1, first + columns + 1], axis=1)
    upper = np.stack([first, first + columns + 1, first + columns], axis=1)
    return np.concatenate([lower, upper]).astype(np.int32)


def measure_skull(model: HeadModel, vertices: np.ndarray) -> Skull:
    """Cast rays from outside towards the centre of a neutral head."""
    centre = model.eye_centres(vertices).mean(axis=0) + BEHIND_EYES
    bare = model.regions["ears"][model.triangles].max(axis=1) < 0.3
    scene = Scene(vertices, model.triangles[bare & (model.part == 0)])
    outward = directions().reshape(-1, 3)
    hits = scene.cast((centre + 0.5 * outward).astype(np.float32), -outward.astype(np.float32))
    corners = vertices[model.triangles[bare & (model.part == 0)][hits.triangle]]
    points = (corners * hits.weights[..., None]).sum(axis=1)
    radius = np.where(hits.triangle >= 0, np.linalg.norm(points - centre, axis=1), 0.06)
    radius = radius.reshape(len(ELEVATIONS), len(AZIMUTHS)).astype(np.float32)
    around = np.concatenate([radius[:, -13:-1], radius, radius[:, 1:13]], axis=1)
    smooth = cv2.GaussianBlur(around, (0, 0), 3.0, borderType=cv2.BORDER_REPLICATE)[:, 12:-12]
    return Skull(centre.astype(np.float32), radius, smooth)


def hair_offset(hair: Hair, skull: Skull, noise: Noise) -> np.ndarray:
    """Thickness of the hair over the skull in metres, DIP where there is none -> float32 [elevations, azimuths]."""
    azimuth, elevation = np.meshgrid(AZIMUTHS, ELEVATIONS)
    side = np.abs(azimuth)
    short, long = (np.interp(side, line[:, 0], line[:, 1]) for line in (HAIRLINE, HAIRLINE_LONG))
    line = hair.forehead + short + (long - short) * smoothstep(0.3, 0.7, hair.long)
    line = line + hair.recession * np.exp(-(((side - 32) / 14) ** 2)) - 16 * hair.fringe * smoothstep(50, 30, side)
    upper = smoothstep(20, 55, elevation)
    thickness = hair.sides + (hair.top - hair.sides) * upper
    thickness = thickness * (1 + 0.25 * np.sin(np.radians(azimuth + hair.parting)))
    thickness = thickness * (1 - 0.35 * np.exp(-(((azimuth - hair.parting) / 7) ** 2)) * smoothstep(80, 60, elevation))
    bumps = noise(directions().reshape(-1, 3) * (6 + 14 * hair.curl)).reshape(thickness.shape)
    thickness = thickness * (1 + (0.25 + 0.7 * hair.curl) * (bumps - 0.4))
    inside = smoothstep(-2, 7, elevation - line)
    if hair.bald:
        inside = inside * smoothstep(42, 30, elevation + 12 * np.cos(np.radians(azimuth)))
    offset = DIP + inside * (thickness - DIP)
    if hair.long > 0.3:  # below the widest place long hair falls straight down
        level = int(np.argmin(np.abs(ELEVATIONS - 8)))
        fall = (skull.smooth[level] + 0.004 + 0.008 * hair.long + 0.5 * hair.sides) * np.cos(np.radians(ELEVATIONS[level]))
        fall = fall * (1 - 0.18 * smoothstep(-5, -50, elevation))
        straight = fall / np.maximum(np.cos(np.radians(elevation)), 0.35) - np.maximum(skull.radius, skull.smooth)
        hanging = inside * smoothstep(8, -6, elevation) * smoothstep(68, 84, side)
        offset = np.where(hanging > 0, offset + hanging * np.maximum(straight - offset, 0), offset)
    return offset.astype(np.float32)


def hat(person: Person, skull: Skull, hair: np.ndarray) -> list[Part]:
    """A beanie, or a cap with a brim."""
    azimuth, elevation = np.meshgrid(AZIMUTHS, ELEVATIONS)
    rim = _rim(azimuth)
    cover = smoothstep(-3, 3, elevation - rim)
    crown = (0.010 if person.hat == "beanie" else 0.016) * smoothstep(0, 30, elevation - rim)
    offset = DIP + cover * (np.clip(hair, 0, 0.012) + 0.006 + crown - DIP)
    parts = [skull.shell(offset.astype(np.float32), "hat")]
    if person.hat == "cap":
        columns = np.flatnonzero(np.abs(AZIMUTHS) <= 62)
        share = np.cos(np.radians(AZIMUTHS[columns] / 62 * 90))
        rows = np.abs(ELEVATIONS[:, None] - _rim(AZIMUTHS[columns])).argmin(axis=0)
        inner = skull.centre + (skull.smooth[rows, columns] + 0.008)[:, None] * directions()[rows, columns]
        outer = inner + share[:, None] * np.array([0, -0.068, -0.020]) * np.sqrt(share)[:, None]
        brim = np.stack([outer, inner]).reshape(-1, 3).astype(np.float32)
        parts.append(Part(brim, grid_triangles(2, len(columns)), "hat"))
    return parts


def _rim(azimuth: np.ndarray) -> np.ndarray:
    """Elevation, in degrees, at which a hat begins: high over the forehead, low at the neck."""
    return 16 + 12 * np.cos(np.radians(azimuth))


def mask(skull: Skull) -> list[Part]:
    """A cloth over nose, mouth and chin, with two straps to each ear."""
    azimuth, elevation = np.meshgrid(AZIMUTHS, ELEVATIONS)
    side = np.abs(azimuth)
    top = -21 + 6 * np.exp(-((side / 14) ** 2))
    inside = smoothstep(0, 3, top - elevation) * smoothstep(0, 4, elevation + 66) * smoothstep(66, 58, side)
    around = cv2.dilate(skull.radius, np.ones((5, 5), np.uint8))
    around = cv2.GaussianBlur(around, (0, 0), 1.6)
    parts = [skull.shell((DIP + inside * (0.004 - DIP)).astype(np.float32), "mask", base=np.maximum(around, skull.radius))]
    for sign in (-1, 1):
        for start in (-26, -50):
            path = [(sign * 60, start), (sign * 75, start * 0.75 - 4), (sign * 92, -14)]
            points = np.array([_over(skull, *place, lift=0.004) for place in path])
            parts.append(tube(_resample(points, 6), 0.0011, "mask"))
    return parts


def glasses(person: Person, model: HeadModel, vertices: np.ndarray, skull: Skull, dark: bool) -> list[Part]:
    """A frame fitted to the face; sunglasses are larger and have dark lenses."""
    size, aspect, roundness, thickness, _ = person.glasses
    eyes = model.eye_centres(vertices)
    width = 0.0215 + 0.005 * size + (0.003 if dark else 0)
    height = width * (0.62 + 0.3 * aspect)
    squareness = 2.0 + 2.5 * roundness
    angle = np.linspace(0, 2 * np.pi, 33)[:-1]
    loop = np.stack([np.abs(np.cos(angle)) ** (2 / squareness) * np.sign(np.cos(angle)) * width, np.zeros(32),
                     np.abs(np.sin(angle)) ** (2 / squareness) * np.sign(np.sin(angle)) * height], axis=1)  # fmt: skip
    level = (eyes[0][2] + eyes[1][2]) / 2 - 0.003
    middle = (eyes[0][0] + eyes[1][0]) / 2
    apart = max(abs(eyes[0][0] - eyes[1][0]) / 2 + 0.001, width + 0.008)
    near = (
        (np.abs(vertices[:, 2] - level) < height)
        & (np.abs(vertices[:, 0] - middle) > 0.012)
        & (np.abs(vertices[:, 0] - middle) < 0.06)
    )
    plane = vertices[near, 1].min() - 0.004
    wire = 0.0009 + 0.0016 * thickness
    parts = []
    for sign in (-1, 1):
        centre = np.array([middle + sign * apart, plane, level])
        rim = centre + loop + np.stack([0 * angle, 0.006 * (loop[:, 0] * sign / width).clip(0) ** 2, 0 * angle], axis=1)
        parts.append(tube(np.concatenate([rim, rim[:1]]), wire, "frame"))
        if dark:
            fan = np.array([[0, 1 + i, 1 + (i + 1) % 32] for i in range(32)], np.int32)
            parts.append(Part(np.concatenate([centre[None], rim]).astype(np.float32), fan, "lens"))
        hinge = centre + np.array([sign * width, 0.006, height * 0.45])
        temple = _over(skull, sign * 90, -4, lift=0.004)
        temple[1] = skull.centre[1]
        parts.append(tube(np.stack([hinge, [temple[0], hinge[1] + 0.02, hinge[2]], temple]), wire, "frame"))
    inner = apart - width
    bridge = np.array(
        [[middle - inner, plane, level + 0.004], [middle, plane - 0.003, level + 0.008], [middle + inner, plane, level + 0.004]]
    )
    return [*parts, tube(_resample(bridge, 6), wire, "frame")]


def shoulders(skull: Skull) -> Part:
    """What the neck stands in."""
    azimuth, elevation = np.radians(np.meshgrid(np.linspace(-180, 180, 33), np.linspace(-90, 90, 17)))
    ball = np.stack([np.cos(elevation) * np.sin(azimuth), -np.cos(elevation) * np.cos(azimuth), np.sin(elevation)], axis=-1)
    centre = skull.centre + np.array([0, 0.035, -0.245])
    vertices = centre + ball * np.array([0.20, 0.105, 0.115])
    return Part(vertices.reshape(-1, 3).astype(np.float32), grid_triangles(*azimuth.shape), "cloth")


def tube(points: np.ndarray, radius: float, material: str, corners: int = 6) -> Part:
    """A wire along points [N, 3]."""
    along = np.gradient(points, axis=0)
    along /= np.linalg.norm(along, axis=1, keepdims=True)
    reference = np.where(np.abs(along[:, 2:]) > 0.9, [1.0, 0.0, 0.0], [0.0, 0.0, 1.0])
    across = np.cross(along, reference)
    across /= np.linalg.norm(across, axis=1, keepdims=True)
    angle = np.linspace(0, 2 * np.pi, corners + 1)
    ring = np.cos(angle)[:, None] * across[:, None] + np.sin(angle)[:, None] * np.cross(along, across)[:, None]
    vertices = points[:, None] + radius * ring
    return Part(vertices.reshape(-1, 3).astype(np.float32), grid_triangles(len(points), corners + 1), material)


def _over(skull: Skull, azimuth: float, elevation: float, lift: float) -> np.ndarray:
    """The point `lift` metres above the skull in a direction given in degrees."""
    row, column = int(np.argmin(np.abs(ELEVATIONS - elevation))), int(np.argmin(np.abs(AZIMUTHS - azimuth)))
    radius = max(skull.radius[row, column], skull.smooth[row, column]) + lift
    return skull.centre + radius * directions()[row, column]


def _resample(points: np.ndarray, count: int) -> np.ndarray:
    place, share = np.linspace(0, len(points) - 1, count), np.arange(len(points))
    return np.stack([np.interp(place, share, points[:, axis]) for axis in range(3)], axis=1)
