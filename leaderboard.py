"""Train networks and methods under one budget, evaluate them on the same pairs, and write a table, a page and two pictures.

    python leaderboard.py configs/leaderboard/twin.yaml                      # -> results/leaderboard/twin/
    python leaderboard.py configs/leaderboard/smoke.yaml --results /tmp/out  # two small networks, some minutes
    python leaderboard.py FILE --only mobilefacenet --workers 2 --threads 1
    python leaderboard.py FILE --steps table                                 # anew from what has been measured

Every row is trained by run.py. What has been measured is kept row by row, so a stopped leaderboard goes on when the same
command is given again; rows whose settings have changed are trained anew. A row that fails says why in the table. Timing
needs the packages of requirements-serve.txt and a machine that does nothing else meanwhile.
"""

import argparse
import fnmatch
import os
import shlex
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from functools import partial
from pathlib import Path
from typing import IO, Any

from benchmarks.leaderboard.experiment import Experiment, read_experiment
from benchmarks.leaderboard.records import outdated, read_records, read_timings, write_records, write_timings
from common.config import MOST_THREADS
from common.errors import InputError, brief, listing, run_script
from common.files import claimed, made, write_whole
from models.serving import require_packages

STEPS = ("train", "time", "table")
GO_ON = "the same command goes on after the last finished row"


def train(experiment: Experiment, folder: Path, chosen: list[str], retry: bool, workers: int, lock: IO[bytes]) -> None:
    """Train those of the rows `chosen` that are outdated, and keep what was measured after each."""
    from benchmarks.leaderboard.train import check_data, train_rows

    records = read_records(folder)
    wanted = set(outdated(experiment, records, retry)) & set(chosen)
    rows = [row for row in experiment.rows if row.key in wanted]
    print(f"leaderboard: {len(rows):,} of {len(experiment.rows):,} rows to train", flush=True)
    if not rows:
        return
    check_data(experiment)
    with closing(train_rows(experiment, rows, folder / "work", workers, lock)) as trained:
        for number, record in enumerate(trained, 1):
            records[record["key"]] = record
            write_records(folder, experiment, records)
            done = f"{100 * record['accuracy']:.2f} %, {record['seconds']:,.0f} s" if "accuracy" in record else record["reason"]
            print(f"[{number}/{len(rows)}] {record['key']}: {done}", flush=True)


def time_all(experiment: Experiment, folder: Path, command: str) -> None:
    """Measure what every network costs in use."""
    from benchmarks.leaderboard.serving import time_networks

    write_timings(folder, time_networks(experiment, command))


def write_tables(experiment: Experiment, folder: Path, command: str) -> Path:
    """Write table.csv, table.md, index.html and the pictures from what has been measured, and return the page."""
    from benchmarks.leaderboard.page import as_html
    from benchmarks.leaderboard.plots import COSTS, as_svg, save_png, scatter
    from benchmarks.leaderboard.table import as_csv, as_markdown, entries, explanation

    records, timings = read_records(folder), read_timings(folder)
    table = entries(experiment, records, timings)
    sentences = explanation(experiment, table, records, timings)
    pictures = {}
    for cost, (label, _) in COSTS.items():
        if figure := scatter(table, cost):
            write_whole(folder / f"{cost}.png", partial(save_png, figure))
            pictures[f"Accuracy against {label}"] = as_svg(figure)
        else:
            (folder / f"{cost}.png").unlink(missing_ok=True)  # of other settings
    write_whole(folder / "table.csv", as_csv(table))
    write_whole(folder / "table.md", as_markdown(experiment.title, sentences, command, table))
    page = as_html(experiment.title, experiment.about, sentences, command, table, pictures)
    return write_whole(folder / "index.html", page)


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("experiment", metavar="FILE", help="YAML file of networks, methods, budget and seeds")
    parser.add_argument("--results", default="results/leaderboard", help="folder of all leaderboards (default: %(default)s)")
    rows = "rows to train: mobilefacenet, */arcface or mobilefacenet/arcface/0"
    parser.add_argument("--only", nargs="+", default=["*"], metavar="ROW", help=rows)
    parser.add_argument("--steps", nargs="+", choices=STEPS, default=list(STEPS), metavar="STEP", help=f"of: {', '.join(STEPS)}")
    parser.add_argument("--workers", type=int, default=1, help="rows trained at once (default: %(default)s)")
    parser.add_argument("--threads", type=int, default=0, help="threads of each row; 0: all cores (default: %(default)s)")
    parser.add_argument("--retry", action="store_true", help="train rows that failed again")
    options = parser.parse_args(argv)
    for name, least, most in (("workers", 1, 64), ("threads", 0, MOST_THREADS)):
        if not least <= getattr(options, name) <= most:
            raise InputError(f"--{name} is {brief(getattr(options, name))}; it should be from {least} to {most:,}")
    environment: dict[str, Any] = {"threads": options.threads or max(1, (os.cpu_count() or 1) // options.workers)}
    experiment = read_experiment(options.experiment, environment)
    folder = Path(options.results) / experiment.name
    chosen = selected(experiment, options.only)
    command = shlex.join(["python", "leaderboard.py", options.experiment])
    if "time" in options.steps:
        require_packages()  # told before hours of training
    read_records(folder), read_timings(folder)  # damaged ones are told now, too
    if measuring := [step for step in options.steps if step != "table"]:
        with alone(folder) as lock:
            if "train" in measuring:
                train(experiment, folder, chosen, options.retry, options.workers, lock)
            if "time" in measuring:
                time_all(experiment, folder, command)
    if "table" in options.steps:
        print(f"page: {write_tables(experiment, folder, command)}")


@contextmanager
def alone(folder: Path) -> Iterator[IO[bytes]]:
    """Keep other leaderboards from the folder for the body. Yields the open lock file. Raises InputError if another one is at
    work there."""
    with made(folder), ExitStack() as stack:
        try:
            lock = stack.enter_context(claimed(folder / ".lock"))
        except BlockingIOError as error:
            raise InputError(
                f"another leaderboard, or a row of one that was killed, is at work in {str(folder)!r}; wait for its end, or"
                f" choose other --results"
            ) from error
        yield lock


def selected(experiment: Experiment, patterns: list[str]) -> list[str]:
    """Keys of the rows that any of the patterns names: a network, network/method or network/method/seed, with * for any.
    Raises InputError for a pattern that names none."""
    keys = [row.key for row in experiment.rows]
    chosen = {
        pattern: {key for key in keys for whole in _ways(pattern) if fnmatch.fnmatchcase(key, whole)} for pattern in patterns
    }
    if empty := [pattern for pattern, found in chosen.items() if not found]:
        raise InputError(f"--only {brief(empty[0])} names no row; rows are called such as {listing(keys, most=3)}")
    return [key for key in keys if any(key in found for found in chosen.values())]


def _ways(pattern: str) -> list[str]:
    return [pattern, f"{pattern}/*"]


if __name__ == "__main__":
    run_script(main, GO_ON)
