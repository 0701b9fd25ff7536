"""Whole runs on a tiny set: what is written, and that equal commands give equal bytes, whatever happens in between."""

import json
import os
import signal
import sys
import time
from pathlib import Path

import pandas as pd
import pytest
import torch

import evaluate
import run as solution
import verification.embedding
from common.cli import DEFAULT_CONFIG, read_arguments
from common.config import read_config
from common.errors import InputError
from models.archive import save_tensors
from models.backbones.small import SmallNet
from models.weights import load_weights, save_weights
from tests.started import start
from tests.tiny import draw_people, tiny_settings
from train import train
from training.run import Run
from verification.evaluation import evaluation_config

pytestmark = pytest.mark.usefixtures("pictures_as_digests")


@pytest.fixture(scope="module")
def people(tmp_path_factory) -> Path:
    return draw_people(tmp_path_factory.mktemp("people"))


def carry_out(people: Path, results: Path, *extra: str, stage=solution.run, **overrides: str) -> Path:
    arguments = read_arguments("test", {}, [*tiny_settings(people, results, **overrides), *extra])
    return stage(read_config([DEFAULT_CONFIG], arguments.overrides))


@pytest.fixture(scope="module")
def finished(people, tmp_path_factory, pictures_as_digests) -> Path:
    """Results of one uninterrupted run."""
    results = tmp_path_factory.mktemp("results")
    carry_out(people, results)
    return results


def contents(results: Path) -> dict[str, object]:
    """Everything a run wrote, by file, with the times taken out."""
    files = {}
    for path in sorted(path for path in results.rglob("*") if path.is_file()):
        name = path.relative_to(results).as_posix()
        if path.suffix == ".jsonl":
            rows = [json.loads(line) for line in path.read_text().splitlines()]
            files[name] = [
                {key: value for key, value in row.items() if key not in ("seconds", "images_per_second")} for row in rows
            ]
        elif name.endswith("_metrics.json"):
            files[name] = {key: value for key, value in json.loads(path.read_text()).items() if key != "seconds"}
        elif path.suffix == ".json":  # a receipt; whoever works on the code while the tests run may commit meanwhile
            files[name] = {key: value for key, value in json.loads(path.read_text()).items() if key != "git_commit"}
        else:
            files[name] = path.read_bytes()
    return files


def test_a_run_leaves_weights_logs_receipts_and_a_submission(finished, people):
    assert {path.relative_to(finished).as_posix() for path in finished.rglob("*") if path.is_file()} >= {
        "train/weights/tiny-pretext.pt",
        "train/weights/tiny-pretext.json",
        "train/weights/tiny.pt",
        "train/weights/tiny.classifier.pt",
        "train/weights/tiny.json",
        "train/logs/tiny-pretext.jsonl",
        "train/logs/tiny.jsonl",
        "test/tiny_preds.csv",
        "test/tiny_scores.csv",
        "test/tiny_metrics.json",
        "test/tiny_roc.png",
        "test/tiny_scores.png",
    }
    names = [path.name for path in finished.rglob("*")]
    assert not [name for name in names if name.endswith((".snapshot", ".unfinished.pt")) or "partial" in name]
    rows = [json.loads(line) for line in (finished / "train/logs/tiny.jsonl").read_text().splitlines()]
    assert [row["epoch"] for row in rows] == [1, 2, 3]
    assert all({"softmax", "triplet", "center", "embedding_norm", "lr", "seconds"} <= set(row) for row in rows)
    assert ["validation" in row for row in rows] == [False, True, True]
    receipt = json.loads((finished / "train/weights/tiny.json").read_text())
    assert receipt["versions"]["torch"] and receipt["threads"] == 2 and receipt["seed"] == 0 and receipt["data_digest"]
    predictions = pd.read_csv(finished / "test/tiny_preds.csv")
    assert list(predictions.columns) == ["image1", "image2", "label"] and set(predictions.label) <= {0, 1}


