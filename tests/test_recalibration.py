"""Thresholds that people choose, as a user does it: evaluate.py with a false accept rate, and --calibrate on own pairs."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

import evaluate
import export
import run
import verification.embedding
from common.cli import DEFAULT_CONFIG, read_arguments
from common.config import experiment, make_config, read_config
from common.errors import InputError
from datasets.manifest import Pairs
from datasets.photographs.photographs import Photographs
from datasets.readers.opening import open_reader
from models.embedder import build_embedder
from models.model_file import read_model_file
from models.weights import file_digest, load_weights, save_weights
from tests.test_probability import by_scikit_learn
from tests.tiny import draw_people, tiny_settings
from verification.decisions import calibrate
from verification.operating_points import operating_points
from verification.output import check_output
from verification.quantisation import quantised
from verification.recalibration import LEAST, write
from verification.validation import Validation

pytestmark = pytest.mark.usefixtures("pictures_as_digests")


@pytest.fixture(scope="module")
def people(tmp_path_factory) -> Path:
    return draw_people(tmp_path_factory.mktemp("people"))


@pytest.fixture(scope="module")
def weights(people, tmp_path_factory) -> Path:
    """A weight file of an untrained network, validated as training does it."""
    torch.manual_seed(0)
    settings = read_arguments("test", {}, tiny_settings(people, tmp_path_factory.mktemp("unused"))).overrides
    config = read_config([DEFAULT_CONFIG], settings)
    embedder = build_embedder(config.model).eval()
    reader = open_reader(config.data)
    pairs = reader.pairs("validate")
    photographs = Photographs(reader.faces("validate").of_files(pairs.file_names), config.model.image_size, "read", None)
    about = {"config": experiment(config), "evaluate": {"flip": True}}
    about["validation"] = Validation(pairs, photographs, config)(embedder)
    return save_weights(tmp_path_factory.mktemp("weights") / "w.pt", "embedder", embedder.state_dict(), about)


@pytest.fixture(scope="module")
def own(people, tmp_path_factory) -> Path:
    """Answered pairs of everybody: 30 and more of either kind, and one without an answer."""
    names = [path.relative_to(people).as_posix() for path in sorted(people.rglob("*.png"))]
    table = pd.DataFrame({"image1": names + names, "image2": names[1:] + names[:1] + names[7:] + names[:7]})
    same = [first.split("/")[0] == second.split("/")[0] for first, second in zip(table.image1, table.image2, strict=True)]
    table["same"] = [*map(int, same[:-1]), ""]
    path = tmp_path_factory.mktemp("own") / "own.csv"
    table.to_csv(path, index=False)
    return path


def command(monkeypatch, *options: object) -> None:
    """python evaluate.py, in this process."""
    monkeypatch.setattr("sys.argv", ["evaluate.py", "--threads=1", *map(str, options)])
    evaluate.main()


def figures_of(results: Path, name: str) -> dict:
    return json.loads((results / f"test/{name}_metrics.json").read_text())


# a threshold by false accept rate


@pytest.mark.parametrize("flip", [True, False])
def test_the_threshold_comes_from_the_validation_pairs(weights, own, people, tmp_path, monkeypatch, capsys, flip):
    stored = load_weights(weights)["about"]["validation"]["far"]
    point = stored["flip" if flip else "plain"]["1e-1"]
    options = ["--pairs", own, "--data_root", people, "--results", tmp_path, f"--evaluate.flip={str(flip).lower()}"]
    command(monkeypatch, "--model_weight", weights, *options, "--evaluate.rule=far:0.1")
    figures = figures_of(tmp_path, "w")
    assert figures["threshold"] == point["threshold"] and figures["threshold_rule"] == "far:0.1"
    told = figures["threshold_far"]
    assert told["accepted"] == point["accepted"] and told["different"] == stored["different"] and told["rate"] == "1e-1"
    assert told["interval"][0] <= told["far"] <= told["interval"][1] and told["far"] <= 0.1
    assert f"rule far:0.1: FAR {told['far']:.4%} in validation ({told['accepted']} of {told['different']} pairs" in (
        capsys.readouterr().out
    )
    table = pd.read_csv(tmp_path / "test/w_scores.csv")
    predictions = pd.read_csv(tmp_path / "test/w_preds.csv")
    clear = abs(table["score"] - point["threshold"]) > 1e-6  # it lies just above a score, perhaps of a pair here
    assert ((table["score"] < point["threshold"]) == predictions["label"])[clear].all() and clear.sum() > 50
    assert (np.diff(table.sort_values("score")["probability"]) >= 0).all() and table["probability"].between(0, 1).all()


def test_rules_that_the_file_cannot_keep_are_told_before_photographs_are_read(
    weights, own, people, tmp_path, monkeypatch, capsys
):
    content = load_weights(weights)
    older = dict(content["about"], validation={"thresholds": content["about"]["validation"]["thresholds"]})
    save_weights(tmp_path / "older.pt", "embedder", content["state"], older)
    options = ["--pairs", own, "--data_root", people, "--results", tmp_path / "r"]
    command(monkeypatch, "--model_weight", tmp_path / "older.pt", *options)  # works as ever
    assert pd.read_csv(tmp_path / "r/test/older_scores.csv").columns.tolist() == ["image1", "image2", "score"]
    monkeypatch.setattr(verification.embedding, "decode_all", None)
    for model, rule, message in [
        (weights, "far:1e-3", "at least 1,000 validation pairs of different people, and the weight file was calibrated on 20;"),
        (weights, "far:3e-2", "setting 'evaluate.rule' is 'far:3e-2', which is wrong: it should be 'calibrated'"),
        (tmp_path / "older.pt", "far:1e-1", "this one has none for a false accept rate"),
    ]:
        with pytest.raises(InputError, match=message):
            command(monkeypatch, "--model_weight", model, *options, f"--evaluate.rule={rule}")


def test_the_whole_solution_tells_too_few_validation_pairs_before_it_trains(people, tmp_path, monkeypatch):
    monkeypatch.setattr(run, "train", None)
    monkeypatch.setattr(run, "check_settings", lambda *arguments: None)  # takes seconds, and the other settings are right
    options = tiny_settings(people, tmp_path, evaluate__rule="far:1e-3", pretext__epochs="0")
    with pytest.raises(InputError, match="takes at least 1,000 validation pairs of different people, and the data set has 20;"):
        run.run(read_config([DEFAULT_CONFIG], read_arguments("test", {}, options).overrides))
    assert not (tmp_path / "train").exists()


# calibration on own pairs


def test_it_is_for_the_command_alone(tmp_path):
    """In a run of all stages it would take the place of the evaluation, after the training."""
    with pytest.raises(InputError, match="evaluate.calibrate is 'x.pt', which is for evaluate.py alone"):
        check_output(make_config({"results": str(tmp_path), "evaluate": {"calibrate": "x.pt"}}), Pairs.of([], [], None, tmp_path))


def calibrated(monkeypatch, weights, own, people, out, *options):
    command(monkeypatch, "--model_weight", weights, "--pairs", own, "--data_root", people, "--calibrate", out, *options)
    return read_model_file(out)


def test_only_thresholds_and_probabilities_change(weights, own, people, tmp_path, monkeypatch, capsys):
    before, after = load_weights(weights), calibrated(monkeypatch, weights, own, people, tmp_path / "new" / "own.pt")
    told = capsys.readouterr().out.splitlines()
    assert list(tmp_path.rglob("*.*")) == [tmp_path / "new/own.pt"]  # and no evaluation
    assert list(after["state"]) == list(before["state"]) and after["kind"] == before["kind"]
    for name, tensor in before["state"].items():
        assert after["state"][name].dtype == tensor.dtype and after["state"][name].equal(tensor)
    others = {key: value for key, value in after["about"].items() if key not in ("calibration", "validation")}
    assert others == {key: value for key, value in before["about"].items() if key != "validation"}
    changed, unchanged = after["about"]["validation"], before["about"]["validation"]
    assert {key for key in changed if changed[key] != unchanged[key]} == {"thresholds", "far", "probability"}
    answered = pd.read_csv(own).dropna()
    matching = int(answered["same"].sum())
    said = after["about"]["calibration"]
    assert said["same"] == matching and said["different"] == len(answered) - matching == changed["far"]["different"]
    assert said["weights_digest"] == file_digest(weights) and len(said["pairs_digest"]) == 64 and said["images"] == 60

    results = tmp_path / "r"
    options = ["--pairs", own, "--data_root", people, "--results", results]
    for view, flip in (("plain", "false"), ("flip", "true")):
        command(monkeypatch, "--model_weight", tmp_path / "new/own.pt", *options, f"--evaluate.flip={flip}")
        scores = pd.read_csv(results / "test/own_scores.csv")["score"].to_numpy()[:-1]
        same = answered["same"].to_numpy(dtype=bool)
        assert changed["thresholds"][view] == pytest.approx(calibrate(scores, same), abs=1e-6)
        points = operating_points(scores, same)
        assert list(points) == list(changed["far"][view])
        for rate, point in points.items():
            assert changed["far"][view][rate]["threshold"] == pytest.approx(point["threshold"], abs=1e-6)
        scaling = by_scikit_learn(scores, same)
        assert changed["probability"][view]["slope"] == pytest.approx(scaling.slope, rel=0.01)
    now = figures_of(results, "own")["accuracy"]
    command(monkeypatch, "--model_weight", weights, *options)
    earlier = figures_of(results, "w")["accuracy"]
    old, new = unchanged["thresholds"]["flip"], changed["thresholds"]["flip"]
    assert told[1:] == [
        f"  threshold {old:.4f} before, {new:.4f} now",
        f"  accuracy on these pairs {earlier:.2%} before, {now:.2%} now, which is optimistic: they chose the threshold",
        f"calibrated: {tmp_path / 'new/own.pt'}",
    ]
    assert now >= earlier


def test_a_file_without_a_threshold_gets_one_and_equal_commands_equal_bytes(weights, own, people, tmp_path, monkeypatch, capsys):
    content = load_weights(weights)
    bare = {key: value for key, value in content["about"].items() if key != "validation"}
    save_weights(tmp_path / "bare.pt", "embedder", content["state"], bare)
    first = calibrated(monkeypatch, tmp_path / "bare.pt", own, people, tmp_path / "own.pt")
    assert "threshold none before" in capsys.readouterr().out and first["about"]["validation"]["thresholds"]
    written = (tmp_path / "own.pt").read_bytes()
    calibrated(monkeypatch, tmp_path / "bare.pt", own, people, tmp_path / "own.pt", "--overwrite")
    assert (tmp_path / "own.pt").read_bytes() == written


def test_an_exported_file_is_calibrated_alike(weights, own, people, tmp_path, monkeypatch):
    pytest.importorskip("onnx", reason="NO ONNX: pip install -r requirements-serve.txt")
    pytest.importorskip("onnxruntime", reason="NO ONNX: pip install -r requirements-serve.txt")
    arguments = read_arguments("test", export.SHORT, ["--model_weight", str(weights), "--out", str(tmp_path / "w.onnx")])
    exported = export.export(evaluate.evaluation_config(arguments.configs, arguments.overrides))
    before = read_model_file(exported)
    assert before["about"]["validation"] == load_weights(weights)["about"]["validation"]
    write(tmp_path / "same.onnx", before, before["about"])
    assert (tmp_path / "same.onnx").read_bytes() == exported.read_bytes()
    after = calibrated(monkeypatch, exported, own, people, tmp_path / "own.onnx")["about"]
    other = calibrated(monkeypatch, weights, own, people, tmp_path / "own.pt")["about"]
    for view in ("plain", "flip"):
        assert after["validation"]["thresholds"][view] == pytest.approx(other["validation"]["thresholds"][view], abs=1e-4)
    assert after["calibration"]["pairs_digest"] == other["calibration"]["pairs_digest"]
    assert {key for key in after if after[key] != before["about"].get(key)} == {"validation", "calibration"}
    with pytest.raises(InputError, match="were calibrated on pairs that are not the data set's"):
        quantised(b"", torch.nn.Identity(), other, make_config({}))


def test_what_cannot_be_calibrated_is_one_sentence_before_photographs_are_read(weights, own, people, tmp_path, monkeypatch):
    monkeypatch.setattr(verification.embedding, "decode_all", None)
    few = pd.read_csv(own).dropna()
    kinds = [few[few["same"] == kind] for kind in (0, 1)]
    pd.concat([kinds[0], kinds[1][: LEAST - 1]]).to_csv(tmp_path / "few.csv", index=False)
    few.drop(columns="same").to_csv(tmp_path / "open.csv", index=False)
    (tmp_path / "there.pt").write_bytes(b"mine")
    (tmp_path / "folder.pt").mkdir()
    default = {"model_weight": weights, "pairs": own, "data_root": people, "calibrate": tmp_path / "new.pt"}
    for options, message in [
        (
            {"pairs": tmp_path / "few.csv"},
            "has 29 answered pairs of the same .* calibrating takes at least 30 of each",
        ),
        ({"pairs": tmp_path / "open.csv"}, "has 0 answered pairs of the same person and 0 of different people"),
        ({"pairs": "", "data_root": ""}, "so it needs --pairs"),
        ({"calibrate": tmp_path / "new.onnx"}, "should end in .pt"),
        ({"calibrate": tmp_path / "new"}, "should end in .pt"),
        ({"calibrate": tmp_path / "there.pt"}, "is there already; choose another name"),
        ({"calibrate": tmp_path / "folder.pt"}, "which is a folder"),
        ({"calibrate": weights}, "the very file that is to be calibrated"),
        ({"calibrate": weights, "overwrite": "true"}, "the very file that is to be calibrated"),
        ({"calibrate": tmp_path / "there.pt" / "new.pt"}, "is no folder where you may write"),
        ({"evaluate.rule": "median", "evaluate.folds": 5}, "leave out evaluate.rule, evaluate.folds"),
        ({"name": "x", "results": tmp_path}, "leave out name, results"),
        ({"model_weight": tmp_path / "there.pt"}, "there.pt' is damaged"),
        ({"model_weight": f"{weights},{weights}"}, "are several files; write them as one with export.py"),
    ]:
        with pytest.raises(InputError, match=message):
            command(monkeypatch, *(f"--{name}={value}" for name, value in (default | options).items()))
    assert (tmp_path / "there.pt").read_bytes() == b"mine" and not (tmp_path / "new.pt").exists()
