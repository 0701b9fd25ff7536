"""Settings: types, names, layers, and every shipped YAML."""

from pathlib import Path

import pytest

import evaluate
from common.cli import Arguments, as_typed, chosen_config, read_arguments, settings_of
from common.config import ENVIRONMENT, Config, experiment, make_config, merge, read_config
from common.errors import InputError
from common.plain import parse_value
from datasets.batches.augment import Augmentation
from datasets.readers import READERS
from losses import build_objective
from models.embedder import build_embedder
from recipes import PRETEXT_RECIPES, TRAIN_RECIPES
from recipes.distill import TO_LOSSES
from training.checks import GIVEN
from training.optimisers import OPTIMIZERS
from training.schedules import SCHEDULES

CONFIGS = sorted((Path(__file__).parent.parent / "configs").glob("*.yaml"))


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_every_shipped_config_builds_what_it_describes(path):
    config = read_config([path])
    embedder = build_embedder(config.model)
    build_objective(config.train.terms, config.model.embedding_size, 10, TO_LOSSES, teacher_size=8, map_channels=[(4, 4)])
    READERS.check(config.data.reader, ("root",))
    for stage, recipes in ((config.pretext, PRETEXT_RECIPES), (config.train, TRAIN_RECIPES)):
        recipes.check(stage.recipe, GIVEN)
        Augmentation(stage.augment, config.model.image_size)
        OPTIMIZERS.build(stage.optimizer, groups=[{"params": list(embedder.parameters())}], lr=stage.lr)
        schedule = SCHEDULES.build(stage.schedule, epochs=stage.epochs)
        assert all(0 < schedule(epoch) <= 1 for epoch in (0, stage.epochs / 2, stage.epochs))


def test_triarchy_keeps_the_originals_constants():
    train = read_config([CONFIGS[0].parent / "triarchy.yaml"]).train
    assert (train.epochs, train.batch_size, train.num_instances, train.lr) == (110, 8, 16, 1e-3)
    schedule = SCHEDULES.build(train.schedule, epochs=train.epochs)
    assert [schedule(epoch) for epoch in (0, 29.9, 30, 79.9, 80, 109)] == [1, 1, 0.333, 0.333, 0.333**2, 0.333**2]
    assert {term["name"]: term["weight"] for term in train.terms} == {"softmax": 1.0, "triplet": 1.0, "center": 1.0}
    assert train.terms[0] == {"name": "softmax", "weight": 1.0, "smoothing": 0.1}


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
        ({"evaluate": {"rule": "mean"}}, "'calibrated', 'median', a finite number or a false accept rate"),
        ({"name": "../escape"}, "setting 'name'"),
        ({"train": {"lr": float("nan")}}, "setting 'train.lr' is nan, .*finite"),
        (
            {"train": {"terms": ["softmax", {"name": "softmax", "smoothing": 0.2}]}},
            "'train.terms'.*softmax stands in it more than once",
        ),
        ({"train": {"terms": {"softmax": {}}}}, "setting 'train.terms'.*array"),
        ({"train": {"terms": [5]}}, "setting 'train.terms.0' is 5, .*a name, or"),
        ({"train": {"optimizer": {"beta1": 0.5}}}, "setting 'train.optimizer' is .*a name, or"),
        ({"train": {"optimizer": None}}, "setting 'train.optimizer' is None"),
        ({"train": {"a[": 1}}, r"unknown setting 'train.a\['; known here: recipe"),
    ],
)
def test_wrong_settings_are_named_with_the_right_ones(values, message):
    with pytest.raises(InputError, match=message):
        make_config(values)


def test_layers_lie_on_each_other(tmp_path):
    first, second = tmp_path / "a.yaml", tmp_path / "b.yaml"
    first.write_text(
        "seed: 1\ntrain: {lr: 0.5, optimizer: {name: adam, beta1: 0.5}, terms: [softmax, {name: center, weight: 2}]}"
    )
    second.write_text("train: {optimizer: {name: sgd}, terms: {center: null, triplet: {margin: 0.3}}}\n")
    config = read_config([first, second], {"seed": 3})
    assert config.seed == 3 and config.train.lr == 0.5
    assert config.train.optimizer == {"name": "sgd"}  # another optimiser does not inherit options
    assert config.train.terms == [{"name": "softmax"}, {"name": "triplet", "margin": 0.3}]