def test_figures_say_what_they_are(finished):
    figures = json.loads((finished / "test/tiny_metrics.json").read_text())
    assert {
        "accuracy",
        "auc",
        "eer",
        "tar_at_far_1e-2",
        "tar_at_far_1e-3",
        "threshold",
        "threshold_rule",
        "pairs",
        "images",
        "parameters",
        "seconds",
    } <= set(figures)
    scores = pd.read_csv(finished / "test/tiny_scores.csv")["score"]
    predictions = pd.read_csv(finished / "test/tiny_preds.csv")["label"]
    assert ((scores < figures["threshold"]).astype(int) == predictions).all()  # label 1 = different = low score


def test_same_command_twice_gives_the_same_bytes(finished, people, tmp_path):
    carry_out(people, tmp_path)
    assert contents(tmp_path) == contents(finished)


def test_loader_workers_change_nothing(finished, people, tmp_path):
    carry_out(people, tmp_path, data__workers=2)
    assert contents(tmp_path) == contents(finished)


def test_images_grow_over_the_epochs(people, tmp_path, monkeypatch):
    sides = []
    forward = SmallNet.forward

    def recorded(network, images):
        if network.training and images.device.type == "cpu":  # settings are tried out on the meta device
            sides.append(images.shape[-1])
        return forward(network, images)

    monkeypatch.setattr(SmallNet, "forward", recorded)
    grow = "{name: metric, image_sizes: [16, 24]}"
    carry_out(people, tmp_path, pretext__epochs=0, train__epochs=4, train__recipe=grow, train__validate_every=9)
    half = len(sides) // 2
    assert half and sides == [16] * half + [24] * half


def test_whitening_changes_the_shipped_embedding_layer_and_nothing_that_is_trained(people, tmp_path):
    runs = {}
    for whiten in ("0", "30"):
        carry_out(people, tmp_path / whiten, train__recipe__whiten=whiten, train__validate_every="9")  # then the last epoch ships
        runs[whiten] = load_weights(tmp_path / whiten / "train" / "weights" / "tiny.pt")["state"]
    changed = [name for name, tensor in runs["0"].items() if not torch.equal(tensor, runs["30"][name])]
    assert changed == ["head.linear.weight", "head.linear.bias"]


def test_whitening_that_cannot_be_is_refused_before_the_first_stage(people, tmp_path):
    with pytest.raises(InputError, match="no two show one person"):
        carry_out(people, tmp_path, train__recipe__whiten="1")
    assert not list(tmp_path.rglob("*.pt"))


def test_precision_is_the_machines_own_business(people, tmp_path):
    carry_out(people, tmp_path, precision="bf16")
    receipt = json.loads((tmp_path / "train" / "weights" / "tiny.json").read_text())
    assert receipt["precision"] == "bf16" and "precision" not in receipt["config"]
    weights = load_weights(tmp_path / "train" / "weights" / "tiny.pt")
    assert {tensor.dtype for tensor in weights["state"].values()} == {torch.float32, torch.int64}


def test_another_seed_gives_other_weights(finished, people, tmp_path):
    carry_out(people, tmp_path, seed=1)
    assert contents(tmp_path)["train/weights/tiny.pt"] != contents(finished)["train/weights/tiny.pt"]


def die_after_epoch(monkeypatch, people: Path, results: Path, stop_after: int, **overrides) -> None:
    """Carry out a run whose process dies right after the end of an epoch, counted over both stages."""
    saved, calls = Run.save_snapshot, []

    def save_then_die(self, *arguments):
        saved(self, *arguments)
        calls.append(1)
        if len(calls) == stop_after:
            raise RuntimeError("power cut")

    with monkeypatch.context() as patch, pytest.raises(RuntimeError, match="power cut"):
        patch.setattr(Run, "save_snapshot", save_then_die)
        carry_out(people, results, **overrides)


@pytest.mark.parametrize("stop_after", [1, 2, 3, 4, 5])
def test_a_run_that_dies_after_any_epoch_resumes_to_the_same_bytes(finished, people, tmp_path, monkeypatch, stop_after):
    die_after_epoch(monkeypatch, people, tmp_path, stop_after)
    with pytest.raises(InputError, match="unfinished run .* --resume"):
        carry_out(people, tmp_path)
    carry_out(people, tmp_path, "--resume")
    assert contents(tmp_path) == contents(finished)


