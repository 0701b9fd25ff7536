"""Settings: types, names, layers, and every shipped YAML."""

from pathlib import Path

import pytest

import evaluate
from common.cli import parse_value, read_arguments, settings_of
from common.config import ENVIRONMENT, Config, experiment, make_config, merge, read_config
from common.errors import InputError
from datasets.batches.augment import Augmentation
from losses import build_objective
from models.embedder import build_embedder
from training.optimisers import build_optimizer, build_schedule

CONFIGS = sorted((Path(__file__).parent.parent / "configs").glob("*.yaml"))


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_every_shipped_config_builds_what_it_describes(path):
    config = read_config([path])
    embedder = build_embedder(config.model)
    build_objective(config.train.terms, config.model.embedding_size, identities=10)
    for stage in (config.pretext, config.train):
        Augmentation(stage.augment, config.model.image_size)
        build_optimizer(stage.optimizer, list(embedder.parameters()), stage.lr)
        schedule = build_schedule(stage.schedule, stage.epochs)
        assert all(0 < schedule(epoch) <= 1 for epoch in (0, stage.epochs / 2, stage.epochs))


def test_triarchy_keeps_the_originals_constants():
    train = read_config([CONFIGS[0].parent / "triarchy.yaml"]).train
    assert (train.epochs, train.batch_size, train.num_instances, train.lr) == (110, 8, 16, 1e-3)
    schedule = build_schedule(train.schedule, train.epochs)
    assert [schedule(epoch) for epoch in (0, 29.9, 30, 79.9, 80, 109)] == [1, 1, 0.333, 0.333, 0.333**2, 0.333**2]
    assert {name: term["weight"] for name, term in train.terms.items()} == {"softmax": 1.0, "triplet": 1.0, "center": 1.0}
    assert train.terms["softmax"]["smoothing"] == 0.1


@pytest.mark.parametrize(
    "values, message",
    [
        ({"data": {"rot": 1}}, "unknown setting 'data.rot'; known here: reader, root"),
        ({"sede": 1}, "unknown setting 'sede'; known here: name, seed"),
        ({"seed": "one"}, "setting 'seed' is 'one'.*integer"),
        ({"seed": -1}, "setting 'seed' is -1.*greater than or equal to 0"),
        ({"train": {"ema": 2.0}}, "setting 'train.ema' is 2.0"),
        ({"train": {"augment": ["flip", "hat", {"name": "flip"}]}}, "setting 'train.augment' is .*: flip stands in it more than"),
        ({"train": {"augment": {"flip": 0.5}}}, "setting 'train.augment' is .*valid array"),
        ({"train": 3}, "setting 'train' is 3"),
        ({"evaluate": {"rule": "mean"}}, "'calibrated' or 'median'"),
        ({"name": "../escape"}, "setting 'name'"),
        ({"train": {"lr": float("nan")}}, "setting 'train.lr'|valid"),
    ],
)
def test_wrong_settings_are_named_with_the_right_ones(values, message):
    with pytest.raises(InputError, match=message):
        make_config(values)


def test_layers_lie_on_each_other(tmp_path):
    first, second = tmp_path / "a.yaml", tmp_path / "b.yaml"
    first.write_text("seed: 1\ntrain: {lr: 0.5, optimizer: {name: adam, beta1: 0.5}, terms: {center: {weight: 2.0}}}\n")
    second.write_text("train: {optimizer: {name: sgd}, terms: {center: null, triplet: {}}}\n")
    config = read_config([first, second], {"seed": 3})
    assert config.seed == 3 and config.train.lr == 0.5
    assert config.train.optimizer == {"name": "sgd"}  # another optimiser does not inherit options
    assert config.train.terms == {"center": None, "triplet": {}}


def test_another_reader_drops_the_options_of_the_one_below():
    assert merge({"data": {"reader": "cfp", "fold": 2}}, {"data": {"reader": "folder", "root": "x"}}) == {
        "data": {"reader": "folder", "root": "x"}
    }


