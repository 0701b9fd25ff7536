"""A training run on disk: weights, log, receipt and, while it is unfinished, a snapshot to go on from.

`RunFiles` says where each file is. Drafts and snapshot go when weights and receipt come. Each is written to a temporary name
and renamed, so a run killed at any moment leaves a state to resume from.
"""

import copy
import json
import os
import platform
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn

from common.config import Config, StageConfig
from common.devices import choose_device, choose_precision, generator_state, restore_generators
from common.errors import InputError
from common.files import write_json, write_whole
from distributed.processes import barrier, is_main_process
from models.archive import load_tensors, save_tensors
from models.weights import file_digest, save_weights
from training.receipts import (
    arithmetic,
    git_commit,
    intended_use,
    is_replaced,
    kept_although,
    read_receipt,
    read_snapshot,
    stage_settings,
    versions,
)
from training.run_files import RunFiles


@dataclass
class Progress:
    """How far a run has come."""

    epoch: int = 0
    best: float | None = None
    history: list[dict[str, Any]] = field(default_factory=list)

    def check(self, epochs: int) -> None:
        """Raise ValueError if a run of `epochs` epochs cannot have come this far."""
        history = isinstance(self.history, list) and all(isinstance(row, dict) for row in self.history)
        if type(self.epoch) is not int or not history or not len(self.history) == self.epoch <= epochs:
            raise ValueError(f"of {epochs} epochs {self.epoch!r:.50} are done, and the log does not have as many lines")
        if self.best is not None and type(self.best) not in (int, float):
            raise ValueError(f"the best score is {self.best!r:.50}")
        json.dumps(self.history)  # raises TypeError: tensors and the like cannot be logged


