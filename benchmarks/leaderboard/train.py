"""The rows of a leaderboard trained and evaluated, each by run.py in a process of its own, several at once."""

import dataclasses
import json
import shutil
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import IO

import yaml

from benchmarks.leaderboard.budget import Pace, stages, training_faces, with_epochs
from benchmarks.leaderboard.experiment import Budget, Experiment, Row
from benchmarks.leaderboard.processes import Processes
from benchmarks.leaderboard.records import FIGURES, Record
from common.config import Config
from common.errors import InputError
from common.files import write_json, write_whole
from models.counts import multiply_adds, parameter_count
from models.embedder import build_embedder, shapes_only
from training.checks import check_settings
from training.receipts import git_commit
from training.run_files import RunFiles
from verification.evaluation import open_pairs

Trained = Generator[Record, None, None]


def check_data(experiment: Experiment) -> None:
    """Raise InputError for photographs or pairs that no row could be trained on and measured with: all rows have the same."""
    config = experiment.rows[0].config
    training_faces(config.data)
    pairs, _ = open_pairs(config)
    if not pairs.answered.any():
        raise InputError("no test pair has an answer, so there is nothing to measure; a leaderboard needs labelled pairs")


def train_rows(experiment: Experiment, rows: list[Row], work: Path, workers: int, lock: IO[bytes]) -> Trained:
    """Train and evaluate the rows, `workers` at once, and yield the record of each as it ends; a row that fails has a record
    that says why, and those whose settings are at fault come first. What a stopped row has trained so far stays in `work`,
    and the row goes on from it. lock: held by this process, and so by those that train."""
    faults: dict[tuple[str, str], str] = {}
    for row in rows:
        name = row.network, row.method
        if name not in faults:
            faults[name] = _fault(row.config)
        if faults[name]:
            yield _about(row, experiment.budget) | {"state": "failed", "reason": faults[name]}
    sound = [row for row in rows if not faults[row.network, row.method]]
    with Processes(lock) as processes, ThreadPoolExecutor(workers) as pool:
        waiting = [pool.submit(_train_row, row, experiment.budget, work / row.key, processes) for row in sound]
        try:
            for done in as_completed(waiting):
                yield done.result()
        except BaseException:
            for future in waiting:
                future.cancel()
            processes.end()  # before the pool waits for its threads
            raise


def _fault(config: Config) -> str:
    """What keeps the settings from being trained with; empty if nothing does."""
    try:
        check_settings(config, training_faces(config.data), *stages(config))
    except InputError as error:
        return str(error)
    return ""


def _about(row: Row, budget: Budget) -> Record:
    record: Record = {"key": row.key, "network": row.network, "method": row.method, "seed": row.seed}
    return record | {"digest": row.digest(budget), "commit": git_commit()}


def _train_row(row: Row, budget: Budget, folder: Path, processes: Processes) -> Record:
    record = _about(row, budget)
    try:
        figures = _measured(row, budget, folder, processes)
    except InputError as error:
        return record | {"state": "failed", "reason": str(error)}
    return record | {"state": "done", **figures}


def _measured(row: Row, budget: Budget, folder: Path, processes: Processes) -> Record:
    """Figures of a trained row. Raises InputError with the last sentence of what failed."""
    settings, plan = folder / "settings.yaml", folder / "plan.json"
    config = dataclasses.replace(row.config, results=str(folder))
    images = _planned(plan, row.digest(budget))
    if images is None:
        if folder.exists():
            shutil.rmtree(folder)  # of other settings
        _write_settings(settings, config)

        def pace() -> Pace:
            """In a process of its own, as the training will be."""
            return json.loads(processes.run("benchmarks.leaderboard.budget", str(settings)).splitlines()[-1])

        planned, images = with_epochs(config, budget, pace)
        _write_settings(settings, planned)
        write_json(plan, {"digest": row.digest(budget), "images": images})
    processes.run("run", "--config", str(settings), "--resume")
    runs = {section: RunFiles.of(config, section) for section in stages(config)}
    logs = {section: _read_lines(files.log) for section, files in runs.items()}
    receipt = json.loads(runs["train"].receipt.read_text(encoding="utf-8"))
    metrics = json.loads((folder / "test" / f"{config.name}_metrics.json").read_text(encoding="utf-8"))
    with shapes_only():
        embedder = build_embedder(config.model).eval()
    side = config.model.image_size
    figures = {name: metrics[name] for name in (*FIGURES, "pairs")}
    figures |= {"k_fold": metrics["k_fold"] and metrics["k_fold"]["accuracy"]}  # None of too few pairs
    figures |= {"parameters": parameter_count(embedder), "multiply_adds": multiply_adds(embedder, side), "image_size": side}
    figures |= {"epochs": len(logs["train"]), "images": images}
    figures |= {"seconds": round(sum(epoch["seconds"] for log in logs.values() for epoch in log), 1)}
    figures |= {name: receipt[name] for name in ("device", "precision", "threads")}
    shutil.rmtree(folder / "train" / "weights")  # a hundred rows have gigabytes of them
    return figures


def _planned(plan: Path, digest: str) -> int | None:
    """The images that a row of these settings, begun before, will have seen; None if there is none."""
    try:
        content = json.loads(plan.read_text(encoding="utf-8"))
        return int(content["images"]) if content["digest"] == digest else None
    except (OSError, ValueError, LookupError, TypeError):  # none, or damaged
        return None


def _read_lines(path: Path) -> list[Record]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def _write_settings(path: Path, config: Config) -> None:
    write_whole(path, yaml.safe_dump(dataclasses.asdict(config), sort_keys=False, allow_unicode=True))
