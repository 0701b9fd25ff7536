"""How many epochs a budget of images or seconds allows."""

import dataclasses
import json
import subprocess
import sys
import time
from functools import cache
from itertools import chain, islice, repeat
from pathlib import Path
from typing import Any

from benchmarks.leaderboard.experiment import Budget
from common.config import Config, DataConfig, read_config
from common.devices import seed_everything
from common.errors import InputError, run_script
from datasets.manifest import Manifest
from datasets.photographs.cache import open_cache
from datasets.photographs.photographs import Photographs
from datasets.readers.opening import open_reader
from models.embedder import shapes_only
from recipes import PRETEXT_RECIPES, TRAIN_RECIPES
from recipes.recipe import Recipe
from training.engine import step
from training.optimisers import OPTIMIZERS

ROOT = Path(__file__).resolve().parents[2]
WARM, TIMED = 2, 6  # steps


def with_epochs(config: Config, budget: Budget, settings: Path) -> tuple[Config, int]:
    """The row's configuration with as many training epochs as the budget allows, validated once, at the end, and the images
    that it will have seen, those of the pretext included.

    settings: the file that holds the configuration, for a measurement in a process of its own.
    Raises InputError if the budget is less than one epoch.
    """
    before, images = pretext_images(config), images_per_epoch(config)
    epoch: float = images
    if budget.images is not None:
        left, unit = float(budget.images - before), "images"
    else:
        assert budget.seconds is not None  # one of the two is there
        epoch, left, unit = seconds_per_epoch(settings), budget.seconds, "seconds"
    epochs = int(left // epoch)
    if not epochs:
        raise InputError(f"the budget leaves {left:,.0f} {unit} to train with, and one epoch takes {epoch:,.0f}")
    train = dataclasses.replace(config.train, epochs=epochs, validate_every=epochs, save_every=max(1, epochs // 5))
    return dataclasses.replace(config, train=train), before + epochs * images


def images_per_epoch(config: Config) -> int:
    with shapes_only():  # the network takes no memory: only the sampler counts
        recipe = _recipe(config, _faces(_key(config.data)), "train")
    return recipe.steps_per_epoch * recipe.images_per_step


def pretext_images(config: Config) -> int:
    """Images that the pretext sees; 0 without one."""
    if not config.pretext.epochs:
        return 0
    with shapes_only():
        recipe = _recipe(config, _faces(_key(config.data)), "pretext")
    return config.pretext.epochs * recipe.steps_per_epoch * recipe.images_per_step


def seconds_per_epoch(settings: Path) -> float:
    """Measured in a process of its own, which the training's own process then resembles. Raises InputError."""
    command = [sys.executable, "-m", "benchmarks.leaderboard.budget", str(settings)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if done.returncode:
        raise InputError(done.stderr.strip().splitlines()[-1] if done.stderr.strip() else "its pace cannot be measured")
    return float(json.loads(done.stdout.splitlines()[-1]))


def measure(settings: str) -> float:
    """Seconds that an epoch of training takes here, by some steps after the first ones."""
    config = read_config([settings])
    seed_everything(config.seed, config.threads)
    recipe = _recipe(config, _faces(_key(config.data)), "train").train()
    optimizer = OPTIMIZERS.build(config.train.optimizer, groups=recipe.parameter_groups(), lr=config.train.lr)
    recipe.on_epoch_start(0)
    batches = chain.from_iterable(map(recipe.loader, repeat(0)))  # an epoch may have fewer
    for number, batch in enumerate(islice(batches, WARM + TIMED)):
        if number == WARM:
            started = time.perf_counter()
        step(recipe, recipe, optimizer, batch, config.train.clip)
    return recipe.steps_per_epoch * (time.perf_counter() - started) / TIMED


def _key(data: DataConfig) -> str:
    return json.dumps(dataclasses.asdict(data), sort_keys=True)


@cache
def _faces(key: str) -> Manifest:
    return open_reader(DataConfig(**json.loads(key))).faces("train")


def _recipe(config: Config, faces: Manifest, section: str) -> Recipe:
    recipes = {"pretext": PRETEXT_RECIPES, "train": TRAIN_RECIPES}[section]
    photographs = Photographs(faces, config.model.image_size, "read training photographs", open_cache(config.data))
    given: dict[str, Any] = {"config": config, "faces": faces, "photographs": photographs}
    return recipes.build(getattr(config, section).recipe, **given)


if __name__ == "__main__":
    run_script(lambda: print(json.dumps(measure(sys.argv[1]))))