class Run:
    """The files of one stage of one experiment, and the rules about replacing them.

    section: "pretext" or "train". data_digest: of the photographs read. start_digest: of the weight file started from.
    teacher_digests: of the files of its teachers, by path.
    `receipts.is_replaced` has the rules. Whoever makes one has reserved the run (`locks.reserved_runs`), so that nobody else
    writes its files. Of several processes the leading one alone checks and writes. Raises InputError.
    """

    def __init__(
        self,
        config: Config,
        section: str,
        data_digest: str,
        start_digest: str | None = None,
        teacher_digests: Mapping[str, str] | None = None,
    ):
        self.files = RunFiles.of(config, section)
        self.name = self.files.name
        for path in teacher_digests or ():
            if self.files.writes(path):
                raise InputError(
                    f"the teacher {path!r} is a file that this run would replace; choose another --name or --results"
                )
        self.weights = self.files.weights
        self.stage: StageConfig = getattr(config, section)
        self.resume = config.resume
        self.device = choose_device(config.device)
        self.precision = choose_precision(config.precision, self.device)
        self.sync_norm = config.sync_norm
        self.seed = config.seed
        self.evaluation = {"flip": config.evaluate.flip}  # how the weights are meant to be used, whatever they learned from
        self.identity = {"config": stage_settings(config, section), "data_digest": data_digest, "start_digest": start_digest}
        self.identity |= {"teacher_digests": dict(teacher_digests)} if teacher_digests else {}
        self.identity |= intended_use(config, section)
        self.arithmetic = arithmetic(config)
        self.digests: dict[str, str] = {}  # of the drafts, by the names they have in the receipt
        self.kept: dict[str, str] = {}  # digests of the weights of single epochs, by file name
        self.results = {  # drafts and what they become
            "weights_digest": (self.files.draft, self.files.weights),
            "classifier_digest": (self.files.classifier_draft, self.files.classifier),
        }
        if is_main_process():
            if is_replaced(config, self.files, self.identity):
                self.files.forget()
            self.files.make_folders()
            self.files.clear()
            otherwise = kept_although(config, self.files) if self.resume else None
            if otherwise:
                print(f"kept: {str(self.weights)!r}, though trained otherwise ({otherwise}); --overwrite trains it anew")
        barrier()

    @property
    def finished(self) -> bool:
        """Whether this very run was carried to its end before and `resume` asks for no more."""
        if not self.resume or self.files.snapshot.exists() or not self.files.receipt.exists():
            return False
        receipt = read_receipt(self.files.receipt)
        for name, (_, path) in self.results.items():
            if name in receipt or path == self.weights:
                if not path.exists() or file_digest(path) != receipt.get(name):
                    raise InputError(f"{str(path)!r} is not what its receipt says; restore it, or train anew without --resume")
        return True  # whether kept epochs are still there is the affair of whoever reads them

    def restore(self, recipe: nn.Module, optimizer: torch.optim.Optimizer) -> Progress:
        """Put everything back to the end of the epoch last saved if `resume` is set and a snapshot exists.

        Raises InputError for a snapshot that does not fit, or whose best weights are lost.
        """
        if not (self.resume and self.files.snapshot.exists()):
            return Progress()
        content = read_snapshot(self.files.snapshot)
        try:
            progress = Progress(**content["progress"])
            progress.check(self.stage.epochs)
            recipe.load_state_dict(content["recipe"])
            optimizer.load_state_dict(copy.deepcopy(content["optimizer"]))
            _try_step(optimizer)
            recipe.load_state_dict(content["recipe"])  # as it was before that step
            optimizer.load_state_dict(content["optimizer"])
            restore_generators(content["generators"])
        except Exception as error:  # of content that is nothing like a network's or an optimiser's they may raise anything
            reason = (str(error) or type(error).__name__).splitlines()[0]
            raise InputError(
                f"{str(self.files.snapshot)!r} does not fit this run ({reason:.200}); remove it, or start anew with --overwrite"
            ) from error
        self.digests = {name: content["digests"][name] for name in self.results if name in content["digests"]}
        for name, digest in self.digests.items():
            self._check_result(name, digest)
        self.kept = content["kept"]
        self._check_kept()
        return progress

    def save_best(
        self, kind: str, model: nn.Module, about: dict[str, Any], training_state: Mapping[str, Any] | None = None
    ) -> None:
        """Write the weight file of the model that is best so far.

        training_state: what only training needs of it, {"state": tensors by name, "about": plain values}; both may be left
        out. Such are the classifier and the names of the identities that it tells apart (`about["identities"]`), or the
        network before whitening. It becomes a weight file of its own, of the kind "classifier", that says the same about
        itself and this besides.
        """
        drafts = {name: draft for name, (draft, _) in self.results.items()}
        self.digests = self._save_weights(drafts, kind, model, about, training_state)

    def save_kept(
        self, epoch: int, kind: str, model: nn.Module, about: dict[str, Any], training_state: Mapping[str, Any] | None = None
    ) -> None:
        """Write the weight files of the model at the end of an epoch, which are kept as they are; `epoch` counts from 1."""
        paths = self.files.kept(epoch)
        digests = self._save_weights(paths, kind, model, {"epoch": epoch, **about}, training_state)
        self.kept |= {paths[name].name: digest for name, digest in digests.items()}

    def _save_weights(
        self,
        paths: Mapping[str, Path],
        kind: str,
        model: nn.Module,
        about: dict[str, Any],
        training_state: Mapping[str, Any] | None,
    ) -> dict[str, str]:
        """Write a weight file and, with a `training_state`, the one beside it; return the digests of both."""
        about = {"run": self.name, **self.identity, "evaluate": self.evaluation, **about}
        written = {"weights_digest": save_weights(paths["weights_digest"], kind, model.state_dict(), about)}
        if training_state is not None:
            about |= training_state.get("about", {})
            state = training_state.get("state", {})
            written["classifier_digest"] = save_weights(paths["classifier_digest"], "classifier", state, about)
        return {name: file_digest(path) for name, path in written.items()}

    def save_log(self, progress: Progress) -> None:
        """Write the log anew, a line for each epoch done."""
        write_whole(self.files.log, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in progress.history))

    def save_snapshot(self, recipe: nn.Module, optimizer: torch.optim.Optimizer, progress: Progress) -> None:
        """Write all that it takes to go on from the end of this epoch."""
        content = {
            "identity": self.identity,
            "arithmetic": self.arithmetic,
            "recipe": recipe.state_dict(),
            "optimizer": optimizer.state_dict(),
            "generators": generator_state(),
            "progress": asdict(progress),
            "digests": self.digests,
            "kept": self.kept,
        }
        save_tensors(self.files.snapshot, content)

    def finish(self) -> Path:
        """Give the best weights their name, write the receipt, drop the snapshot and return the path of the weights."""
        if is_main_process():
            self._finish()
        barrier()
        return self.weights

    def _finish(self) -> None:
        for name, (draft, final) in self.results.items():
            if name not in self.digests and final != self.weights:  # an earlier run's
                draft.unlink(missing_ok=True)
                final.unlink(missing_ok=True)
                continue
            self._check_result(name, self.digests.get(name), whole=True)
            if draft.exists():  # else the run was stopped between here and the snapshot's end, and resumed
                os.replace(draft, final)
        for path in self.weights.parent.iterdir():
            if self.files.is_kept(path.name) and path.name not in self.kept:  # an earlier run's
                path.unlink()
        receipt = {
            "run": self.name,
            **self.identity,
            **self.digests,
            **({"kept": self.kept} if self.kept else {}),
            "seed": self.seed,
            **self.arithmetic,
            "versions": versions(),
            "machine": platform.machine(),
            "git_commit": git_commit(),
        }
        write_json(self.files.receipt, receipt)
        self.files.snapshot.unlink(missing_ok=True)

    def _check_result(self, name: str, digest: str | None, whole: bool = False) -> None:
        """Raise InputError unless the best weights so far, or what belongs to them, are where they should be.

        digest: of them when the snapshot was made. A draft may be newer, of an epoch that will be trained again, until the
        run has come to its end (`whole`).
        """
        draft, final = self.results[name]
        path = draft if draft.exists() else final
        choices = "put it back, or start anew with --overwrite"
        if path == final or whole:
            if not path.exists() or file_digest(path) != digest:
                raise InputError(f"the best weights of the unfinished run, {str(draft)!r}, are lost or changed; {choices}")
            return
        try:
            load_tensors(draft, "the best weights of the unfinished run")
        except InputError as error:
            raise InputError(f"{error}; {choices}") from error

    def _check_kept(self) -> None:
        """Raise InputError unless the weights of single epochs are what they were when the snapshot was made."""
        for name, digest in self.kept.items():
            path = self.weights.parent / str(name)
            if not self.files.is_kept(str(name)) or not path.exists() or file_digest(path) != digest:
                raise InputError(
                    f"weights that the unfinished run kept, {str(path)!r:.300}, are lost or changed; put them back, or start"
                    f" anew with --overwrite"
                )


def _try_step(optimizer: torch.optim.Optimizer) -> None:
    """Take a step without gradient, which raises whatever is wrong with the optimiser's state now, not in the first epoch."""
    for group in optimizer.param_groups:
        for weight in group["params"]:
            weight.grad = torch.zeros_like(weight)
    optimizer.step()
    optimizer.zero_grad()
