"""What a training run leaves on disk: weights, log, receipt and, while it is unfinished, a snapshot to go on from.

    <results>/train/logs/<run>.jsonl              one JSON object per epoch
    <results>/train/weights/<run>.unfinished.pt   the best weights so far
    <results>/train/weights/<run>.snapshot        all state at the end of an epoch, of every save_every-th
    <results>/train/weights/<run>.pt              the best weights of the finished run
    <results>/train/weights/<run>.json            receipt of the finished run

The second and third go when the fourth and fifth come. Each is written to a temporary name and
renamed, so a run killed at any moment leaves a state to resume from.
"""

import importlib.metadata
import json
import os
import platform
import re
import subprocess
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn

from common.config import Config, StageConfig, experiment
from common.devices import choose_device, choose_precision, generator_state, restore_generators
from common.errors import InputError
from common.files import write_json, write_whole
from distributed.processes import barrier, is_main_process, world_size
from models.weights import file_digest, load_tensors, save_tensors, save_weights

PACKAGES = ("torch", "efficientnet-pytorch", "numpy", "pandas", "opencv-python-headless", "pillow", "scikit-learn")


@dataclass
class Progress:
    """How far a run has come."""

    epoch: int = 0
    best: float | None = None
    history: list[dict[str, Any]] = field(default_factory=list)


class Run:
    """The files of one stage of one experiment, and the rules about replacing them.

    section: "pretext" or "train". data_digest: of the photographs read. start_digest: of the weight file started from.
    A finished run of the same name with the same settings and data may be repeated, since it gives the same bytes; one
    with other settings, or an unfinished one, is kept unless `overwrite` says otherwise. Of several processes the leading one
    alone checks and writes. Raises InputError.
    """

    def __init__(self, config: Config, section: str, data_digest: str, start_digest: str | None = None):
        self.name = run_name(config, section)
        self.stage: StageConfig = getattr(config, section)
        self.resume = config.resume
        self.device = choose_device(config.device)
        self.precision = choose_precision(config.precision, self.device)
        self.sync_norm = config.sync_norm
        self.seed = config.seed
        self.evaluation = {"flip": config.evaluate.flip}  # how the weights are meant to be used, whatever they learned from
        folder = Path(config.results) / "train"
        self.weights = folder / "weights" / f"{self.name}.pt"
        self.draft = folder / "weights" / f"{self.name}.unfinished.pt"
        self.receipt = folder / "weights" / f"{self.name}.json"
        self.snapshot = folder / "weights" / f"{self.name}.snapshot"
        self.log = folder / "logs" / f"{self.name}.jsonl"
        self.identity = {"config": _stage_settings(config, section), "data_digest": data_digest, "start_digest": start_digest}
        if is_main_process():
            self._check(config)
            for folder in (self.weights.parent, self.log.parent):
                folder.mkdir(parents=True, exist_ok=True)  # a folder that cannot be made is told now, not after an epoch
                self._clear(folder)
        barrier()

    def _clear(self, folder: Path) -> None:
        """Remove the half-written files of a process of this run that was killed."""
        partial = re.compile(rf"\.{re.escape(self.name)}(\.unfinished)?\.\d+\.partial(\.\w+)?")
        for path in folder.iterdir():
            if partial.fullmatch(path.name):
                path.unlink()

    @property
    def finished(self) -> bool:
        """Whether this very run was carried to its end before and `resume` asks for no more."""
        if not self.resume or self.snapshot.exists() or not self.receipt.exists():
            return False
        digest = file_digest(self.weights) if self.weights.exists() else None
        if digest != _read_receipt(self.receipt).get("weights_digest"):
            raise InputError(f"{str(self.weights)!r} is not what its receipt says; restore it, or train anew without --resume")
        return True

    def restore(self, recipe: nn.Module, optimizer: torch.optim.Optimizer) -> Progress:
        """Put everything back to the end of the epoch last saved if `resume` is set and a snapshot exists."""
        if not (self.resume and self.snapshot.exists()):
            return Progress()
        content = self._read_snapshot()
        changed = _difference({"processes": 1, **content["environment"]}, self._environment)  # a snapshot may be older
        if changed:
            raise InputError(f"{str(self.snapshot)!r} cannot be resumed to the same result: {changed}; set it as it was")
        recipe.load_state_dict(content["recipe"])
        optimizer.load_state_dict(content["optimizer"])
        restore_generators(content["generators"])
        return Progress(**content["progress"])

    def save_best(self, kind: str, model: nn.Module, about: dict[str, Any]) -> None:
        """Write the weight file of the model that is best so far."""
        about = {"run": self.name, **self.identity, "evaluate": self.evaluation, **about}
        save_weights(self.draft, kind, model.state_dict(), about)

    def save_log(self, progress: Progress) -> None:
        """Write the log anew, a line for each epoch done."""
        write_whole(self.log, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in progress.history))

    def save_snapshot(self, recipe: nn.Module, optimizer: torch.optim.Optimizer, progress: Progress) -> None:
        """Write all that it takes to go on from the end of this epoch."""
        content = {
            "identity": self.identity,
            "environment": self._environment,
            "recipe": recipe.state_dict(),
            "optimizer": optimizer.state_dict(),
            "generators": generator_state(),
            "progress": asdict(progress),
        }
        save_tensors(self.snapshot, content)

    def finish(self) -> Path:
        """Give the best weights their name, write the receipt, drop the snapshot and return the path of the weights."""
        if is_main_process():
            self._finish()
        barrier()
        return self.weights

    def _finish(self) -> None:
        if self.draft.exists():  # else the run was stopped between here and the snapshot's end, and resumed
            os.replace(self.draft, self.weights)
        receipt = {
            "run": self.name,
            **self.identity,
            "weights_digest": file_digest(self.weights),
            "seed": self.seed,
            **self._environment,
            "versions": {"python": platform.python_version(), **{name: _version(name) for name in PACKAGES}},
            "machine": platform.machine(),
            "git_commit": git_commit(),
        }
        write_json(self.receipt, receipt)
        self.snapshot.unlink(missing_ok=True)

    def _check(self, config: Config) -> None:
        """Refuse to replace a run of other settings, or an unfinished one, unless `overwrite` says so."""
        unfinished = self.snapshot.exists()
        if unfinished:
            earlier, source = self._read_snapshot()["identity"], self.snapshot
        elif self.receipt.exists():
            earlier, source = _read_receipt(self.receipt), self.receipt
        else:
            return
        changed = _difference({key: earlier.get(key) for key in self.identity}, self.identity)
        if not changed and (config.resume or not unfinished):
            return  # to be resumed, to be repeated or already done
        if config.overwrite:
            for path in (self.snapshot, self.draft, self.receipt):
                path.unlink(missing_ok=True)
            return
        choices = "choose another --name or --results, or replace it with --overwrite"
        if changed:
            raise InputError(f"{str(source)!r} belongs to a run with other settings or data ({changed}); {choices}")
        raise InputError(f"an unfinished run is in {str(source)!r}; go on with --resume, or {choices}")

    def _read_snapshot(self) -> dict[str, Any]:
        content = load_tensors(self.snapshot, "the snapshot of an unfinished run")
        parts = ("identity", "environment", "recipe", "optimizer", "generators", "progress")
        if not isinstance(content, dict) or not all(isinstance(content.get(part), dict) for part in parts):
            raise InputError(f"{str(self.snapshot)!r} is not the snapshot of an unfinished run; remove it to start anew")
        return content

    @property
    def _environment(self) -> dict[str, Any]:
        """What else the bytes depend on, and what a resumed run must therefore have in common with its beginning."""
        environment = {"threads": torch.get_num_threads(), "device": str(self.device), "precision": self.precision}
        environment["processes"] = world_size()
        return environment | ({"sync_norm": self.sync_norm} if world_size() > 1 else {})


