"""Settings that a stranger, a typing error or another program wrote: one short sentence each, and at once."""

import os
import sys
from pathlib import Path

import pytest
import torch

import benchmark
from common.cli import chosen_config, read_arguments
from common.config import Config, make_config, read_config
from common.errors import InputError, brief, listing, run_script
from common.plain import MOST_BYTES, NotPlain, check_plain, load_yaml, parse_value
from datasets.manifest import Face, Manifest
from distributed import processes
from losses import build_objective
from tests.tiny import light_model
from training.checks import check_settings
from training.optimisers import OPTIMIZERS
from training.schedules import SCHEDULES
from verification.evaluation import evaluation_config

LAUGHS = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n" + "\n".join(
    f"a{level}: &a{level} [{', '.join([f'*a{level - 1}'] * 10)}]" for level in range(1, 10)
)
MERGED_LAUGHS = "a0: &a0 {x: 1}\n" + "\n".join(
    f"a{level}: &a{level} {{<<: [{', '.join([f'*a{level - 1}'] * 10)}]}}" for level in range(1, 10)
)
ODD_YAML = {
    "no date": "2020-13-45",
    "date": "2020-12-24",
    "tagged date": "!!timestamp foo",
    "no bool": "!!bool foo",
    "no int": "!!int foo",
    "empty int": '!!int ""',
    "no float": "!!float foo",
    "no digits": "0b_",
    "many digits": "1" * 5000,
    "many hexadecimal digits": "0x" + "f" * 5000,
    "many sexagesimal digits": "1" + ":59" * 500 + ".5",
    "binary": "!!binary aGFsbG8=",
    "set": "!!set {a, b}",
    "object": "!!python/object/apply:os.system [exit]",
    "value": "=",
    "deep": "[" * 100_000,
    "deep and closed": "[" * 2000 + "]" * 2000,
    "cyclic": "&a [*a]",
    "cyclic mapping": "&a {a: *a}",
    "a key that is no text": "{1: 2}",
    "a key that cannot be": "{[1]: 2}",
    "not a number": ".nan",
    "infinite": "-.inf",
    "1e999": "1e999",
    "two documents": "1\n---\n2",
    "a NUL": '"a\\0b"',
    "half a character": '"\\ud800"',
}


def refused(story, *words: str) -> None:
    """`story` raises InputError of one line, at most 800 letters, with these words."""
    with pytest.raises(InputError) as caught:
        story()
    message = str(caught.value)
    assert "\n" not in message and len(message) < 800 and message.isprintable()
    assert all(word in message for word in words), message


def typed(*argv: str) -> Config:
    return chosen_config(read_arguments("x", {}, argv))


@pytest.mark.parametrize("text", ODD_YAML.values(), ids=ODD_YAML)
@pytest.mark.parametrize("setting", ["seed", "train.optimizer", "data.reader.fold"])
def test_no_yaml_value_ends_in_a_traceback(tmp_path, text, setting):
    *sections, last = setting.split(".")
    path = tmp_path / "odd.yaml"
    path.write_text(
        "".join(f"{'  ' * depth}{name}:\n" for depth, name in enumerate(sections)) + f"{'  ' * len(sections)}{last}: {text}\n"
    )
    if setting == "seed":
        refused(lambda: read_config([path]), "odd.yaml'")
    else:  # text may be a name or an option, which is checked with what it stands for
        try:
            read_config([path])
        except InputError:
            refused(lambda: read_config([path]), "odd.yaml'")


@pytest.mark.parametrize("text", ODD_YAML.values(), ids=ODD_YAML)
def test_no_value_on_the_command_line_ends_in_a_traceback(text):
    refused(lambda: typed(f"--seed={text}"), "command line: setting 'seed")
    try:
        typed(f"--data.reader={text}", f"--train.optimizer.beta1={text}")
    except InputError as error:
        assert "command line: setting '" in str(error) and len(str(error)) < 800


@pytest.mark.parametrize("text", ["!!int foo", "!!bool foo", '!!float ""', "0b_", "9" * 5000])
def test_a_value_that_does_not_fit_its_tag_is_told_with_its_line(tmp_path, text):
    path = tmp_path / "odd.yaml"
    path.write_text(f"name: a\nseed: {text}\n")
    refused(lambda: read_config([path]), "is not of the kind", "line 2")


