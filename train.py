"""Stage 2: learn identities, from the pretext's backbone. The settings decide between Triarchy, the baseline and others.

python train.py --config configs/triarchy.yaml --data.root DIR --pretrained_weight results/train/weights/triarchy-pretext.pt
"""

import dataclasses
from contextlib import ExitStack
from pathlib import Path

from common.cli import chosen_config, read_arguments
from common.config import Config
from common.devices import seed_everything
from common.errors import run_script
from datasets.manifest import digest
from datasets.photographs.cache import open_cache
from datasets.photographs.photographs import Photographs
from datasets.readers.opening import check_same_split, open_reader
from models.weights import WEIGHT_KINDS, file_digest, load_weights, trained_on
from recipes import TRAIN_RECIPES
from training.checks import check_settings
from training.engine import fit
from training.locks import reserved_runs
from training.run import Run
from training.run_files import further_training, generations
from verification.validation import Validation

SHORT = {
    "epochs": "train.epochs",
    "lr": "train.lr",
    "batch_size": "train.batch_size",
    "num_instances": "train.num_instances",
    "pretrained_weight": "train.pretrained_weight",
}
WITHOUT = ("pretext", "evaluate", "identify", "templates", "export")


def train(config: Config) -> Path:
    """Train the embedder, in as many generations as wanted, and return the path of the weights of the last that validate best,
    threshold included."""
    with ExitStack() as stack:
        for generation in generations(config):
            stack.enter_context(reserved_runs(generation, "train"))
        weights = Path()
        for number, generation in enumerate(generations(config)):
            start = str(further_training(weights)) if number else config.train.pretrained_weight
            stage = dataclasses.replace(generation.train, pretrained_weight=start)
            weights = train_once(dataclasses.replace(generation, train=stage))
    return weights


def train_once(config: Config) -> Path:
    """Train one generation, whose run is reserved, and return the path of its weights."""
    seed_everything(config.seed, config.threads)
    reader = open_reader(config.data)
    faces, pairs = reader.faces("train"), reader.pairs("validate")
    check_settings(config, faces, "train")
    pairs = pairs.where(pairs.answered)
    known = reader.faces("validate").of_files(pairs.file_names)
    start = config.train.pretrained_weight
    if start:
        check_same_split(trained_on(load_weights(start, WEIGHT_KINDS)), config.data, repr(start))
    people = f"{len(faces.identities):,} people, {len(faces):,} photographs"
    print(f"train: {people}, starting from {start or 'scratch'}; {len(pairs):,} pairs validate")
    cache = open_cache(config.data)
    photographs = Photographs(faces, config.model.image_size, "read training photographs", cache)
    held_out = Photographs(known, config.model.image_size, "read validation photographs", cache)
    recipe = TRAIN_RECIPES.build(config.train.recipe, config=config, faces=faces, photographs=photographs)
    data_digest = digest(faces, photographs.digest, pairs, held_out.digest)
    run = Run(config, "train", data_digest, file_digest(start) if start else None, recipe.teacher_digests())
    return fit(recipe, run, Validation(pairs, held_out, config) if len(pairs) else None)


def main() -> None:
    arguments = read_arguments(__doc__, SHORT, without=WITHOUT)
    weights = train(chosen_config(arguments))
    print(f"embedder weights: {weights}")


if __name__ == "__main__":
    run_script(main)
