"""A run without photographs or loop: a few numbers that change from epoch to epoch, saved as the loop saves its own."""

from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn

from common.config import Config, read_config
from training.locks import reserved_runs
from training.run import Run

EPOCHS = 3


def short_config(results: Path, **settings: Any) -> Config:
    values = {"name": "short", "results": str(results), "threads": 1, "train": {"epochs": EPOCHS}}
    return read_config([], values | settings)


def carry_out(config: Config, classifier: bool = False, data_digest: str = "d") -> Path:
    """Train as `train.py` does; in the first two epochs the score improves."""
    with reserved_runs(config, "train"):
        run = Run(config, "train", data_digest)
        if run.finished:
            return run.weights
        model = nn.Linear(2, 1)
        nn.init.constant_(model.weight, 1.0)
        nn.init.constant_(model.bias, 0.0)
        optimizer = torch.optim.Adam(model.parameters(), lr=0.1)
        done = run.restore(model, optimizer)
        for epoch in range(done.epoch, EPOCHS):
            model(torch.full((1, 2), float(config.seed + epoch))).sum().backward()
            optimizer.step()
            optimizer.zero_grad()
            if epoch < 2:
                done.best = float(epoch)
                state = {"state": {"prototypes": model.weight * 2}, "about": {"identities": ["사람", "b"]}}
                run.save_best("embedder", model, {"epoch": epoch}, state if classifier else None)
            done.epoch = epoch + 1
            done.history.append({"epoch": epoch + 1})
            run.save_log(done)
            run.save_snapshot(model, optimizer, done)
        return run.finish()


def without_data(monkeypatch: pytest.MonkeyPatch, script: ModuleType) -> None:
    """Let `script` (run.py) believe that there are photographs and pairs, and that all settings fit them."""
    monkeypatch.setattr(script, "open_reader", lambda data: SimpleNamespace(faces=lambda split: None))
    monkeypatch.setattr(script, "open_pairs", lambda config: (None, None))
    for check in ("check_settings", "check_output"):
        monkeypatch.setattr(script, check, lambda *arguments: None)


def files(results: Path) -> dict[str, bytes]:
    """All that a run left, by name."""
    return {path.relative_to(results).as_posix(): path.read_bytes() for path in results.rglob("*") if path.is_file()}