def test_a_key_that_stands_twice_is_told_with_its_lines(tmp_path):
    path = tmp_path / "odd.yaml"
    path.write_text("seed: 1\ntrain:\n  lr: 0.1\n  epochs: 3\n  'lr': 0.2\n")
    refused(
        lambda: read_config([path]), "odd.yaml' is not valid YAML: the key 'lr' stands twice in one", "in lines 3 and 5; keep"
    )
    path.write_text("a: &a {lr: 1}\nb: {<<: *a, lr: 2}\nc: {lr: 3}\n")
    assert load_yaml(path.read_text())["b"] == {"lr": 2}  # laid over, not twice
    for text in ("{name: adam, beta1: 0.5, name: sgd}", '{"name": "adam", "name": "sgd"}'):
        refused(lambda text=text: typed("--train.optimizer", text), "command line: ", "the key 'name' stands twice", "line 1;")


def test_a_date_is_a_text():
    assert parse_value("2020-12-24") == "2020-12-24" and load_yaml("- 2020-12-24") == ["2020-12-24"]


@pytest.mark.parametrize("text", [LAUGHS, MERGED_LAUGHS], ids=["lists", "merged mappings"])
def test_aliases_that_stand_for_a_billion_values_are_refused_at_once(tmp_path, text):
    path = tmp_path / "laughs.yaml"
    path.write_text(text)
    refused(lambda: read_config([path]), "laughs.yaml' is not valid YAML", "more than 100,000 values")
    flow = "{" + ", ".join(text.splitlines()) + "}"
    assert parse_value(flow) == flow  # then a text, and refused by whatever it is meant for
    refused(lambda: typed(f"--seed={flow}"), "setting 'seed' is '{a0: &a0", "...")


def test_aliases_that_stand_for_a_few_values_are_fine(tmp_path):
    path = tmp_path / "shared.yaml"
    path.write_text("pretext: &stage {lr: 0.5, clip: 1.0}\ntrain: {<<: *stage, clip: 2.0}\n")
    config = read_config([path])
    assert (config.train.lr, config.train.clip, config.pretext.clip) == (0.5, 2.0, 1.0)


def test_a_file_without_end_is_no_config():
    if not Path("/dev/zero").exists():
        pytest.skip("no /dev/zero here")
    refused(lambda: read_config(["/dev/zero"]), f"at most {MOST_BYTES:,} bytes")


def test_a_NUL_in_a_path_is_refused(tmp_path):
    refused(lambda: read_config(["a\0b.yaml"]), "'a\\x00b.yaml' cannot be read")
    for setting in ("data.root", "results", "name", "evaluate.pairs", "train.pretrained_weight", "data.cache"):
        refused(lambda setting=setting: typed(f"--{setting}=a\0b"), f"setting '{setting}' is 'a\\x00b'")


@pytest.mark.parametrize("setting", ["name", "data.root", "evaluate.pairs", "train.optimizer", "data.reader.fold"])
def test_text_that_is_not_utf_8_is_told_with_its_setting(setting):
    text = os.fsdecode(b"caf\xe9") if sys.getfilesystemencoding() == "utf-8" else "caf\udce9"
    refused(lambda: typed(f"--{setting}={text}"), f"'{setting}' is", "UTF-8")


@pytest.mark.parametrize(
    "values",
    [
        {"seed": "x" * 10**6},
        {"x" * 10**6: 1},
        {"name": "a/" + "x" * 10**6},
        {"train": {"y" * 10**6: {"z": float("nan")}}},
        {"train": {"lr": [list(range(1000))] * 50}},
        {"train": {"optimizer": {"beta1": ["x" * 1000] * 100}}},
        {"seed": 1 << 100_000},
    ],
)
def test_long_values_are_shortened_in_what_is_said(values):
    refused(lambda: make_config(values), "...")


def test_brief_is_repr_of_what_is_short():
    for value in ("a", 5, -0.5, None, True, [1, "b"], {"a": [1, 2], "b": {"c": None}}, 10**19):
        assert brief(value) == repr(value)
    assert len(brief("x" * 10**6)) <= 240 and len(listing(["x" * 10**6] * 3)) < 800