def test_losses_that_remember_resume_to_the_same_bytes(people, tmp_path, monkeypatch):
    """A margin that still warms up, a running mean, a scale and centers: none of them is a weight of an optimiser's."""
    terms = {"curricularface__warmup": 20, "adacos__weight": 1, "moving_center__rate": 0.1}
    settings = {"stage": train, "threads": 1, "train__epochs": 2} | {f"train__terms__{key}": terms[key] for key in terms}
    carry_out(people, tmp_path / "whole", **settings)
    die_after_epoch(monkeypatch, people, tmp_path / "broken", 1, **settings)
    carry_out(people, tmp_path / "broken", "--resume", **settings)
    assert contents(tmp_path / "broken") == contents(tmp_path / "whole")
    state = load_weights(tmp_path / "broken/train/weights/tiny.classifier.pt", ("classifier",))["state"]
    assert 0 < state["objective.losses.curricularface.steps"] < 20 and state["objective.losses.curricularface.t"] != 0


LONG = {"train__epochs": 25, "train__validate_every": 7}


@pytest.fixture(scope="module")
def long_run(people, tmp_path_factory) -> Path:
    """Results of one uninterrupted run of 25 epochs, pictures included."""
    results = tmp_path_factory.mktemp("long")
    code, said = start("run.py", settings_of_long_run(people, results), results / "said").ended()
    assert code == 0, said
    (results / "said").unlink()
    return results


def settings_of_long_run(people: Path, results: Path, **overrides: str) -> list[str]:
    return ["--config", str(DEFAULT_CONFIG), *tiny_settings(people, results, **LONG, **overrides)]


@pytest.mark.parametrize("save_every", [1, 4])  # changes no byte
def test_sigkill_and_resume_ends_byte_identical(people, long_run, tmp_path, save_every):
    """The real thing: the process is killed, three times, wherever it happens to be."""
    results = tmp_path / "results"
    settings = settings_of_long_run(people, results, train__save_every=save_every)
    command = ("run.py", [*settings, "--resume"], tmp_path / "said")
    log = results / "train/logs/tiny.jsonl"
    killed = 0
    for least in (1, 7, 14):
        process = start(*command).process
        while process.is_alive() and (not log.exists() or len(log.read_text().splitlines()) < least):
            time.sleep(0.002)
        if process.is_alive():
            os.kill(process.pid, signal.SIGKILL)
            killed += 1
        process.join()
    assert killed >= 2
    code, said = start(*command).ended()
    assert code == 0, said
    assert contents(results) == contents(long_run)


def test_a_finished_run_is_kept_from_other_settings(finished, people):
    before = contents(finished)
    with pytest.raises(InputError, match=r"other settings or data \(seed was 0, is 5\).*--overwrite"):
        carry_out(people, finished, seed=5)
    with pytest.raises(InputError, match=r"train.epochs was 3, is 9"):
        carry_out(people, finished, "--resume", train__epochs=9)
    assert contents(finished) == before


def test_a_setting_that_is_gone_is_a_difference(finished, people):
    with pytest.raises(InputError, match=r"train.terms was \[.*center.*\], is \["):
        carry_out(people, finished, "--resume", "--train.terms.center=null")


def test_an_interrupted_overwrite_goes_on(finished, people, tmp_path, monkeypatch):
    carry_out(people, tmp_path, seed=1)
    monkeypatch.setattr(Run, "save_snapshot", lambda self, *arguments: (_ for _ in ()).throw(RuntimeError("power cut")))
    with pytest.raises(RuntimeError, match="power cut"):
        carry_out(people, tmp_path, "--overwrite")
    monkeypatch.undo()
    carry_out(people, tmp_path, "--overwrite", "--resume")
    assert contents(tmp_path) == contents(finished)


