"""Faces with masks against faces without, by the four ways of FaceX-Zoo (Wang et al., arXiv 2101.04407): a plain network, one
that reads the upper part of the face, one that was trained on masks, too, and the last two fused.

    python -m benchmarks.masked --seeds 0 1                                     # -> results/masked/masked.md and masked.json
    python -m benchmarks.masked --config configs/masked.yaml --results DIR -- --train.epochs=40

Each network is trained by train.py and goes on from where it stopped; settings behind -- are given to each training. All are
evaluated twice by evaluate.py: nobody wears a mask, and the first photograph of each pair does.
"""

import argparse
import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from common.config import read_config
from common.errors import InputError, run_script
from common.files import write_json, write_whole

PLAIN = ("--data.masked=none",)
TRAININGS: dict[str, tuple[str, ...]] = {
    "plain": PLAIN,
    "upper": (*PLAIN, "--model.part=upper"),
    "masked": ("--data.masked=copies",),
}
"""What each training differs in."""
ROWS = {
    "plain": ("plain",),
    "upper part": ("upper",),
    "trained on masks, too": ("masked",),
    "upper part and trained on masks, fused": ("upper", "masked"),
}
"""The trainings that each row of the table evaluates."""
WORN = {"nobody": "none", "probes": "first"}
FIGURES = {"auc": "AUC", "eer": "EER", "tar_at_far_1e-2": "TAR at FAR 1e-2"}
Figures = dict[str, dict[str, list[dict[str, Any]]]]  # row -> who wears masks -> figures of each seed


def compare(config: str, results: Path, seeds: Sequence[int], settings: Sequence[str] = ()) -> Path:
    """Train, evaluate and write the table; return its path. Raises InputError."""
    read_config([config])
    figures: Figures = {row: {worn: [] for worn in WORN} for row in ROWS}
    for seed in seeds:
        weights = {}
        for training, differing in TRAININGS.items():
            name = f"{training}-{seed}"
            start("train", f"--config={config}", f"--name={name}", f"--seed={seed}", f"--results={results}", "--resume",
                  *settings, *differing)  # fmt: skip
            weights[training] = str(results / "train" / "weights" / f"{name}.pt")
        for row, trainings in ROWS.items():
            for worn, masked in WORN.items():
                name = f"{'+'.join(trainings)}-{seed}-{worn}"
                together = ",".join(weights[training] for training in trainings)
                start("evaluate", f"--model_weight={together}", f"--name={name}", f"--results={results}", "--overwrite",
                      f"--evaluate.masked={masked}")  # fmt: skip
                measured = json.loads((results / "test" / f"{name}_metrics.json").read_text(encoding="utf-8"))
                folded = measured["k_fold"] and measured["k_fold"]["accuracy"]  # None of too few pairs
                kept = {key: measured[key] for key in (*FIGURES, "parameters", "pairs")}
                figures[row][worn].append({"seed": seed, **kept, "k_fold": folded})
    write_json(results / "masked.json", figures)
    return write_whole(results / "masked.md", table(figures))


def table(figures: Mapping[str, Mapping[str, Sequence[Mapping[str, Any]]]]) -> str:
    """The figures as a page: means over the seeds."""
    titles = {"k_fold": "k-fold accuracy", **FIGURES}
    columns = ["network", "parameters", *(f"{title}, {worn}" for worn in WORN for title in titles.values())]
    lines = ["# Masked faces", "", "Who wears a mask: nobody, or the probes (the first photograph of each pair).", ""]
    lines += [f"| {' | '.join(columns)} |", f"|---|{'---:|' * (len(columns) - 1)}"]
    for row, by_worn in figures.items():
        cells = [row, f"{by_worn['nobody'][0]['parameters']:,}"]
        cells += [_mean([each[key] for each in by_worn[worn]]) for worn in WORN for key in titles]
        lines.append(f"| {' | '.join(cells)} |")
    seeds = [str(each["seed"]) for each in next(iter(figures.values()))["nobody"]]
    return "\n".join([*lines, "", f"Means of seed {', '.join(seeds)}.", ""])


def _mean(values: Sequence[float | None]) -> str:
    known = [value for value in values if value is not None]
    return f"{sum(known) / len(known):.2%}" if known else ""


def start(program: str, *words: str) -> None:
    """Run a program of this project to its end. Raises InputError if it fails; it has then said why."""
    print(f"{program}: {' '.join(words)}", flush=True)
    code = subprocess.run([sys.executable, "-m", program, *words], stdin=subprocess.DEVNULL, check=False).returncode
    if code:
        raise InputError(f"{program}.py ended with exit code {code}; what it said stands above")


def main() -> None:
    """Run the command. Raises InputError."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.masked", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--config", default="configs/masked.yaml", help="what is trained (default %(default)s)")
    parser.add_argument("--results", type=Path, default=Path("results/masked"), help="folder of all output (default %(default)s)")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1], help="a training each (default 0 1)")
    parser.add_argument("settings", nargs="*", help="of each training, behind --")
    options = parser.parse_args()
    print(f"table: {compare(options.config, options.results, options.seeds, options.settings)}")


if __name__ == "__main__":
    run_script(main, go_on="the same command goes on")
