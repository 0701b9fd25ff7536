"""How many epochs a budget of images or seconds allows.

python -m benchmarks.leaderboard.budget settings.yaml    # {"train": seconds per epoch}, with a pretext {"pretext": ..., ...}
"""

import argparse
import dataclasses
import json
import time
from collections.abc import Callable
from functools import cache
from itertools import chain, islice, repeat
from typing import Any

import torch

from benchmarks.leaderboard.experiment import Budget
from common.config import Config, DataConfig, read_config
from common.devices import channels_last, choose_device, seed_everything
from common.errors import InputError, run_script
from datasets.manifest import Manifest
from datasets.photographs.cache import open_cache
from datasets.photographs.photographs import Photographs
from datasets.readers.opening import open_reader
from models.embedder import shapes_only
from recipes import PRETEXT_RECIPES, TRAIN_RECIPES
from recipes.recipe import Recipe
from training.ema import WeightAverage
from training.engine import step
from training.optimisers import OPTIMIZERS

WARM, TIMED = 2, 6  # steps
MOST_EPOCHS = 1_000_000  # as the settings have it
Pace = dict[str, float]
"""Seconds that an epoch of each stage takes."""


def stages(config: Config) -> list[str]:
    """What run.py will train: ["pretext", "train"], or "train" alone where the pretext is skipped."""
    with_pretext = config.pretext.epochs and not config.train.pretrained_weight
    return [*(["pretext"] if with_pretext else []), "train"]


def with_epochs(config: Config, budget: Budget, pace: Callable[[], Pace]) -> tuple[Config, int]:
    """The row's configuration with as many training epochs as the budget allows beside the pretext, validated once, at the
    end, and the images that it will have seen, those of the pretext included.

    pace: measures it; asked only for a budget of seconds. Raises InputError if the budget is less than one epoch.
    """
    images = {section: images_per_epoch(config, section) for section in stages(config)}
    if budget.seconds is None:
        limit, spent, unit = float(budget.images or 0), {name: float(count) for name, count in images.items()}, "images"
    else:
        limit, spent, unit = budget.seconds, pace(), "seconds"
    left = limit - config.pretext.epochs * spent.get("pretext", 0.0)
    needed = config.train.generations * spent["train"]  # of one epoch in each generation
    epochs = min(MOST_EPOCHS, int(left // needed))
    if epochs < 1:
        raise InputError(f"the budget leaves {_number(left)} {unit} to train with, and one epoch takes {_number(needed)}")
    train = dataclasses.replace(config.train, epochs=epochs, validate_every=epochs, save_every=max(1, epochs // 5))
    seen = config.pretext.epochs * images.get("pretext", 0) + config.train.generations * epochs * images["train"]
    return dataclasses.replace(config, train=train), seen


def _number(value: float) -> str:
    return f"{value:,.0f}" if value == round(value) or abs(value) >= 100 else f"{value:.3g}"


def images_per_epoch(config: Config, section: str) -> int:
    """section: "pretext" or "train"."""
    config = dataclasses.replace(config, train=dataclasses.replace(config.train, pretrained_weight=""))  # which changes none
    faces, photographs = training_faces(config.data), _photographs(_key(config.data), config.model.image_size)
    with shapes_only():  # the network takes no memory: only the sampler counts
        recipe = _recipe(config, faces, photographs, section)
    return recipe.steps_per_epoch * recipe.images_per_step


def measure(config: Config) -> Pace:
    """Seconds that an epoch of each stage takes here, by some steps after the first ones."""
    seed_everything(config.seed, config.threads)
    return {section: _seconds_per_epoch(config, section) for section in stages(config)}


def _seconds_per_epoch(config: Config, section: str) -> float:
    stage, device = getattr(config, section), choose_device(config.device)
    photographs = _photographs(_key(config.data), config.model.image_size)
    recipe = _recipe(config, training_faces(config.data), photographs, section).train()
    channels_last(recipe).to(device)
    recipe.average = WeightAverage(recipe.network, stage.ema) if stage.ema else None
    optimizer = OPTIMIZERS.build(stage.optimizer, groups=recipe.parameter_groups(), lr=stage.lr)
    recipe.on_epoch_start(0)
    batches = chain.from_iterable(map(recipe.loader, repeat(0)))  # an epoch may have fewer
    started = 0.0
    for number, batch in enumerate(islice(batches, WARM + TIMED)):
        if number == WARM:
            started = _now(device)
        step(recipe, recipe, optimizer, batch, stage.clip)
    return recipe.steps_per_epoch * (_now(device) - started) / TIMED


def _now(device: torch.device) -> float:
    """Seconds, once the device has done what it was asked to do."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


def training_faces(data: DataConfig) -> Manifest:
    """The photographs to train on, read once."""
    return _faces(_key(data))


def _key(data: DataConfig) -> str:
    return json.dumps(dataclasses.asdict(data), sort_keys=True)


@cache
def _faces(key: str) -> Manifest:
    return open_reader(DataConfig(**json.loads(key))).faces("train")


@cache  # a file that is mapped into memory, so that all rows of one image size share it
def _photographs(key: str, side: int) -> Photographs:
    return Photographs(_faces(key), side, "read training photographs", open_cache(DataConfig(**json.loads(key))))


def _recipe(config: Config, faces: Manifest, photographs: Photographs, section: str) -> Recipe:
    recipes = {"pretext": PRETEXT_RECIPES, "train": TRAIN_RECIPES}[section]
    given: dict[str, Any] = {"config": config, "faces": faces, "photographs": photographs}
    return recipes.build(getattr(config, section).recipe, **given)


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("settings", metavar="FILE", help="YAML file of settings, as for run.py")
    print(json.dumps(measure(read_config([parser.parse_args(argv).settings]))))


if __name__ == "__main__":
    run_script(main, "the same command starts anew")
