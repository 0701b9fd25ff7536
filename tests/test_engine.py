"""The loop: averaged weights that ship and resume, clipping, groups, several networks, and steps as they are benchmarked."""

import hashlib
import json
from collections import defaultdict

import pytest
import torch
from torch import nn

import training.run
from common.config import read_config
from common.devices import seed_everything
from common.errors import InputError
from models.archive import load_tensors, save_tensors
from models.weights import load_weights
from recipes.recipe import Outcome, Recipe
from training.engine import fit, step
from training.optimisers import OPTIMIZERS, set_learning_rate
from training.run import Run


@pytest.fixture(autouse=True)
def no_commit(monkeypatch):
    """Asking git takes longer than these runs."""
    monkeypatch.setattr(training.run, "git_commit", lambda: "c")


class Line(Recipe):
    """Fits y = 2 x; records what the loop calls."""

    kind = "embedder"
    steps_per_epoch, images_per_step = 4, 8

    def __init__(self):
        super().__init__()
        self.network = nn.Sequential(nn.Linear(1, 1), nn.BatchNorm1d(1))
        self.calls = defaultdict(int)

    def loader(self, epoch):
        random = torch.Generator().manual_seed(epoch)
        for _ in range(self.steps_per_epoch):
            yield {"x": torch.randn(8, 1, generator=random)}

    def forward(self, batch):
        loss = (self.network(batch["x"]) - 2 * batch["x"]).square().mean()
        return Outcome({"square": loss}, {})

    def on_step_start(self):
        self.calls["start"] += 1

    def on_step_end(self):
        self.calls["end"] += 1

    def deployable(self):
        return self.network


class Grouped(Line):
    """The first layer learns slowly and is clipped by itself."""

    def parameter_groups(self):
        return [
            {"params": list(self.network[0].parameters()), "lr_scale": 0.1, "clip": 1e-3},
            {"params": list(self.network[1].parameters())},
        ]


def trained(tmp_path, resume=False, stop_after=None, overwrite=False, **train):
    """The recipe, what it shipped, and the bytes of the weight file."""
    train = {"epochs": 3, "optimizer": "sgd", "lr": 0.01, **train}
    config = read_config([], {"results": str(tmp_path), "resume": resume, "overwrite": overwrite, "train": train})
    seed_everything(0, 1)
    model = Line()
    run = Run(config, "train", "digest of the data")
    if stop_after:
        save = run.save_snapshot

        def save_then_die(*arguments):
            save(*arguments)
            if arguments[-1].epoch == stop_after:
                raise RuntimeError("power cut")

        run.save_snapshot = save_then_die
    path = fit(model, run, None)
    return model, torch.load(path, weights_only=True)["state"], path.read_bytes()


def test_the_average_ships_and_is_the_moving_average_of_the_weights(tmp_path, monkeypatch):
    seen = []
    monkeypatch.setattr(Line, "on_step_end", lambda self: seen.append([v.clone() for v in self.network.state_dict().values()]))
    seed_everything(0, 1)
    start = [value.clone() for value in Line().network.state_dict().values()]
    model, shipped, _ = trained(tmp_path, ema=0.9)
    expected = start
    for number, weights in enumerate(seen):
        decay = min(0.9, (1 + number) / (10 + number))
        expected = [decay * old + (1 - decay) * new if new.is_floating_point() else new for old, new in zip(expected, weights)]
    for value, right in zip(shipped.values(), expected, strict=True):
        torch.testing.assert_close(value, right)
    assert not torch.equal(shipped["0.weight"], model.network[0].weight)  # training itself goes on with its own weights


@pytest.mark.parametrize("stop_after", [1, 2])
def test_an_average_resumes_to_the_same_bytes(tmp_path, stop_after):
    _, _, whole = trained(tmp_path / "whole", ema=0.9)
    with pytest.raises(RuntimeError, match="power cut"):
        trained(tmp_path / "broken", ema=0.9, stop_after=stop_after)
    _, _, resumed = trained(tmp_path / "broken", ema=0.9, resume=True)
    assert resumed == whole


def test_a_step_calls_the_recipe_before_and_after():
    recipe = Line()
    optimizer = OPTIMIZERS.build("sgd", groups=recipe.parameter_groups(), lr=0.1)
    before = recipe.network[1].weight.clone()
    outcome = step(recipe, recipe, optimizer, next(iter(recipe.loader(0))))
    assert recipe.calls == {"start": 1, "end": 1} and set(outcome.terms) == {"square"}
    assert not torch.equal(before, recipe.network[1].weight)


