"""The whole solution in one process, from photographs to the submission: pretext, training, evaluation.

    python run.py                                              # the synthetic people of the repository, some minutes
    python run.py --config configs/smoke.yaml                  # everything at tiny size, under a minute
    python run.py --config configs/triarchy.yaml --data.root DIR

An interrupted run goes on with --resume. With --pretext.epochs=0 training starts from scratch.
"""

import dataclasses
from contextlib import ExitStack
from pathlib import Path

from common.cli import chosen_config, read_arguments
from common.config import Config
from common.errors import run_script
from common.rules import far_rate
from datasets.manifest import Pairs
from datasets.readers.opening import open_reader
from evaluate import evaluate
from train import train
from train_pretext import train_pretext
from training.checks import check_settings
from training.locks import reserved_runs
from training.run_files import generations
from verification.evaluation import open_pairs
from verification.operating_points import check_shown
from verification.output import check_output


def run(config: Config) -> Path:
    """Carry out the three stages and return the submission's path.

    A given train.pretrained_weight takes the place of the pretext stage. Raises InputError.
    """
    with_pretext = config.pretext.epochs and not config.train.pretrained_weight
    stages = [*(["pretext"] if with_pretext else []), "train"]
    reader = open_reader(config.data)
    check_settings(config, reader.faces("train"), *stages)
    if rate := far_rate(config.evaluate.rule):  # else it would be told after the training
        check_shown(rate, different_pairs(reader.pairs("validate")), "the data set has")
    pairs, _ = open_pairs(config)
    check_output(config, pairs)
    with ExitStack() as stack:
        stack.enter_context(reserved_runs(config, *stages))
        for generation in generations(config):
            stack.enter_context(reserved_runs(generation, "train"))
        if with_pretext:
            config = replace(config, "train", pretrained_weight=str(train_pretext(config)))
        return evaluate(replace(config, "evaluate", model_weight=str(train(config))))


def different_pairs(pairs: Pairs) -> int:
    return int((~pairs.where(pairs.answered).same).sum())


def replace(config: Config, section: str, **values: object) -> Config:
    """The same settings with some of one section changed."""
    return dataclasses.replace(config, **{section: dataclasses.replace(getattr(config, section), **values)})


def main() -> None:
    without = ("evaluate.model_weight", "evaluate.calibrate", "identify", "templates", "export")
    arguments = read_arguments(__doc__, {}, without=without)
    submission = run(chosen_config(arguments))
    print(f"submission: {submission}")


if __name__ == "__main__":
    run_script(main)
