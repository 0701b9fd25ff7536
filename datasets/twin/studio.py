"""From a person and the conditions of a shot to a photograph."""

from dataclasses import dataclass
from functools import cached_property, lru_cache

import cv2
import numpy as np

from datasets.twin import shells
from datasets.twin.cameras import HEAD_AIM, Camera, draw_camera
from datasets.twin.expressions import draw_actions
from datasets.twin.heads import HeadModel
from datasets.twin.lights import Lighting, draw_lighting
from datasets.twin.noise import Noise
from datasets.twin.paint import Paint
from datasets.twin.people import Person, draw_person, linear
from datasets.twin.render import Scene, vertex_normals
from datasets.twin.shells import Part, Skull
from datasets.twin.shots import Shot, draw_stream

SUPERSAMPLING = 1.5  # rays for each pixel of the photograph, along a side
SKIN, EYE, MOUTH, HAIR, HAT, MASK, FRAME, LENS, CLOTH = range(9)
MATERIALS = {"hair": HAIR, "hat": HAT, "mask": MASK, "frame": FRAME, "lens": LENS, "cloth": CLOTH}
SHINE = np.array([0.10, 0.3, 0.25, 0.16, 0.02, 0.02, 0.5, 0.5, 0.02], np.float32)  # strength of the highlight by material
SHARPNESS = np.array([14, 400, 40, 24, 6, 6, 60, 120, 6], np.float32)
WRAP = np.array([0.30, 0.14, 0.10], np.float32)  # how far light creeps around skin, by colour: red goes deepest
OCCLUSION_RAYS, OCCLUSION_LENGTH = 20, 0.06
GREY = 0.24  # linear brightness that the camera's exposure aims the head at


@dataclass(frozen=True)
class Look:
    """Everything about one person that does not depend on the shot."""

    person: Person
    vertices: np.ndarray  # neutral
    skull: Skull
    hair: np.ndarray  # thickness over the skull
    paint: Paint


@dataclass(frozen=True)
class Costume:
    """What a person wears in a session, and how open each vertex then is to the room's light, float32 [V]."""

    parts: list[Part]
    openness: np.ndarray


