"""What a run that is there already means for the next of its name; and what it means if its files are not as they should be."""

import itertools
import json
import os
import shutil

import pytest
import torch

import models.archive
import run as solution
import training.run
from common.errors import InputError
from models.archive import load_tensors, save_tensors
from models.weights import load_weights
from tests.short_run import carry_out, files, short_config, without_data
from training.locks import reserved_runs
from training.receipts import intended_use
from training.run import Run

SNAPSHOT = "train/weights/short.snapshot"


class PowerCut(Exception):
    pass


@pytest.fixture(autouse=True)
def no_commit(monkeypatch):
    """Asking git takes longer than these runs."""
    monkeypatch.setattr(training.run, "git_commit", lambda: "c")


@pytest.fixture
def unfinished(tmp_path, monkeypatch):
    """A run of three epochs that died after the second."""
    die_at_the(monkeypatch, [(Run, "save_snapshot")], 3)
    with pytest.raises(PowerCut):
        carry_out(short_config(tmp_path))
    monkeypatch.undo()
    return tmp_path


def die_at_the(monkeypatch, functions, count: int) -> list[int]:
    """Let the process die when it calls any of `functions` for the `count`-th time."""
    calls = []

    def dying(original):
        def call(*arguments, **options):
            calls.append(1)
            if len(calls) == count:
                raise PowerCut
            return original(*arguments, **options)

        return call

    for owner, name in functions:
        monkeypatch.setattr(owner, name, dying(getattr(owner, name)))
    return calls


@pytest.mark.parametrize("classifier", [False, True])
def test_a_run_that_dies_at_any_step_resumes_to_the_same_bytes(tmp_path, monkeypatch, classifier):
    """Before each writing of a file, each renaming, each digest: weights, classifier, log, snapshot and receipt."""
    carry_out(short_config(tmp_path / "whole"), classifier)
    whole = files(tmp_path / "whole")
    steps = [(models.archive, "write_whole"), (training.run, "write_whole"), (training.run, "write_json")]
    steps += [(os, "replace"), (training.run, "file_digest")]
    for count in itertools.count(1):
        broken = tmp_path / str(count)
        with monkeypatch.context() as patch:
            die_at_the(patch, steps, count)
            try:
                carry_out(short_config(broken), classifier)
                break
            except PowerCut:
                pass
        carry_out(short_config(broken, resume=True), classifier)
        assert files(broken) == whole, count
    assert count > 20


def test_the_classifier_is_kept_beside_the_weights(tmp_path):
    weights = carry_out(short_config(tmp_path), classifier=True)
    with pytest.raises(InputError, match="holds a 'classifier' model; expected embedder"):
        load_weights(weights.with_name("short.classifier.pt"))
    content = load_weights(weights.with_name("short.classifier.pt"), kinds=("classifier",))
    about = load_weights(weights)["about"]
    assert content["about"] == about | {"identities": ["사람", "b"]} and about["epoch"] == 1
    assert torch.equal(content["state"]["prototypes"], load_weights(weights)["state"]["weight"] * 2)
    receipt = json.loads(weights.with_suffix(".json").read_text())
    assert receipt["classifier_digest"] == models.weights.file_digest(weights.with_name("short.classifier.pt"))

    weights.with_name("short.classifier.pt").write_bytes(b"x")
    with pytest.raises(InputError, match="short.classifier.pt' is not what its receipt says"):
        carry_out(short_config(tmp_path, resume=True), classifier=True)


def test_a_classifier_of_an_earlier_run_goes(tmp_path):
    carry_out(short_config(tmp_path, seed=1), classifier=True)
    carry_out(short_config(tmp_path, overwrite=True))
    carry_out(short_config(tmp_path / "new"))
    assert {name: content for name, content in files(tmp_path).items() if not name.startswith("new/")} == files(tmp_path / "new")