WRITES = [("write_whole", 1), ("write_whole", 2), ("write_whole", 4), ("os.replace", 1), ("os.replace", 4), ("os.replace", 7)]
WRITES += [("file_digest", 1), ("file_digest", 2), ("write_json", 1), ("write_json", 2)]


@pytest.mark.parametrize("function, count", WRITES)
def test_a_run_that_dies_at_any_write_resumes_to_the_same_bytes(finished, people, tmp_path, monkeypatch, function, count):
    """Between the weights and the snapshot, between the rename and the receipt: nothing may be lost or change."""
    targets = {
        "write_whole": ["training.run.write_whole", "models.archive.write_whole"],
        "os.replace": ["training.run.os.replace"],
        "file_digest": ["training.run.file_digest"],
        "write_json": ["training.run.write_json"],
    }[function]
    calls = []

    def dying(original):
        def call(*arguments, **options):
            calls.append(1)
            if len(calls) == count:
                raise RuntimeError("power cut")
            return original(*arguments, **options)

        return call

    for target in targets:
        name, attribute = target.rsplit(".", 1)
        owner = os if name.endswith(".os") else sys.modules[name]
        monkeypatch.setattr(owner, attribute, dying(getattr(owner, attribute)))
    with pytest.raises(RuntimeError, match="power cut"):
        carry_out(people, tmp_path)
    monkeypatch.undo()
    carry_out(people, tmp_path, "--resume")
    assert contents(tmp_path) == contents(finished)


def test_another_thread_count_is_not_resumed(people, tmp_path, monkeypatch):
    die_after_epoch(monkeypatch, people, tmp_path, 1)
    with pytest.raises(InputError, match="cannot be resumed to the same result: threads was 2, is 1"):
        carry_out(people, tmp_path, "--resume", threads=1)


def test_weights_that_are_not_what_the_receipt_says(people, tmp_path):
    carry_out(people, tmp_path, pretext__epochs=0, train__epochs=1)
    (tmp_path / "train/weights/tiny.pt").write_bytes(b"x")
    with pytest.raises(InputError, match="is not what its receipt says"):
        carry_out(people, tmp_path, "--resume", pretext__epochs=0, train__epochs=1)


def test_a_broken_snapshot_is_named(people, tmp_path):
    (tmp_path / "train/weights").mkdir(parents=True)
    save_tensors(tmp_path / "train/weights/tiny-pretext.snapshot", {"identity": {}})
    with pytest.raises(InputError, match="not the snapshot of an unfinished run; remove it"):
        carry_out(people, tmp_path, "--resume")


def test_overwrite_replaces_and_resume_of_a_finished_run_is_idle(people, tmp_path):
    carry_out(people, tmp_path, train__epochs=1)
    carry_out(people, tmp_path, "--overwrite")
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "train").rglob("*.pt")}
    carry_out(people, tmp_path, "--resume")
    assert before == {path: path.stat().st_mtime_ns for path in (tmp_path / "train").rglob("*.pt")}


def test_changed_photographs_are_noticed(tmp_path):
    people = draw_people(tmp_path / "people")
    carry_out(people, tmp_path / "results")
    first = sorted(people.rglob("*.png"))
    first[0].write_bytes(first[1].read_bytes())
    with pytest.raises(InputError, match="data_digest was"):
        carry_out(people, tmp_path / "results")


def evaluate_again(finished: Path, *options: str) -> tuple[Path, dict]:
    arguments = read_arguments("test", evaluate.SHORT, ["--model_weight", str(finished / "train/weights/tiny.pt"), *options])
    submission = solution.evaluate(evaluation_config(arguments.configs, arguments.overrides))
    figures = submission.with_name(submission.name.replace("_preds.csv", "_metrics.json"))
    return submission, json.loads(figures.read_text()) if figures.exists() else {}


def test_evaluate_needs_only_the_weight_file(finished, tmp_path):
    submission, figures = evaluate_again(finished, "--results", str(tmp_path))
    assert submission.read_bytes() == (finished / "test/tiny_preds.csv").read_bytes()
    assert figures["threshold_rule"] == "calibrated"