@pytest.mark.parametrize(
    "below, over, merged",
    [
        ("adam", "sgd", "sgd"),
        ({"name": "adam", "beta1": 0.5}, "sgd", "sgd"),
        ({"name": "adam", "beta1": 0.5}, {"name": "sgd", "momentum": 0.8}, {"name": "sgd", "momentum": 0.8}),
        ({"name": "adam", "beta1": 0.5}, "adam", {"name": "adam", "beta1": 0.5}),
        ({"name": "adam", "beta1": 0.5}, {"beta2": 0.9}, {"name": "adam", "beta1": 0.5, "beta2": 0.9}),
        ("adam", {"beta1": 0.5}, {"name": "adam", "beta1": 0.5}),
        ({"beta1": 0.5}, "adam", {"name": "adam", "beta1": 0.5}),
        ({"beta1": 0.5}, {"beta1": 0.6, "beta2": 0.7}, {"beta1": 0.6, "beta2": 0.7}),
        ({"name": "a", "sides": {"x": 1, "y": 2}}, {"sides": {"y": 3}}, {"name": "a", "sides": {"x": 1, "y": 3}}),
        ("adam", 5, 5),
        ("adam", None, None),
    ],
)
def test_a_choice_is_laid_on_one_of_its_name_and_replaces_another(below, over, merged):
    assert merge({"train": {"optimizer": below}}, {"train": {"optimizer": over}}) == {"train": {"optimizer": merged}}


LIST = [{"name": "softmax", "smoothing": 0.2}, {"name": "center"}]


@pytest.mark.parametrize(
    "below, over, merged",
    [
        (LIST, ["triplet"], ["triplet"]),
        (LIST, {"center": None}, LIST[:1]),
        (LIST, {"triplet": None}, LIST),
        (LIST, {"softmax": {"weight": 2.0}}, [{"name": "softmax", "smoothing": 0.2, "weight": 2.0}, LIST[1]]),
        (LIST, {"triplet": {}, "softmax": None}, [LIST[1], {"name": "triplet"}]),
        (["softmax"], {"softmax": {"weight": 2.0}}, [{"name": "softmax", "weight": 2.0}]),
        ({"center": {"weight": 1}}, {"center": {"x": 2}, "softmax": {}}, {"center": {"weight": 1, "x": 2}, "softmax": {}}),
        ({"center": {"weight": 1}}, {"center": None}, {"center": None}),
        ({"center": None}, ["softmax"], ["softmax"]),
        (["softmax", "softmax"], {"center": {}}, ["softmax", "softmax"]),  # wrong below, which is told, and not lost
        ("softmax", {"center": {}}, "softmax"),
        (5, {"center": {}}, 5),
    ],
)
def test_a_list_of_choices_is_replaced_by_a_list_and_changed_by_a_mapping(below, over, merged):
    assert merge({"train": {"terms": below}}, {"train": {"terms": over}}) == {"train": {"terms": merged}}


def test_merging_changes_neither_layer():
    below, over = {"train": {"terms": [{"name": "center"}]}}, {"train": {"terms": {"center": {"weight": 2.0}}}}
    merge(below, over)
    assert below == {"train": {"terms": [{"name": "center"}]}} and over["train"] == {"terms": {"center": {"weight": 2.0}}}


def options(*argv: str) -> Arguments:
    return read_arguments("x", {"epochs": "train.epochs"}, argv)


@pytest.mark.parametrize(
    "argv, terms",
    [
        (["--train.terms.center.weight=2", "--train.terms.center=null"], ["softmax"]),
        (["--train.terms.center=null", "--train.terms.center.weight=2"], ["softmax", {"name": "center", "weight": 2}]),
        (["--train.terms.center=null", "--train.terms=[triplet, center]"], ["triplet"]),  # the list first, wherever it stands
        (["--train.terms=[triplet]", "--train.terms.center", "{weight: 2}"], ["triplet", {"name": "center", "weight": 2}]),
    ],
)
def test_options_within_a_list_come_after_it_in_their_order(argv, terms, tmp_path):
    (tmp_path / "a.yaml").write_text("train: {terms: [softmax, center]}")
    config = read_config([tmp_path / "a.yaml"], options(*argv).overrides)
    assert config.train.terms == [{"name": term} if isinstance(term, str) else term for term in terms]


def test_options_of_a_choice_follow_its_name_on_the_command_line():
    expected = {"name": "sgd", "momentum": 0.5}
    for argv in (["--train.optimizer.momentum=0.5", "--train.optimizer=sgd"], ["--train.optimizer={name: sgd, momentum: 0.5}"]):
        assert read_config([], options(*argv).overrides).train.optimizer == expected
    assert read_config([], options("--train.optimizer.beta1", "0.5").overrides).train.optimizer == {"name": "adam", "beta1": 0.5}


