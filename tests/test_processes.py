"""Two processes train as one would: the same batches, the same gradients, one voice; and end together."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

import run
import train
from common.cli import DEFAULT_CONFIG, read_arguments
from common.config import read_config
from common.errors import InputError
from datasets.batches.samplers import PKSampler, ShuffledSampler
from distributed import processes
from distributed.batch_norm import SynchronisedNorm
from tests.started import run_two
from tests.tiny import draw_people, tiny_settings

ROOT = Path(__file__).parent.parent
FIFTY = {"threads": 1, "model__image_size": 32, "model__head__dropout": 0.0, "train__batch_size": 2, "train__num_instances": 4}
FIFTY |= {"train__epochs": 13, "train__validate_every": 13}  # of 4 steps
FIFTY |= {"evaluate__flip": "true"}  # as the default recipe, which train.py has no option to change
FAILING = """
import sys
sys.path.insert(0, {root!r})
import train
from common.errors import InputError, run_script
from distributed import processes
from recipes.metric import Metric

steps = []

def fail(self):
    steps.append(1)
    if processes.rank() == 1 and len(steps) == 6:
        raise InputError("no luck")

Metric.on_step_end = fail
sys.argv[0] = "train.py"
run_script(train.main)
"""


@pytest.fixture(scope="module")
def people(tmp_path_factory) -> Path:
    return draw_people(tmp_path_factory.mktemp("people"))


CONFIG = ["--config", str(DEFAULT_CONFIG)]  # not the one for folders: the tests below count its steps


def torchrun(script: str | Path, settings: list[str]) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", script, *settings, *CONFIG]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300)


def files_of(results: Path) -> set[str]:
    """Names of the files; torchrun kills the main process when another ends, and its free lock then stays for the next run."""
    return {path.name for path in results.rglob("*") if path.is_file() and not path.name.endswith(".lock")}


def train_settings(people: Path, results: Path, **overrides: object) -> list[str]:
    """Those that train.py has."""
    settings = tiny_settings(people, results, **FIFTY | overrides)
    return [setting for setting in settings if not setting.startswith(("--pretext.", "--evaluate."))]


def weights(results: Path, name: str) -> dict[str, torch.Tensor]:
    return torch.load(results / f"train/weights/{name}.pt", weights_only=True)["state"]


def log(results: Path, name: str) -> list[dict]:
    return [json.loads(row) for row in (results / f"train/logs/{name}.jsonl").read_text().splitlines()]


@pytest.fixture(scope="module")
def one(people, tmp_path_factory) -> Path:
    """Results of one process."""
    results = tmp_path_factory.mktemp("one")
    arguments = read_arguments("test", {}, tiny_settings(people, results, **FIFTY))
    run.run(read_config([DEFAULT_CONFIG], arguments.overrides))
    return results


@pytest.fixture(scope="module")
def two(people, tmp_path_factory) -> Path:
    """Results of two processes."""
    results = tmp_path_factory.mktemp("two")
    done = torchrun("run.py", tiny_settings(people, results, **FIFTY))
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("submission: ") == done.stdout.count("train: ") == 1
    return results


@pytest.mark.parametrize("name", ["tiny-pretext", "tiny"])
def test_two_processes_learn_what_one_learns(one, two, name):
    """Over 52 steps of Muon on triplet, softmax and center: what rounding leaves of equality, 1e-4 of the largest weight."""
    expected, found = weights(one, name), weights(two, name)
    assert list(expected) == list(found)
    for key, value in expected.items():
        assert torch.allclose(found[key], value, rtol=0, atol=1e-4 * float(value.abs().max())), key
    for row, other in zip(log(one, name), log(two, name), strict=True):
        assert row.keys() == other.keys()
        for term in row.keys() & {"softmax", "triplet", "center", "embedding_norm", "rotation", "rotation_accuracy", "lr"}:
            assert other[term] == pytest.approx(row[term], abs=1e-4), term


def test_two_processes_leave_the_files_of_one_and_say_so_in_the_receipt(one, two):
    files = [{path.relative_to(results).as_posix() for path in results.rglob("*")} for results in (one, two)]
    assert files[0] == files[1]
    receipts = [json.loads((results / "train/weights/tiny.json").read_text()) for results in (one, two)]
    assert [receipt["processes"] for receipt in receipts] == [1, 2] and receipts[1]["sync_norm"] is True
    scores = [pd.read_csv(results / "test/tiny_scores.csv") for results in (one, two)]
    measured = ["score", "probability"]
    assert scores[0].drop(columns=measured).equals(scores[1].drop(columns=measured))
    assert np.allclose(scores[0].score, scores[1].score, atol=1e-3)
    assert np.allclose(scores[0].probability, scores[1].probability, atol=1e-2)  # it is steep near the threshold


def test_a_batch_that_cannot_be_split_is_one_sentence(people, tmp_path):
    results = tmp_path / "results"
    settings = train_settings(people, results, train__batch_size=3, train__num_instances=3)
    ends = run_two("train.py", [*settings, *CONFIG], tmp_path)
    said = "".join(text for _, text in ends)
    sentence = "train.py: train.batch_size = 3 x train.num_instances = 3 is 9 images a batch, which 2 processes cannot"
    assert [code for code, _ in ends] == [2, 2] and said.count(sentence) == 1 and "Traceback" not in said
    assert not files_of(results)


def test_an_error_of_one_process_ends_both_and_the_run_goes_on(people, two, tmp_path):
    """In the second epoch of four steps; --resume then ends with the very bytes of two processes that nothing stopped."""
    script, results = tmp_path / "failing.py", tmp_path / "results"
    script.write_text(FAILING.format(root=str(ROOT)))
    pretext = two / "train/weights/tiny-pretext.pt"
    settings = [*train_settings(people, results), f"--train.pretrained_weight={pretext}"]
    done = torchrun(script, settings)
    assert done.returncode and "exitcode  : 2" in done.stderr and done.stderr.count("\ntrain.py: no luck\n") == 1
    left = files_of(results)
    assert left - {".tiny.lock"} == {"tiny.snapshot", "tiny.jsonl"}  # a process that is killed leaves its lock, free
    assert len(log(results, "tiny")) == 1

    arguments = read_arguments("test", {}, [*settings, "--resume"])
    with pytest.raises(InputError, match="processes was 2, is 1"):
        train.train(read_config([DEFAULT_CONFIG], arguments.overrides))
    ends = run_two("train.py", [*settings, "--resume", *CONFIG], tmp_path)
    assert [code for code, _ in ends] == [0, 0], ends
    assert (results / "train/weights/tiny.pt").read_bytes() == (two / "train/weights/tiny.pt").read_bytes()


def of_process(monkeypatch, rank: int, count: int) -> None:
    monkeypatch.setattr(processes, "_rank", rank)
    monkeypatch.setattr(processes, "_world_size", count)


def test_shares_in_rank_order_are_the_batches_of_one(monkeypatch):
    labels = np.arange(24).repeat(5) % 12
    for build in (lambda: PKSampler(labels, 3, 4, seed=1), lambda: ShuffledSampler(120, 12, seed=1)):
        whole = list(build())
        shares = []
        for rank in range(4):
            of_process(monkeypatch, rank, 4)
            shares.append(list(build()))
        of_process(monkeypatch, 0, 1)
        assert [sum(parts, []) for parts in zip(*shares)] == whole


def test_a_set_smaller_than_a_batch_must_be_even_too(monkeypatch):
    of_process(monkeypatch, 0, 2)
    with pytest.raises(InputError, match="a batch of 7 photographs .* multiple of 2, at most 7"):
        ShuffledSampler(7, 64, seed=0)


@pytest.mark.parametrize("shape", [(8, 5), (6, 5, 4, 3)])
@pytest.mark.parametrize("dtype, near", [(torch.float32, 1e-5), (torch.bfloat16, 2e-2)])
def test_synchronised_norm_of_one_process_is_batch_norm(shape, dtype, near):
    """Of several processes it is tried above."""
    torch.manual_seed(0)
    reference = torch.nn.BatchNorm1d(5) if len(shape) == 2 else torch.nn.BatchNorm2d(5)
    torch.nn.init.uniform_(reference.weight)
    ours = type(reference)(5)
    ours.load_state_dict(reference.state_dict())
    ours = SynchronisedNorm(ours)
    inputs, gradient = torch.randn(shape).mul(3).add(1).to(dtype), torch.randn(shape).to(dtype)
    found = []
    for norm in (reference, ours):
        given = inputs.clone().requires_grad_()
        outputs = norm(given)
        outputs.backward(gradient)
        found.append([outputs, given.grad, norm.weight.grad, norm.bias.grad, *norm.state_dict().values(), norm.eval()(inputs)])
    for expected, value in zip(*found, strict=True):
        assert value.dtype == expected.dtype and torch.allclose(value, expected, atol=near, rtol=near)