def test_rules_and_flip(finished, tmp_path):
    _, plain = evaluate_again(finished, "--results", str(tmp_path))
    _, flipped = evaluate_again(finished, "--results", str(tmp_path), "--evaluate.flip")
    assert flipped["threshold"] != plain["threshold"] and flipped["flip"]
    submission, figures = evaluate_again(finished, "--results", str(tmp_path), "--evaluate.rule=median")
    assert figures["threshold_rule"] == "median"
    assert abs(pd.read_csv(submission)["label"].mean() - 0.5) < 0.1
    submission, figures = evaluate_again(finished, "--results", str(tmp_path), "--evaluate.rule=2.0")
    assert figures["threshold"] == 2.0 and (pd.read_csv(submission)["label"] == 1).all()


def test_weights_carry_how_they_are_meant_to_be_evaluated(people, tmp_path):
    carry_out(people, tmp_path, evaluate__flip="true")
    submission = (tmp_path / "test/tiny_preds.csv").read_bytes()
    _, as_meant = evaluate_again(tmp_path, "--results", str(tmp_path / "again"))
    assert as_meant["flip"] and (tmp_path / "again/test/tiny_preds.csv").read_bytes() == submission
    _, plain = evaluate_again(tmp_path, "--results", str(tmp_path / "plain"), "--evaluate.flip=false")
    assert not plain["flip"] and plain["threshold"] != as_meant["threshold"]


def test_any_list_of_pairs(finished, people, tmp_path):
    photographs = [path.relative_to(people).as_posix() for path in sorted(people.rglob("*.png"))]
    table = pd.DataFrame({"image1": photographs[:20], "image2": photographs[1:21]})
    table["same"] = [int(a.split("/")[0] == b.split("/")[0]) for a, b in zip(table.image1, table.image2)]
    table.to_csv(tmp_path / "same.csv", index=False)
    table.assign(label=1 - table["same"]).drop(columns="same").to_csv(tmp_path / "label.csv", index=False)
    table.drop(columns="same").to_csv(tmp_path / "open.csv", index=False)
    options = ["--data_root", str(people), "--results", str(tmp_path)]
    first, by_same = evaluate_again(finished, "--pairs", str(tmp_path / "same.csv"), *options, "--name", "first")
    second, by_label = evaluate_again(finished, "--pairs", str(tmp_path / "label.csv"), *options, "--name", "second")
    assert (tmp_path / "test/second_roc.png").exists()
    third, none = evaluate_again(finished, "--pairs", str(tmp_path / "open.csv"), *options, "--name", "third")
    assert first.read_bytes() == second.read_bytes() == third.read_bytes() and not none
    assert by_same["accuracy"] == by_label["accuracy"] and by_same["images"] == 21
    assert pd.read_csv(first)["image1"].tolist() == photographs[:20]


def test_pairs_without_answers_leave_no_stale_figures(finished, people, tmp_path):
    evaluate_again(finished, "--results", str(tmp_path))
    (tmp_path / "open.csv").write_text("image1,image2\n사람00/0.png,사람01/0.png\n", encoding="utf-8")
    options = ["--pairs", str(tmp_path / "open.csv"), "--data_root", str(people), "--results", str(tmp_path)]
    _, figures = evaluate_again(finished, *options, "--overwrite")
    assert not figures and visible(tmp_path / "test") == ["tiny_preds.csv", "tiny_scores.csv"]


def visible(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.name != ".lock")


def everything(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.name != ".lock"}


def test_a_submission_of_other_pairs_is_kept_unless_told_otherwise(finished, people, tmp_path):
    evaluate_again(finished, "--results", str(tmp_path))
    before = everything(tmp_path / "test")
    (tmp_path / "open.csv").write_text("image1,image2\n사람00/0.png,사람01/0.png\n", encoding="utf-8")
    options = ["--pairs", str(tmp_path / "open.csv"), "--data_root", str(people), "--results", str(tmp_path)]
    with pytest.raises(InputError, match="tiny_preds.csv' answers other pairs than these; .*--overwrite"):
        evaluate_again(finished, *options)
    assert everything(tmp_path / "test") == before
    evaluate_again(finished, *options, "--name", "other")
    evaluate_again(finished, *options, "--name", "other", "--evaluate.flip")  # the same pairs once more
    submission, _ = evaluate_again(finished, *options, "--overwrite")
    assert len(pd.read_csv(submission)) == 1


