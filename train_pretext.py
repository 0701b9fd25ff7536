"""Stage 1: learn camera angle and expression (whatever attributes the photographs are labelled with) from scratch.

python train_pretext.py --config configs/triarchy.yaml --data.root DIR
"""

from pathlib import Path

from common.cli import chosen_config, read_arguments
from common.config import Config
from common.devices import seed_everything
from common.errors import run_script
from datasets.manifest import digest
from datasets.photographs.cache import open_cache
from datasets.photographs.photographs import Photographs
from datasets.readers.opening import open_reader
from recipes import PRETEXT_RECIPES
from training.checks import check_settings
from training.engine import fit
from training.locks import reserves
from training.run import Run

SHORT = {"epochs": "pretext.epochs", "lr": "pretext.lr", "batch_size": "pretext.batch_size"}
WITHOUT = ("train", "evaluate", "identify", "templates", "export")


@reserves("pretext")
def train_pretext(config: Config) -> Path:
    """Train the pretext model and return the path of its weights."""
    seed_everything(config.seed, config.threads)
    reader = open_reader(config.data)
    faces, held_out = reader.faces("train"), reader.faces("validate")
    check_settings(config, faces, "pretext")
    attributes = ", ".join(faces.attributes) or "rotation (the photographs have no attribute labels)"
    print(f"pretext: {len(faces):,} photographs, {len(held_out):,} held out; learning {attributes}")
    cache = open_cache(config.data)
    photographs = Photographs(faces, config.model.image_size, "read training photographs", cache)
    held_out_photographs = Photographs(held_out, config.model.image_size, "read held-out photographs", cache)
    recipe = PRETEXT_RECIPES.build(config.pretext.recipe, config=config, faces=faces, photographs=photographs)
    run = Run(config, "pretext", digest(faces, photographs.digest, held_out, held_out_photographs.digest))
    return fit(recipe, run, recipe.validation(held_out, held_out_photographs))


def main() -> None:
    arguments = read_arguments(__doc__, SHORT, without=WITHOUT)
    weights = train_pretext(chosen_config(arguments))
    print(f"pretext weights: {weights}")


if __name__ == "__main__":
    run_script(main)