@pytest.mark.parametrize(
    "other, difference",
    [
        ({"precision": "bf16"}, "precision was fp32, is bf16"),
        ({"threads": 2}, "threads was 1, is 2"),
        ({"threads": 2, "precision": "bf16"}, "threads was 1, is 2, precision was fp32, is bf16"),
    ],
)
def test_a_finished_run_is_kept_from_other_arithmetic(tmp_path, capsys, other, difference):
    carry_out(short_config(tmp_path))
    before = files(tmp_path)
    first = difference.partition(", precision")[0]
    with pytest.raises(InputError, match=rf"other settings or data \({first}\); .* replace it with --overwrite"):
        carry_out(short_config(tmp_path, **other))
    assert files(tmp_path) == before

    carry_out(short_config(tmp_path, resume=True))
    assert "kept" not in capsys.readouterr().out
    carry_out(short_config(tmp_path, resume=True, **other))
    said = capsys.readouterr().out
    assert files(tmp_path) == before and said.count("\n") == 1
    assert said.startswith("kept: ") and f"short.pt', though trained otherwise ({difference}); --overwrite" in said

    carry_out(short_config(tmp_path, overwrite=True, **other))
    receipt = json.loads((tmp_path / "train/weights/short.json").read_text())
    assert {name: receipt[name] for name in other} == other


def test_weights_for_another_use_are_another_run(unfinished):
    """The file says whether to flip, so it cannot be begun for one use and ended for another, nor kept for another."""
    flipped = {"evaluate": {"flip": True}}
    for resume in (True, False):
        with pytest.raises(InputError, match=r"a run with other settings or data \(evaluate.flip was False, is True\)"):
            carry_out(short_config(unfinished, resume=resume, **flipped))
    weights = carry_out(short_config(unfinished, resume=True))
    before = files(unfinished)
    for resume in (True, False):
        with (
            pytest.raises(InputError, match=r"evaluate.flip was False, is True\); .* --overwrite"),
            reserved_runs(short_config(unfinished, resume=resume, **flipped), "train"),
        ):
            pass  # told when the run is reserved, ahead of all work
    assert files(unfinished) == before and load_weights(weights)["about"]["evaluate"] == {"flip": False}
    with reserved_runs(short_config(unfinished, **flipped), "pretext"):
        assert not intended_use(short_config(unfinished, **flipped), "pretext")  # one pretext serves both uses
    carry_out(short_config(unfinished, overwrite=True, **flipped))
    assert load_weights(weights)["about"]["evaluate"] == {"flip": True}


@pytest.mark.parametrize("missing", ["pretext", "train", None])
def test_a_whole_run_that_one_stage_forbids_begins_with_none(tmp_path, monkeypatch, missing):
    """Of a pretext of fp32 and an embedder of fp32, neither may be replaced by bf16 alone, nor trained in vain."""
    config = short_config(tmp_path)
    trained = []
    without_data(monkeypatch, solution)
    monkeypatch.setattr(solution, "train_pretext", lambda config: trained.append("pretext") or tmp_path / "p.pt")
    monkeypatch.setattr(solution, "train", lambda config: trained.append("train") or tmp_path / "w.pt")
    monkeypatch.setattr(solution, "evaluate", lambda config: tmp_path)
    carry_out(config)
    for path in (tmp_path / "train/weights").glob("short.*"):  # a pretext's receipt has its own section of the settings
        shutil.copy(path, path.with_name(path.name.replace("short", "short-pretext")))
    receipt = tmp_path / "train/weights/short-pretext.json"
    facts = json.loads(receipt.read_text())
    facts["config"] = training.receipts.stage_settings(config, "pretext")
    receipt.write_text(json.dumps(facts))
    if missing:
        for path in (tmp_path / "train/weights").glob("short-pretext.*" if missing == "pretext" else "short.*"):
            path.unlink()
    other = short_config(tmp_path, precision="bf16")
    with pytest.raises(InputError, match="precision was fp32, is bf16"):
        solution.run(other)
    with pytest.raises(InputError, match="seed was 0, is 1"):
        solution.run(short_config(tmp_path, seed=1))
    assert not trained
    solution.run(short_config(tmp_path, precision="bf16", resume=True))
    solution.run(short_config(tmp_path, precision="bf16", overwrite=True))
    assert trained == ["pretext", "train"] * 2