def test_long_names_are_shortened_by_every_registry():
    refused(lambda: OPTIMIZERS.check("x" * 10**6), "unknown optimizer 'xxx", "known: adam")
    refused(lambda: OPTIMIZERS.check({"name": "adam", "x" * 10**6: 1}), "it takes: groups, lr, weight_decay")
    refused(lambda: OPTIMIZERS.check({"name": "adam", "beta1": "x" * 10**6}, ("groups", "lr")), "option beta1 is 'xxx")


def test_what_is_plain_passes_and_what_contains_itself_does_not():
    check_plain({"a": [1, 2.5, None, True, "é", {"b": (1, 2)}], "c": -(2**63)})
    cyclic: list = [1, 2]
    cyclic += [cyclic, cyclic]
    for value in (cyclic, {"a": cyclic}, {"a": object()}, {1: 2}, [b"x"], [{"a\0": 1}], [2**65]):
        with pytest.raises(NotPlain):
            check_plain(value)


@pytest.mark.parametrize(
    "text", ["evaluate:", "evaluate: 5", "evaluate: [a]", "evaluate: {model_weight: 5}", "data: &a {root: *a}"]
)
def test_evaluation_checks_its_config_before_it_looks_for_weights(tmp_path, text):
    path = tmp_path / "odd.yaml"
    path.write_text(text)
    refused(lambda: evaluation_config([str(path)], {}), "odd.yaml'")
    refused(lambda: evaluation_config([str(path), str(path)], {}), "odd.yaml'")


@pytest.mark.parametrize(
    "setting, values",
    {
        "data.cache_gb": ("Infinity", "1e300", "-1", "NaN"),
        "data.workers": ("100000", "-1"),
        "threads": ("2147483648", "2147483647", "-1", str(10**30)),
        "train.epochs": ("10000000", str(2**63)),
        "pretext.epochs": ("10000000",),
        "train.lr": (".inf", "NaN", "0", "1e300"),
        "train.clip": ("NaN", "Infinity"),
        "train.ema": ("NaN", "1"),
        "train.batch_size": ("100000", str(10**18)),
        "train.num_instances": ("10000000", "1"),
        "train.validate_every": ("0", str(10**30)),
        "evaluate.batch_size": ("0", str(10**12)),
        "evaluate.folds": ("1", str(10**12)),
        "evaluate.rule": ("NaN", "Infinity"),
        "train.augment.flip.probability": ("NaN", "Infinity"),
        "seed": (str(2**63), "-1"),
        "name": ("", ".hidden", "a/b", "a\nb"),
    }.items(),
)
def test_numbers_out_of_range_are_refused_when_they_are_read(setting, values):
    for value in values:
        refused(lambda value=value: typed(f"--{setting}={value}"), f"setting '{setting}' is ")


def test_the_largest_values_are_settings():
    config = make_config({"threads": 1024, "seed": 2**63 - 1, "train": {"epochs": 1_000_000, "batch_size": 65_536}})
    assert config.seed == 2**63 - 1 and config.train.batch_size == 65_536


def people(count: int) -> Manifest:
    faces = [Face(f"{person}/{number}.png", f"p{person}", {}) for person in range(count) for number in range(3)]
    return Manifest.of(faces, Path())


NAN, INFINITE = float("nan"), float("inf")
WRONG = {
    "optimizer": [
        {"name": "adam", "weight_decay": NAN},
        {"name": "adam", "weight_decay": -0.1},
        {"name": "adamw", "weight_decay": INFINITE},
        {"name": "adam", "beta1": 1.0},
        {"name": "adamw", "beta2": -0.1},
        {"name": "sgd", "momentum": 1.5},
        {"name": "muon", "momentum": NAN},
        {"name": "muon", "matrix_lr": 0.0},
        {"name": "muon", "rounds": 10**9},
        {"name": "muon", "every": 10**18},
        {"name": "muon", "beta1": "0.9"},
    ],
    "schedule": [
        {"name": "multistep", "milestones": [1], "gamma": NAN},
        {"name": "multistep", "milestones": [1], "gamma": 1e300},
        {"name": "multistep", "milestones": [1], "gamma": -1.0},
        {"name": "multistep", "milestones": [-1]},
        {"name": "multistep", "milestones": [0.5]},
        {"name": "one_cycle", "warmup": NAN},
        {"name": "one_cycle", "warmup": 1.0},
        {"name": "one_cycle", "start": INFINITE},
        {"name": "one_cycle", "end": -0.5},
    ],
    "term": [
        {"name": "softmax", "smoothing": NAN},
        {"name": "softmax", "smoothing": 1.0},
        {"name": "triplet", "margin": INFINITE},
        {"name": "triplet", "margin": -1.0},
        {"name": "center", "weight": NAN},
        {"name": "center", "weight": 1e300},
        {"name": "center", "weight": True},
    ],
}