def test_another_backbone_drops_only_the_options_of_the_one_below():
    below = {"model": {"backbone": "efficientnet_b0", "backbone_options": {"momentum": 0.1}, "image_size": 96}}
    assert merge(below, {"model": {"backbone": "small"}}) == {"model": {"backbone": "small", "image_size": 96}}
    assert merge(below, {"model": {"image_size": 64}})["model"]["backbone_options"] == {"momentum": 0.1}


@pytest.mark.parametrize(
    "content",
    [b"\xff\xfe\x00", b"- a\n- b\n", b"a: [1", b"", b"seed: 2026-01-01", b"seed: &a [*a]", b"x: !!python/name:os.system"],
)
def test_broken_yaml_is_one_sentence(tmp_path, content):
    path = tmp_path / "broken.yaml"
    path.write_bytes(content)
    with pytest.raises(InputError, match="broken.yaml"):
        read_config([path])


def test_experiment_leaves_the_environment_out():
    values = experiment(Config())
    assert not any(key.split(".")[0] in values for key in ENVIRONMENT if "." not in key)
    assert "workers" not in values["data"] and "pretrained_weight" not in values["train"]
    assert experiment(make_config({"results": "elsewhere", "data": {"workers": 2}})) == values


def test_command_line_reaches_every_setting():
    settings = list(settings_of(Config()))
    names = [setting.name for setting in settings]
    assert len(names) == len(set(names)) > 40 and all(setting.text for setting in settings)
    argv = ["--epochs", "5", "--lr=1e-2", "--seed", "7", "--resume", "--train.augment.flip.probability=0"]
    argv += ["--train.terms.center.weight=0.5"]
    arguments = read_arguments(
        "x", {"epochs": "train.epochs", "lr": "train.lr"}, [*argv, "--train.terms.softmax=null", "--name", "12"]
    )
    config = read_config([], arguments.overrides)
    assert (config.train.epochs, config.train.lr, config.seed, config.resume, config.name) == (5, 0.01, 7, True, "12")
    assert config.train.augment == [{"name": "flip", "probability": 0}]
    assert config.train.terms == {"center": {"weight": 0.5}, "softmax": None}


@pytest.mark.parametrize("argv", [["--epoch", "3"], ["--train.epoch=3"], ["stray"], ["--train.terms"], ["--model.backbone"]])
def test_unknown_options_end_with_code_2_and_a_hint(argv, capsys):
    with pytest.raises(SystemExit) as stop:
        read_arguments("x", {"epochs": "train.epochs"}, argv)
    assert stop.value.code == 2
    assert "did you mean" in capsys.readouterr().err or argv in (["stray"], ["--train.terms"], ["--model.backbone"])


def test_a_script_has_only_its_own_options(capsys):
    for argv in (["--pretext.epochs=3"], ["--model.image_size=64"], ["--similarity=cosine"], ["--resume"]):
        with pytest.raises(SystemExit):
            read_arguments("x", evaluate.SHORT, argv, without=evaluate.WITHOUT)
    assert read_arguments("x", evaluate.SHORT, ["--evaluate.flip"], without=evaluate.WITHOUT).overrides == {
        "evaluate": {"flip": True}
    }


def test_scientific_notation_is_a_number_in_yaml_too(tmp_path):
    path = tmp_path / "a.yaml"
    path.write_text("train: {lr: 1e-3, terms: {softmax: {weight: 1E2}}}\n")
    config = read_config([path])
    assert config.train.lr == 0.001 and config.train.terms["softmax"]["weight"] == 100.0


@pytest.mark.parametrize(
    "text, value",
    [
        ("1e-3", 0.001),
        ("[30, 80]", [30, 80]),
        ("null", None),
        ("true", True),
        ("{name: adam}", {"name": "adam"}),
        ("a: b: c", "a: b: c"),
    ],
)
def test_values_on_the_command_line(text, value):
    assert parse_value(text) == value
