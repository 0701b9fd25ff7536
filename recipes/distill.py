"""Distill: an embedder that learns, beside what the labels say, what trained networks say of the same images."""

import inspect
from collections.abc import Sequence
from typing import Any, Literal

from pydantic import NonNegativeInt
from torch import Tensor

from common.config import Config
from common.errors import InputError, listing
from common.registry import name_and_options
from datasets.manifest import Manifest
from datasets.photographs.photographs import Photographs
from losses import LOSSES
from models.backbones.backbone import output_and_maps
from recipes.metric import PROVIDED, EmbedderRecipe
from recipes.teacher import ANSWERS, Teachers, map_channels

TO_LOSSES = (*PROVIDED, *ANSWERS, "maps")
"""What a loss term may ask for: PROVIDED, the teacher's ANSWERS, and the student's maps, a list of float32 [B, C, h, w]."""


class Distill(EmbedderRecipe):
    """A teacher, or several, of weight files that train.py wrote; they are frozen, see the same augmented images, resized to
    their own image size, and leave nothing in the weights that ship (Hinton et al., arXiv 1503.02531). The loss terms say
    what is learned from them.

    teacher: a weight file, or a list of them. several: what a list is, an "ensemble", or teachers "in_turn", each for an
        equal share of the epochs (see `recipes.teacher.Teachers`).
    maps: pairs of maps that loss terms compare, {stage of the student's backbone: stage of the teacher's}.
    The others are those of every `EmbedderRecipe`.

    Of what the teacher could say, what no loss term asks for is not computed, nor is its file read for it.
    """

    def __init__(
        self,
        config: Config,
        faces: Manifest,
        photographs: Photographs,
        teacher: str | list[str],
        several: Literal["ensemble", "in_turn"] = "ensemble",
        maps: dict[str, str] | None = None,
        whiten: NonNegativeInt = 0,
        balance: str = "",
        image_sizes: Sequence[int] = (),
        steps: NonNegativeInt = 0,
    ):
        teachers, given = read_teachers(config, faces, teacher, several, maps or {})
        super().__init__(config, faces, photographs, whiten, balance, image_sizes, steps, TO_LOSSES, **given)
        self.teachers = teachers
        self.stages = list(maps or {})
        print(f"train: taught by {teachers.described()}")

    @classmethod
    def check(  # type: ignore[override]  # its own options
        cls,
        config: Config,
        faces: Manifest,
        teacher: str | list[str],
        several: Literal["ensemble", "in_turn"] = "ensemble",
        maps: dict[str, str] | None = None,
        **options: Any,
    ) -> None:
        _, given = read_teachers(config, faces, teacher, several, maps or {})
        super().check(config, faces, **options, provided=TO_LOSSES, **given)

    def on_epoch_start(self, epoch: int) -> None:
        super().on_epoch_start(epoch)
        self.teachers.on_epoch_start(epoch, self.epochs)

    def answers(self, images: Tensor, shown: Tensor) -> dict[str, Any]:
        output, maps = output_and_maps(self.network.backbone, images, self.stages)
        own: dict[str, Any] = {"embeddings": self.network.head(output).float()}
        if self.stages:
            own["maps"] = [maps[name].float() for name in self.stages]
        return own | self.teachers(shown)

    def notes(self) -> dict[str, Any]:
        return {"teacher_digests": self.teachers.present_digests()}

    def teacher_digests(self) -> dict[str, str]:
        return self.teachers.digests


def read_teachers(
    config: Config, faces: Manifest, teacher: str | list[str], several: Literal["ensemble", "in_turn"], maps: dict[str, str]
) -> tuple[Teachers, dict[str, Any]]:
    """The teachers, and what is known of them that the constructors of loss terms may ask for. Raises InputError for what does
    not go together, before and after reading their files."""
    asked = [name for name in TO_LOSSES if name in asked_for(config)]
    if not set(asked) & set(ANSWERS):
        raise InputError(
            f"train.recipe is distill, and no loss term asks for what a teacher says ({listing(ANSWERS)}); add one to"
            f" train.terms, or take the recipe metric"
        )
    if bool(maps) != bool({"maps", "teacher_maps"} & set(asked)):
        raise InputError(
            "train.recipe.maps pairs maps, and no loss term compares any; leave it out, or add such a term to train.terms"
            if maps
            else "loss terms compare maps; train.recipe.maps should pair them, as {stage of the student: stage of the teacher}"
        )
    own = map_channels(config.model, list(maps), "the student")
    paths = [teacher] if isinstance(teacher, str) else teacher
    teachers = Teachers(config, faces.identities, paths, several, asked, list(maps.values()))
    return teachers, {"teacher_size": teachers.size, "map_channels": list(zip(own, teachers.channels, strict=True))}


def asked_for(config: Config) -> set[str]:
    """The names of all that the loss terms in the settings ask for at each step. Raises InputError for an unknown term."""
    terms = [name_and_options(term)[0] for term in config.train.terms]
    return {name for term in terms for name in inspect.signature(LOSSES[term].forward).parameters}  # type: ignore[attr-defined]