class Studio:
    """Photographs of the population `seed`. The same (seed, person, shot) gives the same photograph.

    Raises InputError where the packages that the twin's heads need are not installed.
    """

    def __init__(self, seed: int, image_size: int = 112):
        self.seed = seed
        self.image_size = image_size
        self.model = HeadModel()
        self.look = lru_cache(maxsize=2)(self._look)
        self.costume = lru_cache(maxsize=8)(self._costume)

    def photograph(self, person: int, shot: Shot) -> np.ndarray:
        """One photograph, uint8 RGB [image_size, image_size, 3]."""
        random = draw_stream(self.seed, person, shot)
        look, costume = self.look(person), self.costume(person, shot.session)
        camera = draw_camera(shot.camera, self.eye_middle(look.vertices) + HEAD_AIM, random)  # the first draw: see camera()
        lighting = draw_lighting(shot.light, random)
        vertices = self.model.express(look.vertices, draw_actions(shot.expression, random))
        light = self._light(look, costume, vertices, camera, lighting, random)
        return develop(light, self.image_size, random)

    def camera(self, person: int, shot: Shot) -> Camera:
        """The camera that takes the photograph."""
        return draw_camera(
            shot.camera, self.eye_middle(self.look(person).vertices) + HEAD_AIM, draw_stream(self.seed, person, shot)
        )

    def eye_middle(self, vertices: np.ndarray) -> np.ndarray:
        """The point between the eyeballs, float32 [3]."""
        return self.model.eye_centres(vertices).mean(axis=0)

    def _look(self, number: int) -> Look:
        person = draw_person(self.seed, number, self.model.local_labels)
        vertices = self.model.shape(person.face)
        skull = shells.measure_skull(self.model, vertices)
        hair = shells.hair_offset(person.hair, skull, Noise(person.texture + 1))
        return Look(person, vertices, skull, hair, Paint(person, self._mole_places(person.moles)))

    def _mole_places(self, moles: np.ndarray) -> np.ndarray:
        candidates = self.front_of_face[(moles[:, 0] * len(self.front_of_face)).astype(int)]
        return candidates + (moles[:, 1:2] - 0.5) * 0.004

    @cached_property
    def front_of_face(self) -> np.ndarray:
        """Places of the average head where a mole would be seen."""
        place = self.model.template
        return place[(place[:, 1] < -0.06) & (place[:, 2] > 0.04) & (place[:, 2] < 0.18) & (self.model.regions["lips"] < 0.1)]

    def _costume(self, number: int, session: str) -> Costume:
        look = self.look(number)
        parts = [shells.shoulders(look.skull)]
        if session == "S004":
            parts += [look.skull.shell(np.minimum(look.hair, 0.006), "hair"), *shells.hat(look.person, look.skull, look.hair)]
        else:
            parts.append(look.skull.shell(look.hair, "hair"))
        if session in ("S002", "S003"):
            parts += shells.glasses(look.person, self.model, look.vertices, look.skull, dark=session == "S003")
        if session == "S005":
            parts += shells.mask(look.skull)
        vertices, triangles, normals = self._assemble(look.vertices, parts)
        openness = np.ones(len(vertices), np.float32)
        below = slice(0, len(look.vertices) + len(parts[0].vertices))  # head and shoulders; what is worn lies open
        openness[below] = _openness(Scene(vertices, triangles), vertices[below], normals[below])
        return Costume(parts, openness)

    def _assemble(self, head: np.ndarray, parts: list[Part]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Vertices, triangles and normals of the head and all that it wears."""
        vertices, triangles, start = [head], [self.model.triangles], len(head)
        for part in parts:
            vertices.append(part.vertices)
            triangles.append(part.triangles + start)
            start += len(part.vertices)
        normals = [
            vertex_normals(own, indices) for own, indices in zip(vertices, [self.model.triangles, *(p.triangles for p in parts)])
        ]
        return np.concatenate(vertices), np.concatenate(triangles), np.concatenate(normals)

    def _light(
        self, look: Look, costume: Costume, head: np.ndarray, camera: Camera, lighting: Lighting, random: np.random.Generator
    ) -> np.ndarray:
        """Linear light that reaches the camera, float32 [side, side, 3] at the supersampled size."""
        side = round(self.image_size * SUPERSAMPLING)
        vertices, triangles, normals = self._assemble(head, costume.parts)
        scene = Scene(vertices, triangles)
        rays = camera.rays(side)
        hits = scene.cast(np.broadcast_to(camera.position.astype(np.float32), rays.shape), rays)
        seen = np.flatnonzero(hits.triangle >= 0)
        corners, weights = triangles[hits.triangle[seen]], hits.weights[seen]

        def blend(values: np.ndarray) -> np.ndarray:
            return np.einsum("nc...,nc->n...", values[corners], weights)

        points, normal, view = blend(vertices), blend(normals), -rays[seen]
        normal /= np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-6)
        normal *= np.where((normal * view).sum(axis=1, keepdims=True) < -0.2, -1, 1)
        material = self._materials(costume)[hits.triangle[seen]]
        eye = material == EYE
        outward = self._from_eye_centre(look, points[eye])
        normal[eye] = outward  # eyeballs have few vertices; a round one has the small highlight of an eye
        colour = self._colours(look, material, corners, weights, points, outward, random)
        light = _illuminate(scene, lighting, points, normal, view, colour, material, blend(costume.openness))
        exposure = (GREY / max(float(light[material <= HAIR].mean()), 1e-3)) ** 0.6 * random.uniform(0.85, 1.15)
        picture = _background(side, random)
        picture[seen] = light * exposure
        return picture.reshape(side, side, 3)

    def _materials(self, costume: Costume) -> np.ndarray:
        """Material of each triangle, int [F]."""
        worn = [np.full(len(part.triangles), MATERIALS[part.material]) for part in costume.parts]
        return np.concatenate([self.model.part, *worn])

    def _from_eye_centre(self, look: Look, points: np.ndarray) -> np.ndarray:
        """Unit directions from the centre of the eyeball that each point is on, float [N, 3]."""
        centres = self.model.eye_centres(look.vertices)
        left = points[:, 0] > centres[:, 0].mean()
        return _unit(points - np.where(left[:, None], centres[0], centres[1]))

    def _colours(
        self,
        look: Look,
        material: np.ndarray,
        corners: np.ndarray,
        weights: np.ndarray,
        points: np.ndarray,
        from_eye: np.ndarray,
        random: np.random.Generator,
    ) -> np.ndarray:
        """Linear RGB of every point that is seen, float32 [N, 3]; from_eye: the directions of those on an eye."""
        person, colour = look.person, np.zeros((len(material), 3), np.float32)
        cloth = linear(_muted(random))
        frame = linear(np.array([30, 26, 24]) + 150 * max(0.0, float(person.glasses[4]) - 0.6))
        plain = {HAT: person.hat_colour, MASK: linear(random.choice([[215, 217, 220], [140, 180, 205], [30, 30, 34]])),
                 FRAME: frame, LENS: linear([18, 18, 22]), CLOTH: cloth, MOUTH: linear([96, 40, 40])}  # fmt: skip
        for number, value in plain.items():
            colour[material == number] = value
        skin = np.flatnonzero(material == SKIN)
        if len(skin):
            own, share = corners[skin], weights[skin]
            place = np.einsum("ncx,nc->nx", self.model.template[own], share)
            lips, lids = ((self.model.regions[name][own] * share).sum(axis=1) for name in ("lips", "eyelids"))
            colour[skin] = look.paint.skin(place, lips, lids)
        hair = np.flatnonzero(material == HAIR)
        if len(hair):
            outward = points[hair] - look.skull.centre
            colour[hair] = look.paint.hair(outward / np.linalg.norm(outward, axis=1, keepdims=True))
        gaze = _unit(np.array([random.normal(0, 0.06), -1.0, random.normal(-0.02, 0.05)]))
        colour[material == EYE] = look.paint.eye(*_eye_angles(from_eye, gaze))
        return colour.clip(0, 1)


def develop(light: np.ndarray, side: int, random: np.random.Generator) -> np.ndarray:
    """What the camera makes of linear light: lens blur, exposure curve, sensor noise -> uint8 RGB [side, side, 3]."""
    light = cv2.GaussianBlur(light, (0, 0), SUPERSAMPLING * random.uniform(0.25, 0.6))
    light = cv2.resize(light, (side, side), interpolation=cv2.INTER_AREA)
    light = light * (1 + 0.15 * light) / (1 + 0.75 * light)  # highlights roll off as on film
    picture = np.where(light <= 0.0031308, light * 12.92, 1.055 * np.maximum(light, 0.0031308) ** (1 / 2.4) - 0.055) * 255
    picture = picture + random.normal(0, random.uniform(0.5, 2.0), picture.shape)
    return picture.round().clip(0, 255).astype(np.uint8)


def _illuminate(
    scene: Scene,
    lighting: Lighting,
    points: np.ndarray,
    normal: np.ndarray,
    view: np.ndarray,
    colour: np.ndarray,
    material: np.ndarray,
    openness: np.ndarray,
) -> np.ndarray:
    """Light that points send to the camera: what they scatter of each lamp and of the room, and the lamps' highlights."""
    shadow = scene.visible(points, normal, lighting.directions[:1])[:, 0]
    skin = (material == SKIN)[:, None]
    up = 0.75 + 0.25 * normal[:, 2:]
    scattered = lighting.room * openness[:, None] * up
    shining = np.zeros_like(colour)
    for direction, strength, visible in zip(lighting.directions, lighting.colours, (shadow, openness)):  # a fill light is large
        facing = (normal @ direction)[:, None]
        wrap = np.where(skin, WRAP, 0.0)
        lit = np.maximum((facing + wrap) / (1 + wrap), 0) * np.where(facing > 0, visible[:, None], openness[:, None])
        scattered = scattered + strength * lit
        half = _unit(view + direction)
        glint = np.maximum((normal * half).sum(axis=1), 0) ** SHARPNESS[material]
        shining += (SHINE[material] * glint * visible * np.maximum(facing[:, 0], 0))[:, None] * strength
    return (colour * scattered / np.pi * 1.6 + 0.4 * shining).astype(np.float32)


def _openness(scene: Scene, vertices: np.ndarray, normals: np.ndarray) -> np.ndarray:
    """Share of the sky, weighted by the cosine, that nothing within some centimetres hides from a vertex (ambient occlusion)."""
    index = np.arange(OCCLUSION_RAYS) + 0.5
    height, turn = 1 - 2 * index / OCCLUSION_RAYS, np.pi * (1 + 5**0.5) * index  # Fibonacci's sphere
    ring = np.sqrt(1 - height**2)
    sky = np.stack([ring * np.cos(turn), ring * np.sin(turn), height], axis=1).astype(np.float32)
    cosine = np.maximum(normals @ sky.T, 0)
    free = scene.visible(vertices, normals, sky, OCCLUSION_LENGTH)
    return ((free * cosine).sum(axis=1) / np.maximum(cosine.sum(axis=1), 1e-6)).astype(np.float32)


def _eye_angles(outward: np.ndarray, gaze: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Angle from the gaze and turn about it, in radians, of unit directions from an eyeball's centre [N, 3]."""
    right = _unit(np.cross(gaze, [0.0, 0.0, 1.0]))
    return np.arccos(np.clip(outward @ gaze, -1, 1)), np.arctan2(outward @ np.cross(right, gaze), outward @ right)


def _background(side: int, random: np.random.Generator) -> np.ndarray:
    """A wall, mostly plain, softly lit, out of focus -> float32 [side * side, 3]."""
    first, second = linear(_muted(random)), linear(_muted(random))
    clouds = cv2.resize(random.random((4, 4)).astype(np.float32), (side, side), interpolation=cv2.INTER_CUBIC)
    slope = np.linspace(-1, 1, side, dtype=np.float32) * random.normal(0, 0.3)
    share = np.clip(random.uniform(0, 0.6) * clouds + slope[:, None] + 0.2, 0, 1)
    return (first + (second - first) * share[..., None]).reshape(-1, 3).astype(np.float32).clip(0, 1)


def _muted(random: np.random.Generator) -> np.ndarray:
    """A colour as walls and clothes have it, sRGB [3]."""
    return (random.uniform(25, 225) + random.normal(0, 22, 3)).clip(5, 245)


def _unit(vector: np.ndarray) -> np.ndarray:
    return vector / np.linalg.norm(vector, axis=-1, keepdims=True)
