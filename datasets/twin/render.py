"""Ray casting on the CPU: which point of which triangle every pixel sees, and which lights that point sees."""

from typing import NamedTuple

import numpy as np
import warp as wp

FAR = 10.0  # metres


class Hits(NamedTuple):
    """What rays met. triangle: int32 [R], -1 for nothing; weights: float32 [R, 3] of the triangle's corners."""

    triangle: np.ndarray
    weights: np.ndarray


@wp.kernel
def _cast(
    mesh: wp.uint64,
    starts: wp.array[wp.vec3],
    directions: wp.array[wp.vec3],
    length: wp.float32,
    triangle: wp.array[wp.int32],
    weights: wp.array[wp.vec3],
):
    ray = wp.tid()
    hit = wp.mesh_query_ray(mesh, starts[ray], directions[ray], length)
    triangle[ray] = -1
    if hit.result:
        triangle[ray] = hit.face
        weights[ray] = wp.vec3(hit.u, hit.v, 1.0 - hit.u - hit.v)


@wp.kernel
def _shade(
    mesh: wp.uint64,
    points: wp.array[wp.vec3],
    normals: wp.array[wp.vec3],
    directions: wp.array[wp.vec3],
    length: wp.float32,
    free: wp.array2d[wp.float32],
):
    point, light = wp.tid()
    if wp.dot(normals[point], directions[light]) > 0.0:
        start = points[point] + 0.0005 * normals[point]  # off the surface that it would meet at once
        if not wp.mesh_query_ray_anyhit(mesh, start, directions[light], length):
            free[point, light] = 1.0


class Scene:
    """Triangles that rays can meet. vertices float32 [V, 3] in metres, triangles int32 [F, 3]."""

    def __init__(self, vertices: np.ndarray, triangles: np.ndarray):
        self._points = wp.array(vertices, dtype=wp.vec3, device="cpu")
        self._indices = wp.array(triangles.reshape(-1).astype(np.int32), dtype=wp.int32, device="cpu")
        self._mesh = wp.Mesh(self._points, self._indices)

    def cast(self, starts: np.ndarray, directions: np.ndarray) -> Hits:
        """The nearest hit of each ray; starts and unit directions float32 [R, 3]."""
        triangle = np.empty(len(starts), np.int32)
        weights = np.zeros((len(starts), 3), np.float32)
        arrays = [_vectors(starts), _vectors(directions), FAR, wp.array(triangle, copy=False, device="cpu"), _vectors(weights)]
        wp.launch(_cast, len(starts), [self._mesh.id, *arrays], device="cpu")
        return Hits(triangle, weights)

    def visible(self, points: np.ndarray, normals: np.ndarray, directions: np.ndarray, length: float = FAR) -> np.ndarray:
        """Whether surfaces at points [R, 3] face directions [L, 3], nothing in the way for `length` metres: float32 [R, L]."""
        free = np.zeros((len(points), len(directions)), np.float32)
        arrays = [_vectors(points), _vectors(normals), _vectors(directions), length, wp.array(free, copy=False, device="cpu")]
        wp.launch(_shade, free.shape, [self._mesh.id, *arrays], device="cpu")
        return free


def _vectors(array: np.ndarray) -> wp.array:
    """float32 [N, 3] as warp's array of vectors, without a copy where it is one already."""
    return wp.array(np.ascontiguousarray(array, np.float32), dtype=wp.vec3, copy=False, device="cpu")


def vertex_normals(vertices: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    """Unit normals, each the mean of the triangles around it weighted by their area -> float32 [V, 3]."""
    first, second, third = (vertices[triangles[:, corner]] for corner in range(3))
    faces = np.cross(second - first, third - first)
    total = np.stack(
        [np.bincount(triangles.ravel(), np.repeat(faces[:, axis], 3), minlength=len(vertices)) for axis in range(3)], axis=1
    )
    return (total / np.maximum(np.linalg.norm(total, axis=1, keepdims=True), 1e-12)).astype(np.float32)