@pytest.mark.parametrize("kind, choice", [(kind, choice) for kind, choices in WRONG.items() for choice in choices])
def test_options_out_of_range_are_refused_when_it_is_built(kind, choice):
    option = list(choice)[-1]
    if kind == "optimizer":
        weight = torch.nn.Parameter(torch.ones(1))
        refused(lambda: OPTIMIZERS.build(choice, groups=[{"params": [weight]}], lr=0.1), option)
    elif kind == "schedule":
        refused(lambda: SCHEDULES.build(choice, epochs=3), option)
    else:
        refused(lambda: build_objective([choice], embedding_size=4, identities=3), option)


@pytest.mark.parametrize("kind", WRONG)
def test_options_out_of_range_are_refused_before_anything_is_read(kind):
    for choice in WRONG[kind]:
        train = {"terms": [choice]} if kind == "term" else {"terms": ["triplet"], kind: choice}
        values = {"model": {"backbone": "small", "image_size": 32}, "train": train}
        refused(lambda values=values: check_settings(make_config(values), people(9), "train"), list(choice)[-1])


def test_a_batch_of_millions_of_images_is_refused_before_it_is_drawn():
    values = {"model": {"backbone": "small", "image_size": 32}, "train": {"terms": ["triplet"], "num_instances": 40_000}}
    refused(lambda: check_settings(make_config(values), people(9), "train"), "train.batch_size = 8 x train.num_instances = 40000")
    values["train"] |= {"num_instances": 100, "batch_size": 65_536}  # all nine people
    check_settings(make_config(values), people(9), "train")


TORCHRUN = {
    "WORLD_SIZE": "2",
    "RANK": "0",
    "LOCAL_WORLD_SIZE": "2",
    "LOCAL_RANK": "0",
    "MASTER_ADDR": "127.0.0.1",
    "MASTER_PORT": "1",
}


@pytest.mark.parametrize(
    "variables, words",
    [
        ({"WORLD_SIZE": "abc"}, "WORLD_SIZE is 'abc'"),
        ({"WORLD_SIZE": "-1"}, "WORLD_SIZE is '-1'"),
        ({"WORLD_SIZE": "1" * 5000}, "WORLD_SIZE is '111"),
        ({"RANK": None}, "RANK is ''"),
        ({"RANK": "2"}, "process 2 of 2"),
        ({"LOCAL_RANK": "3"}, "here of 3 of 2"),
        ({"WORLD_SIZE": "0"}, "process 0 of 0"),
        ({"MASTER_PORT": "http"}, "MASTER_PORT is 'http'"),
        ({"MASTER_ADDR": None}, "MASTER_ADDR"),
    ],
)
def test_an_environment_that_torchrun_did_not_make(monkeypatch, capsys, variables, words):
    for name, value in (TORCHRUN | variables).items():
        monkeypatch.delenv(name, raising=False) if value is None else monkeypatch.setenv(name, value)

    monkeypatch.setattr(sys, "argv", ["train.py"])
    with pytest.raises(SystemExit) as stop:
        run_script(lambda: None)
    message = capsys.readouterr().err.strip()
    assert stop.value.code == 2 and words in message and message.startswith("train.py: ") and "\n" not in message


def test_variables_of_another_launcher_are_none_of_ours(monkeypatch):
    monkeypatch.delenv("LOCAL_WORLD_SIZE", raising=False)
    monkeypatch.setenv("WORLD_SIZE", "abc")
    with processes.joined():
        assert processes.world_size() == 1


@pytest.mark.parametrize("threads", ["0", "-3", "2147483647", "2147483648", str(10**30)])
def test_the_benchmark_refuses_threads_by_the_million(monkeypatch, threads):
    monkeypatch.setattr(sys, "argv", ["benchmark.py", "--only", "step", f"--threads={threads}"])
    refused(benchmark.main, f"--threads is {threads}; it should be at least 1 and at most 1,024")


def test_defaults_are_within_their_own_bounds():
    assert make_config({}) == Config() and make_config({"model": {"image_size": 32}}).model == light_model("efficientnet_b0")