def test_the_gradient_is_clipped_as_a_whole():
    norms = {}
    for limit in (0.0, 1e-4):
        torch.manual_seed(0)
        recipe = Line()
        optimizer = OPTIMIZERS.build({"name": "sgd", "momentum": 0.0}, groups=recipe.parameter_groups(), lr=1.0)
        before = torch.cat([weight.detach().flatten().clone() for weight in recipe.parameters()])
        step(recipe, recipe, optimizer, next(iter(recipe.loader(0))), clip=limit)
        norms[limit] = float((torch.cat([weight.detach().flatten() for weight in recipe.parameters()]) - before).norm())
    assert norms[1e-4] == pytest.approx(1e-4, rel=1e-3) and norms[0.0] > 1e-2


def test_groups_have_their_own_rate_and_clipping():
    torch.manual_seed(0)
    recipe = Grouped()
    optimizer = OPTIMIZERS.build({"name": "sgd", "momentum": 0.0}, groups=recipe.parameter_groups(), lr=1.0)
    set_learning_rate(optimizer, 0.5)
    assert [group["lr"] for group in optimizer.param_groups] == [0.05, 0.5]
    before = [weight.detach().clone() for weight in recipe.network[0].parameters()]
    step(recipe, recipe, optimizer, next(iter(recipe.loader(0))))
    moved = torch.cat([(now - old).flatten() for now, old in zip(recipe.network[0].parameters(), before)])
    assert 0 < float(moved.detach().norm()) <= 0.05 * 1e-3 * 1.001


def kept_files(results):
    return {path.name: path.read_bytes() for path in (results / "train/weights").glob("*.epoch-*")}


def test_epochs_are_kept_as_they_were(tmp_path):
    """Those of every second epoch are the weights of runs that end there; of the average, as it ships."""
    _, last, _ = trained(tmp_path / "whole", epochs=5, keep_every=2, ema=0.9)
    files = kept_files(tmp_path / "whole")
    assert sorted(files) == ["triarchy.epoch-002.pt", "triarchy.epoch-004.pt"]
    receipt = json.loads((tmp_path / "whole/train/weights/triarchy.json").read_text())
    assert receipt["kept"] == {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
    for epoch in (2, 4):
        _, expected, _ = trained(tmp_path / str(epoch), epochs=epoch, ema=0.9)
        content = load_weights(tmp_path / f"whole/train/weights/triarchy.epoch-{epoch:03d}.pt")
        assert content["about"]["epoch"] == epoch and content["kind"] == "embedder"
        assert all(torch.equal(value, expected[name]) for name, value in content["state"].items())
        assert not torch.equal(content["state"]["0.weight"], last["0.weight"])
    assert not kept_files(tmp_path / "4") and "kept" not in (tmp_path / "4/train/weights/triarchy.json").read_text()


@pytest.mark.parametrize("stop_after", [1, 2])
def test_kept_epochs_resume_to_the_same_bytes(tmp_path, stop_after):
    trained(tmp_path / "whole", keep_every=1)
    with pytest.raises(RuntimeError, match="power cut"):
        trained(tmp_path / "broken", keep_every=1, stop_after=stop_after)
    trained(tmp_path / "broken", keep_every=1, resume=True)
    names = {path.name for path in (tmp_path / "whole/train/weights").iterdir() if path.suffix != ".json"}
    assert len(names) == 4 and kept_files(tmp_path / "broken") == kept_files(tmp_path / "whole")
    receipts = [json.loads((tmp_path / name / "train/weights/triarchy.json").read_text()) for name in ("whole", "broken")]
    assert receipts[0]["kept"] == receipts[1]["kept"]


def test_lost_or_changed_kept_epochs_are_told(tmp_path):
    with pytest.raises(RuntimeError, match="power cut"):
        trained(tmp_path, keep_every=1, stop_after=2)
    first = tmp_path / "train/weights/triarchy.epoch-001.pt"
    whole = first.read_bytes()
    for wrong in (lambda: first.write_bytes(b"x"), first.unlink):
        wrong()
        with pytest.raises(InputError, match="the unfinished run kept, '.*epoch-001.pt', are lost or changed; put them back"):
            trained(tmp_path, keep_every=1, resume=True)
    first.write_bytes(whole)
    snapshot = tmp_path / "train/weights/triarchy.snapshot"
    content = load_tensors(snapshot, "")
    for kept in ({"../../secret": "0"}, {3: 4}, {"triarchy.epoch-001.pt": None}):
        save_tensors(snapshot, content | {"kept": kept})
        with pytest.raises(InputError, match="are lost or changed"):
            trained(tmp_path, keep_every=1, resume=True)
    save_tensors(snapshot, content)
    trained(tmp_path, keep_every=1, resume=True)


def test_kept_epochs_of_an_earlier_run_go_when_the_new_ones_have_come(tmp_path):
    trained(tmp_path, keep_every=1)
    other = tmp_path / "train/weights/other.epoch-001.pt"
    other.write_bytes(b"another run's")
    trained(tmp_path, keep_every=2, overwrite=True)
    assert sorted(kept_files(tmp_path)) == ["other.epoch-001.pt", "triarchy.epoch-002.pt"]
