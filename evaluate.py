"""Stage 3: say of each pair of photographs whether it shows the same person, and write the submission.

    python evaluate.py --model_weight results/train/weights/triarchy.pt                      # the data set's test pairs
    python evaluate.py --model_weight W.pt --pairs P.csv --data_root DIR                     # any list of pairs
    python evaluate.py --model_weight W.pt --pairs P.csv --data_root DIR --calibrate NEW.pt  # W with a threshold for such pairs
    python evaluate.py --model_weight A.pt,B.pt --evaluate.masked first                      # fused; probes masked, gallery not

Only the embedder of the weight file is used; W.onnx, written by export.py, does as well as W.pt. The file says which data
it was trained on; other data need --config or --data.* options. An evaluation replaces an earlier one of the same pairs;
a submission of other pairs under its name is kept unless --overwrite is given. With --calibrate nothing is evaluated: a new
weight file is written, whose thresholds and probabilities are those for the given pairs.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from common.cli import FROM_THE_WEIGHT_FILE, read_arguments
from common.config import Config
from common.devices import choose_device, seed_everything
from common.errors import InputError, listing, run_script
from verification.evaluation import FROM_TRAINING, Evaluation, evaluation_config, print_figures
from verification.output import submission_path
from verification.recalibration import recalibrate

SHORT = {
    "model_weight": "evaluate.model_weight",
    "pairs": "evaluate.pairs",
    "data_root": "evaluate.data_root",
    "batch_size": "evaluate.batch_size",
    "calibrate": "evaluate.calibrate",
}
WITHOUT = (*FROM_TRAINING, "identify", "templates")


def evaluate(config: Config) -> Path:
    """Score the pairs, write submission, scores and report, print the figures and return the submission's path."""
    seed_everything(config.seed, config.threads)
    evaluation = Evaluation(config, choose_device(config.device))
    embeddings = evaluation.embed()
    if embeddings:  # else this is one of several processes, and not the one that decides
        scores = evaluation.score(embeddings)
        figures = evaluation.measure(scores)
        evaluation.write(scores, figures)
        print_figures(figures)
    return submission_path(config)


def calibrate(config: Config, given: Mapping[str, Any]) -> Path | None:
    """Write the new weight file evaluate.calibrate and return its path; None in all of several processes but the leading one.

    given: the settings of the command line, among which are none that only an evaluation has. Raises InputError.
    """
    idle = [name for name in ("rule", "folds", "fold_rule") if name in given.get("evaluate", {})]
    idle = [f"evaluate.{name}" for name in idle] + [name for name in ("name", "results") if name in given]
    if idle:
        raise InputError(f"--calibrate writes a weight file and decides nothing, so leave out {listing(idle)}")
    seed_everything(config.seed, config.threads)
    return recalibrate(config)


def main() -> None:
    arguments = read_arguments(__doc__, SHORT, without=WITHOUT, defaults=FROM_THE_WEIGHT_FILE)
    config = evaluation_config(arguments.configs, arguments.overrides)
    if config.evaluate.calibrate:
        if written := calibrate(config, arguments.overrides):
            print(f"calibrated: {written}")
        return
    print(f"submission: {evaluate(config)}")


if __name__ == "__main__":
    run_script(main)