@pytest.mark.parametrize(
    "argv, name",
    [
        ([], "twin"),
        (["--data.reader=cfp"], "cfp"),
        (["--data.reader.fold=3", "--data.reader=cfp"], "cfp"),
        (["--data.reader={name: orl}"], "orl"),
        (["--data.reader=folder"], "folder"),
        (["--data.reader=kface"], "twin"),
        (["--data.reader.fold=3"], "twin"),
        (["--data.reader=unknown"], "twin"),
        (["--data.reader=CFP"], "twin"),
        (["--data.reader=../configs/cfp"], "twin"),
        (["--data.reader={name: /etc/passwd}"], "twin"),
        (["--data.reader=*"], "twin"),
        (["--config", str(CONFIGS[0].parent / "smoke.yaml"), "--data.reader=cfp"], "smoke"),
    ],
)
def test_without_a_config_the_chosen_readers_own_lies_below(argv, name):
    config = chosen_config(options(*argv))
    assert config.name == name
    if argv == ["--data.reader=cfp"]:
        assert config.data.reader == {"name": "cfp", "fold": 2, "protocol": "FP"}
        assert config.train == read_config([CONFIGS[0].parent / "cfp.yaml"]).train


def test_a_reader_whose_name_is_a_path_opens_no_file(tmp_path):
    (tmp_path / "mine.yaml").write_text("seed: 5")
    for name in (tmp_path / "mine", f"../../../../../../../..{tmp_path}/mine"):
        assert chosen_config(options(f"--data.reader={name}")).seed == 0


def test_another_reader_drops_the_options_of_the_one_below():
    below = {"data": {"reader": {"name": "cfp", "fold": 2}, "root": "y"}}
    assert merge(below, {"data": {"reader": "folder", "root": "x"}}) == {"data": {"reader": "folder", "root": "x"}}


def test_another_backbone_drops_only_the_options_of_the_one_below():
    below = {"model": {"backbone": {"name": "efficientnet_b0", "momentum": 0.1}, "image_size": 96}}
    assert merge(below, {"model": {"backbone": "small"}}) == {"model": {"backbone": "small", "image_size": 96}}
    assert merge(below, {"model": {"image_size": 64}})["model"]["backbone"]["momentum"] == 0.1


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
    argv += ["--train.terms.center.weight=0.5", "--name", "12"]
    arguments = read_arguments("x", {"epochs": "train.epochs", "lr": "train.lr"}, argv)
    config = read_config([CONFIGS[0].parent / "triarchy.yaml"], arguments.overrides)
    assert (config.train.epochs, config.train.lr, config.seed, config.resume, config.name) == (5, 0.01, 7, True, "12")
    assert config.train.augment == [{"name": "flip", "probability": 0}]
    assert [term["weight"] for term in config.train.terms] == [1.0, 1.0, 0.5]


@pytest.mark.parametrize(
    "argv", [["--epoch", "3"], ["--train.epoch=3"], ["stray"], ["--train.terms"], ["--model.backbone"], ["--train.terms.center"]]
)
def test_unknown_options_end_with_code_2_and_a_hint(argv, capsys):
    with pytest.raises(SystemExit) as stop:
        read_arguments("x", {"epochs": "train.epochs"}, argv)
    assert stop.value.code == 2
    message = capsys.readouterr().err
    assert len(message.splitlines()) == 1
    if argv[0] == "--train.terms.center":
        assert "needs a value" in message  # and does not take the term out
    elif argv not in (["stray"], ["--train.terms"], ["--model.backbone"]):
        assert "did you mean" in message


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
    assert config.train.lr == 0.001 and config.train.terms[0]["weight"] == 100.0


@pytest.mark.parametrize(
    "text, value",
    [
        ("1e-3", 0.001),
        ("[30, 80]", [30, 80]),
        ("null", None),
        ("true", True),
        ("{name: adam}", {"name": "adam"}),
        ("a: b: c", "a: b: c"),
        ("2026-01-01", "2026-01-01"),
        ("", ""),
    ],
)
def test_values_on_the_command_line(text, value):
    assert parse_value(text) == value


@pytest.mark.parametrize(
    "value, shown",
    [
        ({"name": "adam"}, "adam"),
        ({"name": "muon", "rounds": 3, "nested": {"a": True}}, "{name: muon, rounds: 3, nested: {a: true}}"),
        ([{"name": "softmax"}, {"name": "center", "weight": 0.5}], "[softmax, {name: center, weight: 0.5}]"),
        (None, "null"),
        (1e-05, "1e-05"),
    ],
)
def test_help_shows_values_as_one_types_them(value, shown):
    assert as_typed(value) == shown
    assert as_typed(parse_value(shown)) == shown


@pytest.mark.parametrize("width", ["80", "130"])
def test_help_is_wrapped_and_names_the_default_of_every_choice(width, monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", width)
    with pytest.raises(SystemExit):
        options("--help")
    text = capsys.readouterr().out
    assert "--epochs, --train.epochs EPOCHS" in text and "(default: twin)" in " ".join(text.split())
    assert '"name"' not in text and max(map(len, text.partition("The values in")[0].splitlines())) <= int(width)