@pytest.mark.parametrize("rule", ["NaN", "Infinity", "calibrated"])
def test_a_rule_without_a_threshold_is_told_before_anything_is_read_or_written(finished, tmp_path, monkeypatch, rule):
    content = load_weights(finished / "train/weights/tiny.pt")
    bare = {key: value for key, value in content["about"].items() if key != "validation"}
    weights = save_weights(tmp_path / "tiny.pt", "embedder", content["state"], bare)
    evaluate_again(finished, "--results", str(tmp_path))
    before = everything(tmp_path / "test")
    monkeypatch.setattr(verification.embedding, "decode_all", None)
    with pytest.raises(InputError, match="should be 'calibrated'|this one has none|a number should be finite"):
        evaluate_again(finished, "--results", str(tmp_path), f"--evaluate.rule={rule}", "--model_weight", str(weights))
    assert everything(tmp_path / "test") == before


def test_weights_that_give_no_scores_leave_the_earlier_files(finished, tmp_path):
    content = load_weights(finished / "train/weights/tiny.pt")
    state = {name: value * float("nan") if value.is_floating_point() else value for name, value in content["state"].items()}
    weights = save_weights(tmp_path / "tiny.pt", "embedder", state, content["about"])
    evaluate_again(finished, "--results", str(tmp_path))
    before = everything(tmp_path / "test")
    with pytest.raises(InputError, match="not finite"):
        evaluate_again(finished, "--results", str(tmp_path), "--model_weight", str(weights))
    assert everything(tmp_path / "test") == before


def test_each_photograph_is_embedded_once(finished, people, tmp_path, monkeypatch):
    decoded = []
    original = verification.embedding.decode_all

    def counting(faces, *arguments):
        decoded.extend(faces.file_names)
        return original(faces, *arguments)

    monkeypatch.setattr(verification.embedding, "decode_all", counting)
    _, figures = evaluate_again(finished, "--results", str(tmp_path))
    assert len(decoded) == len(set(decoded)) == figures["images"] < 2 * figures["pairs"]


def test_photographs_cut_in_another_way_than_in_training_are_told(finished, people, tmp_path, capsys):
    """The boxes that the weights learned with are those of their own data; of a list of pairs others may be given."""
    content = load_weights(finished / "train/weights/tiny.pt")
    assert content["about"]["cut"] == {"boxes": 0.0}
    about = content["about"] | {"cut": {"boxes": 1.0}}
    about["config"] = about["config"] | {"data": about["config"]["data"] | {"boxes": "gone.csv"}}
    save_weights(tmp_path / "boxed.pt", "embedder", content["state"], about)
    one, two = "사람00/0.png", "사람01/0.png"
    (tmp_path / "open.csv").write_text(f"image1,image2\n{one},{two}\n", encoding="utf-8")
    (tmp_path / "faces.csv").write_text(f"file_name,left,top,right,bottom\n{one},0,0,9,9\n{two},0,0,9,9\n", encoding="utf-8")
    options = ["--pairs", str(tmp_path / "open.csv"), "--data_root", str(people), "--results", str(tmp_path / "r")]
    options += ["--model_weight", str(tmp_path / "boxed.pt")]
    evaluate_again(finished, *options)
    assert "and 2 of these 2 have no box and are used whole" in capsys.readouterr().out
    scores = (tmp_path / "r" / "test" / "boxed_scores.csv").read_bytes()
    evaluate_again(finished, *options, "--data.boxes", str(tmp_path / "faces.csv"))
    assert "used whole" not in capsys.readouterr().out
    assert (tmp_path / "r" / "test" / "boxed_scores.csv").read_bytes() != scores
