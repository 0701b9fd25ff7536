"""The whole solution in one process, from photographs to the submission: pretext, training, evaluation.

    python run.py                                              # AT&T faces, a few minutes
    python run.py --config configs/smoke.yaml                  # everything at tiny size, under a minute
    python run.py --config configs/triarchy.yaml --data.root DIR

An interrupted run goes on with --resume. With --pretext.epochs=0 training starts from scratch.
"""

import dataclasses
from pathlib import Path

from cli import DEFAULT_CONFIG, read_arguments
from config import Config, read_config
from errors import run_script
from evaluate import evaluate
from train import train
from train_pretext import train_pretext


def run(config: Config) -> Path:
    """Carry out the three stages and return the submission's path."""
    if config.pretext.epochs:
        config = replace(config, "train", pretrained_weight=str(train_pretext(config)))
    return evaluate(replace(config, "evaluate", model_weight=str(train(config))))


def replace(config: Config, section: str, **values: object) -> Config:
    """The same settings with some of one section changed."""
    return dataclasses.replace(config, **{section: dataclasses.replace(getattr(config, section), **values)})


def main() -> None:
    arguments = read_arguments(__doc__, {})
    submission = run(read_config(arguments.configs or [DEFAULT_CONFIG], arguments.overrides))
    print(f"submission: {submission}")


if __name__ == "__main__":
    run_script(main)