def test_weights_without_receipt_are_kept(tmp_path):
    weights = carry_out(short_config(tmp_path))
    weights.with_suffix(".json").unlink()
    before = files(tmp_path)
    for options in ({}, {"resume": True}):
        with pytest.raises(InputError, match=r"short.pt' has no receipt 'short.json' beside it .* with --overwrite"):
            carry_out(short_config(tmp_path, **options))
    assert files(tmp_path) == before
    carry_out(short_config(tmp_path, overwrite=True))
    assert set(files(tmp_path)) == {*before, "train/weights/short.json"}


@pytest.mark.parametrize(
    "text, message",
    [
        ("[" * 100_000, "cannot be read"),
        ("1" * 5000, "cannot be read"),
        ("\0", "cannot be read"),
        ("[]", "is not one of this project"),
        ('{"config": 3}', "is not one of this project"),
        ('{"config": {}}', "seed was None, is 0|name was None, is short"),
        ({"config": {"name": {"a": [1] * 1000}}}, r"name was \{'a': \[1, 1, 1, 1, 1, 1, ...\]\}, is short"),
        ({"data_digest": 5}, "data_digest was 5, is d"),
        ({"threads": [1] * 1000}, r"threads was \[1, 1, 1, 1, 1, 1, ...\], is 1"),
        ({"processes": "x" * 1000}, "processes was 'xxx.*xxx', is 1"),
    ],
)
def test_a_receipt_may_hold_anything(tmp_path, text, message):
    receipt = carry_out(short_config(tmp_path)).with_suffix(".json")
    if isinstance(text, dict):
        facts = json.loads(receipt.read_text())
        facts["config"] |= text.pop("config", {})
        text = json.dumps(facts | text)
    receipt.write_text(text)
    with pytest.raises(InputError, match=message) as error:
        carry_out(short_config(tmp_path))
    assert len(str(error.value)) < 500
    carry_out(short_config(tmp_path, overwrite=True))
    assert json.loads(receipt.read_text())["data_digest"] == "d"


def test_a_receipt_alone_keeps_nobody_from_training(tmp_path):
    """Results are published without their weights: the receipt says what made them, on another machine perhaps."""
    weights = carry_out(short_config(tmp_path))
    whole = weights.read_bytes()
    weights.unlink()
    assert carry_out(short_config(tmp_path, seed=5)).read_bytes() != whole


def test_a_receipt_of_weights_that_are_gone(tmp_path):
    weights = carry_out(short_config(tmp_path))
    receipt = json.loads(weights.with_suffix(".json").read_text())
    for value in (receipt["weights_digest"], None, [], 3):
        weights.unlink(missing_ok=True)
        weights.with_suffix(".json").write_text(json.dumps(receipt | {"weights_digest": value}))
        with pytest.raises(InputError, match="is not what its receipt says"):
            carry_out(short_config(tmp_path, resume=True))


def adam(state=None, **group):
    """Changes to the optimiser's state of the first weight, and to its options."""

    def change(optimizer):
        options = optimizer["param_groups"][0] | group
        return {"param_groups": [options], "state": optimizer["state"] | {0: optimizer["state"][0] | (state or {})}}

    return change


WRONG = [
    ("recipe", lambda network: {}),
    ("recipe", lambda network: {"weight": torch.ones(5, 5), "bias": torch.ones(1)}),
    ("recipe", lambda network: {"weight": 1, "bias": 2}),
    ("optimizer", lambda optimizer: {}),
    ("optimizer", lambda optimizer: optimizer | {"param_groups": 3}),
    ("optimizer", lambda optimizer: optimizer | {"state": {0: {"step": torch.tensor(1.0)}}}),
    ("optimizer", adam(betas="x")),
    ("optimizer", adam({"exp_avg": torch.ones(7)})),
    ("optimizer", adam({"exp_avg": "x"})),
    ("generators", lambda generators: {}),
    ("generators", lambda generators: {"cpu": torch.ones(3)}),
    ("progress", lambda progress: {"more": 1}),
    ("progress", lambda progress: progress | {"epoch": 2.5}),
    ("progress", lambda progress: progress | {"epoch": 10**9}),
    ("progress", lambda progress: progress | {"history": [1, 2]}),
    ("progress", lambda progress: progress | {"history": [{"epoch": torch.ones(1)}] * 2}),
    ("progress", lambda progress: progress | {"best": "x"}),
]


