"""The rows of a leaderboard trained and evaluated, each by run.py in a process of its own, several at once."""

import dataclasses
import json
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from threading import Lock

import yaml

from benchmarks.leaderboard.budget import ROOT, with_epochs
from benchmarks.leaderboard.experiment import Budget, Experiment, Row
from benchmarks.leaderboard.records import FIGURES, Record
from common.config import Config
from common.errors import InputError
from common.files import write_json, write_whole
from models.counts import multiply_adds, parameter_count
from models.embedder import build_embedder, shapes_only
from training.receipts import git_commit

LONGEST_REASON = 300  # characters


def train_rows(experiment: Experiment, rows: list[Row], work: Path, workers: int) -> Iterator[Record]:
    """Train and evaluate the rows, `workers` at once, and yield the record of each as it ends; a row that fails has a record
    that says why. What a stopped row has trained so far stays in `work`, and the row goes on from it."""
    with Processes() as processes, ThreadPoolExecutor(workers) as pool:
        waiting = [pool.submit(_train_row, row, experiment.budget, work / _folder(row), processes) for row in rows]
        try:
            for done in as_completed(waiting):
                yield done.result()
        except BaseException:
            for future in waiting:
                future.cancel()
            processes.end()  # before the pool waits for its threads
            raise


class Processes:
    """The processes that are at work; they end with this one."""

    def __init__(self) -> None:
        self.running: set[subprocess.Popen[str]] = set()
        self.lock = Lock()
        self.ended = False

    def __enter__(self) -> "Processes":
        self.before = signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
        return self

    def __exit__(self, *_: object) -> None:
        self.end()
        signal.signal(signal.SIGTERM, self.before)

    def run(self, command: list[str]) -> tuple[int, str]:
        """Exit status and what the command wrote to stderr; -1 if there are to be no more commands."""
        with self.lock:
            if self.ended:
                return -1, ""
            process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
            self.running.add(process)
        _, errors = process.communicate()
        with self.lock:
            self.running.discard(process)
        return process.returncode, errors

    def end(self) -> None:
        with self.lock:
            self.ended = True
            for process in self.running:
                process.terminate()


def _train_row(row: Row, budget: Budget, folder: Path, processes: Processes) -> Record:
    record: Record = {"key": row.key, "network": row.network, "method": row.method, "seed": row.seed}
    record |= {"digest": row.digest(budget), "commit": git_commit()}
    try:
        figures = _measured(row, budget, folder, processes)
    except InputError as error:
        return record | {"state": "failed", "reason": str(error)[:LONGEST_REASON]}
    return record | {"state": "done", **figures}


def _measured(row: Row, budget: Budget, folder: Path, processes: Processes) -> Record:
    """Figures of a trained row. Raises InputError with the last sentence of what failed."""
    settings, plan = folder / "settings.yaml", folder / "plan.json"
    if not plan.exists() or json.loads(plan.read_text())["digest"] != row.digest(budget):
        shutil.rmtree(folder, ignore_errors=True)  # of other settings
        config = dataclasses.replace(row.config, results=str(folder))
        _write_settings(settings, config)
        config, images = with_epochs(config, budget, settings)
        _write_settings(settings, config)
        write_json(plan, {"digest": row.digest(budget), "images": images})
    code, errors = processes.run([sys.executable, "run.py", "--config", str(settings), "--resume"])
    if code:
        raise InputError(_last_sentence(errors) or f"run.py ended with exit code {code}")
    metrics = json.loads((folder / "test" / "row_metrics.json").read_text(encoding="utf-8"))
    epochs = [json.loads(line) for line in (folder / "train" / "logs" / "row.jsonl").read_text(encoding="utf-8").splitlines()]
    with shapes_only():
        embedder = build_embedder(row.config.model).eval()
    side = row.config.model.image_size
    figures = {name: metrics[name] for name in FIGURES} | {"k_fold": metrics["k_fold"]["accuracy"]}
    figures |= {"parameters": parameter_count(embedder), "multiply_adds": multiply_adds(embedder, side), "image_size": side}
    figures |= {"pairs": metrics["pairs"], "epochs": len(epochs)}
    figures |= {"images": json.loads(plan.read_text())["images"], "seconds": round(sum(epoch["seconds"] for epoch in epochs), 1)}
    shutil.rmtree(folder / "train" / "weights")  # a hundred rows have gigabytes of them
    return figures


def _write_settings(path: Path, config: Config) -> None:
    write_whole(path, yaml.safe_dump(dataclasses.asdict(config), sort_keys=False, allow_unicode=True))


def _last_sentence(errors: str) -> str:
    lines = [line.strip() for line in errors.replace("\r", "\n").splitlines() if line.strip()]
    return lines[-1] if lines else ""


def _folder(row: Row) -> str:
    return f"{row.network}--{row.method}--{row.seed}"
