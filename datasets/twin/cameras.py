"""Where the camera stands: the competition's arc of yaw angles, each time a little off."""

from dataclasses import dataclass

import numpy as np

from datasets.readers.competition import ANGLES

DISTANCE = 1.25  # metres from camera to head
HALF_VIEW = 0.120  # metres from the middle of the picture to its edge, at the head
HEAD_AIM = np.array([0.0, 0.028, -0.028])  # from between the eyes to what cameras look at


@dataclass(frozen=True)
class Camera:
    """A pinhole camera that looks at `target`. Angles in degrees, lengths in metres.

    Yaw is negative towards the person's right and positive towards the person's left: from C13, at +90, one sees the left
    ear, and the nose points to the left edge of the picture.
    """

    target: np.ndarray
    yaw: float
    pitch: float = 0.0
    roll: float = 0.0
    distance: float = DISTANCE

    @property
    def position(self) -> np.ndarray:
        yaw, pitch = np.radians([self.yaw, self.pitch])
        return self.target + self.distance * np.array([np.sin(yaw) * np.cos(pitch), -np.cos(yaw) * np.cos(pitch), np.sin(pitch)])

    @property
    def axes(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Unit vectors to the right of the picture, to its top, and forward."""
        forward = (self.target - self.position) / self.distance
        right = np.cross(forward, [0.0, 0.0, 1.0])
        right /= np.linalg.norm(right)
        up, roll = np.cross(right, forward), np.radians(self.roll)
        return right * np.cos(roll) + up * np.sin(roll), up * np.cos(roll) - right * np.sin(roll), forward

    def rays(self, side: int) -> np.ndarray:
        """Unit directions through the pixels of a side x side picture, row by row -> float32 [side * side, 3]."""
        right, up, forward = self.axes
        place = ((np.arange(side) + 0.5) / side * 2 - 1) * HALF_VIEW
        across, down = np.meshgrid(place, place)
        rays = forward * DISTANCE + across[..., None] * right - down[..., None] * up
        return (rays / np.linalg.norm(rays, axis=-1, keepdims=True)).reshape(-1, 3).astype(np.float32)

    def project(self, points: np.ndarray) -> np.ndarray:
        """Places in the picture of points [N, 3] -> [N, 2], x to the right and y down, -1 to 1 within the frame."""
        right, up, forward = self.axes
        offsets = points - self.position
        depth = offsets @ forward
        return np.stack([offsets @ right, -(offsets @ up)], axis=1) / depth[:, None] * DISTANCE / HALF_VIEW


def draw_camera(camera: str, target: np.ndarray, random: np.random.Generator) -> Camera:
    """The competition's camera, jittered in yaw, pitch, roll, distance and aim."""
    return Camera(
        target + random.normal(0, 0.004, 3),
        ANGLES[camera] + float(np.clip(random.normal(0, 2.0), -5, 5)),
        pitch=random.normal(2, 2.5),
        roll=random.normal(0, 1.5),
        distance=DISTANCE * random.uniform(0.93, 1.08),
    )