def run_name(config: Config, section: str) -> str:
    """`<name>-pretext` for the pretext stage, `<name>` for the model that ships."""
    return f"{config.name}-pretext" if section == "pretext" else config.name


def git_commit() -> str | None:
    """The commit of the code that runs, marked `+changes` if files differ from it; None outside a git checkout."""
    try:
        root = Path(__file__).resolve().parent.parent
        commit = _git(root, "rev-parse", "HEAD")
        return commit + ("+changes" if _git(root, "status", "--porcelain", "--untracked-files=no") else "")
    except (OSError, subprocess.CalledProcessError):
        return None


def _git(root: Path, *arguments: str) -> str:
    return subprocess.run(["git", "-C", root, *arguments], capture_output=True, text=True, check=True).stdout.strip()


def _version(package: str) -> str | None:
    """The installed version; None where another package provides the same module (opencv-python for the headless one)."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _stage_settings(config: Config, section: str) -> dict[str, Any]:
    """The settings that this stage's result depends on: the other stage's are none of its business."""
    settings = experiment(config)
    settings.pop("train" if section == "pretext" else "pretext")
    return settings


def _read_receipt(path: Path) -> dict[str, Any]:
    try:
        receipt = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"receipt {str(path)!r} cannot be read; remove it to train anew") from error
    if not isinstance(receipt, dict) or not isinstance(receipt.get("config"), dict):
        raise InputError(f"receipt {str(path)!r} is not one of this project; remove it to train anew")
    return receipt


def _difference(earlier: Any, now: Any, name: str = "") -> str | None:
    """The first setting in which two runs differ, as `name: earlier, now value`; None if they are equal."""
    if isinstance(earlier, dict) and isinstance(now, dict):
        keys = dict.fromkeys([*earlier, *now])  # a setting that is gone is a difference, too
        found = (_difference(earlier.get(key), now.get(key), f"{name}.{key}") for key in keys)
        return next(filter(None, found), None)
    return None if earlier == now else f"{name.removeprefix('.config').removeprefix('.')} was {earlier}, is {now}"
