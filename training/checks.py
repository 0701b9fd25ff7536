"""Settings tried out before the first photograph is decoded: a wrong one must not be found after hours of training."""

import math

import torch

from common.config import MOST_IMAGES, Config
from common.errors import InputError
from datasets.batches.augment import Augmentation
from datasets.manifest import Manifest
from distributed.processes import world_size
from recipes import PRETEXT_RECIPES, TRAIN_RECIPES
from recipes.recipe import Recipe
from training.optimisers import OPTIMIZERS
from training.schedules import SCHEDULES

RECIPES = {"pretext": PRETEXT_RECIPES, "train": TRAIN_RECIPES}
GIVEN = ("config", "faces", "photographs")


def check_settings(config: Config, faces: Manifest, *sections: str) -> None:
    """Try out what the settings of the stages `sections`, "pretext" or "train", name. Raises InputError.

    faces: those to train on. Nothing is decoded and no random generator moves.
    """
    for section in sections:
        stage = getattr(config, section)
        _check_batch(config, section, len(faces.identities))
        OPTIMIZERS.build(stage.optimizer, groups=[{"params": [torch.nn.Parameter(torch.zeros(1))]}], lr=stage.lr)
        if stage.epochs:
            if stage.keep_every > stage.epochs:
                raise InputError(
                    f"{section}.keep_every is {stage.keep_every} and {section}.epochs is {stage.epochs}, so that no epoch would"
                    f" be kept; it should be at most that, or 0"
                )
            SCHEDULES.build(stage.schedule, epochs=stage.epochs)
        Augmentation(stage.augment, config.model.image_size).check_faces(faces)
        name, options = RECIPES[section].check(stage.recipe, GIVEN)
        recipe: type[Recipe] = RECIPES[section][name]  # type: ignore[assignment]  # a registry holds any constructors
        recipe.check(config, faces, **options)


def _check_batch(config: Config, section: str, people: int) -> None:
    stage = getattr(config, section)
    factors = {"batch_size": stage.batch_size}
    if section == "train":
        factors["num_instances"] = stage.num_instances
    images = math.prod(factors.values())
    product = " x ".join(f"{section}.{name} = {value}" for name, value in factors.items())
    if section == "train" and min(stage.batch_size, people) * stage.num_instances > MOST_IMAGES:
        raise InputError(f"{product} asks for more than {MOST_IMAGES:,} images a batch, with {people:,} people; lower either")
    if stage.epochs and images % world_size():
        raise InputError(
            f"{product} is {images} images a batch, which {world_size()} processes cannot share evenly; it should be a"
            f" multiple of {world_size()}"
        )