@pytest.mark.parametrize("part, wrong", WRONG)
def test_a_snapshot_with_wrong_contents_is_one_sentence(unfinished, part, wrong):
    content = load_tensors(unfinished / SNAPSHOT, "")
    save_tensors(unfinished / SNAPSHOT, content | {part: wrong(content[part])})
    with pytest.raises(InputError, match=r"short.snapshot' does not fit this run \(.+\); remove it, or start anew") as error:
        carry_out(short_config(unfinished, resume=True))
    assert "\n" not in str(error.value) and len(str(error.value)) < 600


@pytest.mark.parametrize("part", ["identity", "arithmetic", "digests"])
def test_a_snapshot_that_says_nothing_of_itself(unfinished, part):
    content = load_tensors(unfinished / SNAPSHOT, "")
    for value in ({}, {"weights_digest": 3}, [1], None):
        save_tensors(unfinished / SNAPSHOT, content | {part: value})
        with pytest.raises(InputError, match=r"short\.(snapshot|unfinished\.pt)'"):
            carry_out(short_config(unfinished, resume=True))


@pytest.mark.parametrize("damage", [lambda whole: b"", lambda whole: whole[:-1], lambda whole: whole[:300] + b"?" + whole[301:]])
def test_a_damaged_snapshot_can_be_overwritten(unfinished, tmp_path_factory, damage):
    path = unfinished / SNAPSHOT
    path.write_bytes(damage(path.read_bytes()))
    for options in ({}, {"resume": True}):
        with pytest.raises(InputError, match=r"short.snapshot' is damaged or not .*; remove it, or start anew with --overwrite"):
            carry_out(short_config(unfinished, **options))
    carry_out(short_config(unfinished, overwrite=True, resume=True))
    whole = tmp_path_factory.mktemp("whole")
    carry_out(short_config(whole))
    assert files(unfinished) == files(whole)


def test_lost_or_damaged_best_weights_are_told_before_training_goes_on(unfinished):
    draft = unfinished / "train/weights/short.unfinished.pt"
    whole = draft.read_bytes()
    draft.write_bytes(whole[:200] + b"?" + whole[201:])
    with pytest.raises(InputError, match=r"short.unfinished.pt' is damaged .*; put it back, or start anew with --overwrite"):
        carry_out(short_config(unfinished, resume=True))
    draft.unlink()
    with pytest.raises(InputError, match=r"the best weights of the unfinished run, '.*short.unfinished.pt', are lost"):
        carry_out(short_config(unfinished, resume=True))
    (unfinished / "train/weights/short.pt").write_bytes(b"of an earlier run")
    with pytest.raises(InputError, match=r"short.unfinished.pt', are lost"):
        carry_out(short_config(unfinished, resume=True))
    draft.write_bytes(whole)
    carry_out(short_config(unfinished, resume=True))
    assert load_weights(unfinished / "train/weights/short.pt")["about"]["epoch"] == 1


def test_an_unfinished_run_is_only_gone_on_with_by_its_own_arithmetic(unfinished):
    before = files(unfinished)
    with pytest.raises(InputError, match="an unfinished run is in .*; go on with --resume"):
        carry_out(short_config(unfinished))
    with pytest.raises(InputError, match="cannot be resumed to the same result: precision was fp32, is bf16; set it as it was"):
        carry_out(short_config(unfinished, resume=True, precision="bf16"))
    assert files(unfinished) == before


@pytest.mark.parametrize("name", ["a.unfinished", "a.classifier", "a.epoch-010"])
def test_names_that_are_other_files_are_refused(tmp_path, name):
    with pytest.raises(InputError, match="should not end in"):
        carry_out(short_config(tmp_path, name=name))
    assert not list(tmp_path.iterdir())
