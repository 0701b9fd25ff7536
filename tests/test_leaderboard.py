"""The leaderboard: what it compares, what it remembers, and what it writes."""

import csv
import dataclasses
import io
import json
import os
import re
import signal
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from matplotlib.backends.backend_agg import FigureCanvasAgg

import leaderboard
from benchmarks.leaderboard import budget, serving
from benchmarks.leaderboard.budget import images_per_epoch, stages, with_epochs
from benchmarks.leaderboard.experiment import Budget, _changed, _deciding, read_experiment
from benchmarks.leaderboard.page import as_html
from benchmarks.leaderboard.plots import as_svg, scatter
from benchmarks.leaderboard.processes import ROOT, reason
from benchmarks.leaderboard.records import outdated, read_records, read_timings, write_records
from benchmarks.leaderboard.serving import forms
from benchmarks.leaderboard.table import as_csv, as_markdown, entries, explanation
from common.config import Config
from common.errors import InputError
from tests.tiny import draw_people

SHIPPED = sorted((Path(__file__).parent.parent / "configs" / "leaderboard").glob("*.yaml"))
NO_TIMINGS: dict[str, Any] = {"facts": {}, "networks": {}}


def description(**changes: Any) -> dict[str, Any]:
    return {
        "title": "Test",
        "base": "smoke",
        "budget": {"images": 1000},
        "seeds": [0, 1],
        "networks": {"small": {"backbone": "small"}, "face": {"backbone": "mobilefacenet"}},
        "methods": {"plain": {}, "centered": {"train": {"terms": {"center": {"weight": 0.1}}}}},
        **changes,
    }


def written(folder: Path, **changes: Any) -> Path:
    path = folder / "test.yaml"
    path.write_text(yaml.safe_dump(description(**changes), sort_keys=False))
    return path


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_every_shipped_leaderboard_can_be_read(path):
    experiment = read_experiment(path)
    assert experiment.name == path.stem and experiment.rows
    assert len({row.key for row in experiment.rows}) == len(experiment.rows)


def test_rows_are_all_networks_with_all_methods_or_those_of_the_blocks(tmp_path):
    rows = read_experiment(written(tmp_path)).rows
    assert [row.key for row in rows] == [f"{n}/{m}/{s}" for n in ("small", "face") for m in ("plain", "centered") for s in (0, 1)]
    assert rows[2].config.model.backbone["name"] == "small" and rows[3].config.seed == 1
    assert {"name": "center", "weight": 0.1} in rows[2].config.train.terms
    blocks = [{"networks": ["face"]}, {"methods": ["plain"]}]
    rows = read_experiment(written(tmp_path, rows=blocks, seeds=[4])).rows
    assert [row.key for row in rows] == ["face/plain/4", "face/centered/4", "small/plain/4"]  # none twice


def test_a_description_without_a_title_is_one_sentence(tmp_path):
    path = written(tmp_path)
    path.write_text(path.read_text().replace("title: Test", ""))
    with pytest.raises(InputError, match="test.yaml': title is missing"):
        read_experiment(path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"budget": {}}, "budget should be either images or seconds"),
        ({"budget": {"images": 1, "seconds": 1.0}}, "budget should be either"),
        ({"budget": {"images": -5}}, "budget.images is -5, .*greater than 0"),
        ({"base": "../smoke"}, "base is '../smoke'; known: baseline, cfp"),
        ({"networks": {}}, "networks is empty"),
        ({"networks": {"../x": {}}}, "networks has the name '../x'"),
        ({"networks": {"x": {"backbon": "small"}}}, "x with plain: unknown setting 'model.backbon'"),
        ({"rows": [{"networks": ["big"]}]}, "rows names the networks big; known: small, face"),
        ({"seeds": []}, "seeds is .*at least 1"),
        ({"seeds": list(range(10_000))}, "asks for 40,000 trainings"),
        ({"colour": 1}, "unknown key 'colour'; known here: title, base, budget"),
        ({"budget": {"image": 1}}, "unknown key 'budget.image'; known here: images, seconds"),
        ({"budget": None}, "budget is None"),
        ({"networks": {"small": None}}, "networks.small is None"),
        ({"networks": ["small"]}, r"networks is \['small'\]"),
        ({"rows": [{"networks": 3}]}, "rows.0.networks is 3"),
        ({"rows": [{"methods": []}]}, "rows names no network with a method"),
        ({"seeds": [2**63]}, "setting 'seed' is 9223372036854775808"),
        ({"shared": {"train": {"epochs": 3}}}, "shared has the setting train.epochs, which the leaderboard sets itself"),
        ({"methods": {"x": {"seed": 3}}}, "the method 'x' has the setting seed, which the leaderboard sets itself"),
        ({"methods": {"x": {"results": "y"}}}, "the method 'x' has the setting results, which"),
        (
            {"methods": {"x": {"data": {"root": "y"}}}},
            "the method 'x' has the setting data, which all rows have in",
        ),
        ({"methods": {"x": {"evaluate": {"rule": "median"}}}}, "the method 'x' has the setting evaluate.rule, which all rows"),
    ],
)
def test_a_wrong_description_is_one_sentence(tmp_path, changes, message):
    with pytest.raises(InputError, match=message):
        read_experiment(written(tmp_path, **changes))


def test_a_row_is_trained_anew_when_what_it_depends_on_has_changed(tmp_path):
    def digests(environment: Any = None, **changes: Any) -> list[str]:
        experiment = read_experiment(written(tmp_path, **changes), environment)
        return [row.digest(experiment.budget) for row in experiment.rows]

    first = digests()
    assert len(set(first)) == len(first) == 8
    assert digests({"threads": 3}) == first  # how it is carried out
    assert not set(digests(budget={"images": 1001})) & set(first)
    assert digests(methods={"plain": {}, "centered": {"train": {"terms": {"center": {"weight": 0.2}}}}})[:2] == first[:2]
    others = [
        {"model": {"image_size": 48}},
        {"device": "cpu"},
        {"precision": "bf16"},
        {"train": {"pretrained_weight": "w.pt"}},
        {"evaluate": {"pairs": "p.csv"}},
        {"evaluate": {"rule": "median"}},
    ]
    for shared in others:
        assert not set(digests(shared=shared)) & set(first), shared
    assert digests(shared={"data": {"workers": 2, "cache": "elsewhere"}, "evaluate": {"batch_size": 5}}) == first


def test_rows_are_chosen_by_patterns(tmp_path):
    experiment = read_experiment(written(tmp_path))
    assert leaderboard.selected(experiment, ["face"]) == [f"face/{m}/{s}" for m in ("plain", "centered") for s in (0, 1)]
    assert leaderboard.selected(experiment, ["*/plain/1", "small/plain"]) == ["small/plain/0", "small/plain/1", "face/plain/1"]
    assert len(leaderboard.selected(experiment, ["*"])) == 8
    with pytest.raises(InputError, match="--only 'big' names no row; rows are called such as small/plain/0"):
        leaderboard.selected(experiment, ["*", "big"])


def test_digests_stay_when_the_project_gains_a_setting(tmp_path):
    row = read_experiment(written(tmp_path)).rows[0]
    settings = _deciding(row.config)
    assert _changed(_deciding(Config())) == {}
    kept = _changed(settings)
    assert kept["model"]["backbone"] == {"name": "small"} and "max_parameters" not in kept["model"]
    assert _changed({**settings, "model": {**settings["model"], "embedding_size": 7}})["model"]["embedding_size"] == 7


def record(row: Any, budget: Budget, **figures: Any) -> dict[str, Any]:
    known = {"key": row.key, "network": row.network, "method": row.method, "seed": row.seed, "digest": row.digest(budget)}
    return {**known, "state": "failed" if "reason" in figures else "done", **figures}


def figures(accuracy: float, auc: float | None = 0.9) -> dict[str, Any]:
    sizes = {"parameters": 2_000_000, "multiply_adds": 30_000_000, "image_size": 32, "pairs": 100}
    return {"accuracy": accuracy, "auc": auc, "eer": 0.1, "images": 990, "seconds": 5.0, **sizes}


def test_the_table_has_means_and_spreads_and_says_what_is_missing(tmp_path):
    experiment = read_experiment(written(tmp_path))
    rows, budget = experiment.rows, experiment.budget
    made = [
        record(rows[0], budget, **figures(0.7)),
        record(rows[1], budget, **figures(0.8)),
        record(rows[2], budget, reason="the loss is <b>not</b> finite"),
        record(rows[4], budget, **figures(0.9)),
        record(rows[6], Budget(images=7), **figures(0.99)),  # measured with another budget
    ]
    records = {one["key"]: one for one in made}
    small, face = ({"model": row.model_digest} for row in (rows[0], rows[4]))
    reason = "it cannot be exported: x"
    timings = {"facts": {}, "networks": {"small": {**small, "ms": 1.5, "megabytes": 8.0}, "face": {**face, "reason": reason}}}
    table = entries(experiment, records, timings)
    assert [(entry.network, entry.method, entry.seeds) for entry in table] == [
        ("face", "plain", 1),
        ("small", "plain", 2),
        ("small", "centered", 0),
        ("face", "centered", 0),
    ]
    assert table[1].accuracy == pytest.approx(0.75) and table[1].accuracy_sd == pytest.approx(statistics.stdev([0.7, 0.8]))
    assert table[1].ms == 1.5 and table[0].accuracy_sd is None and table[0].ms is None
    assert table[0].reason == "1 of 2 seeds are still to be trained; it cannot be exported: x"
    assert table[2].reason == "seed 0: the loss is <b>not</b> finite; 1 of 2 seeds are still to be trained"
    assert outdated(experiment, records) == [rows[place].key for place in (3, 5, 6, 7)]
    assert outdated(experiment, records, retry=True) == [rows[place].key for place in (2, 3, 5, 6, 7)]

    rows_read = list(csv.DictReader(io.StringIO(as_csv(table))))
    assert [row["accuracy"] for row in rows_read] == ["0.9", "0.75", "", ""] and rows_read[1]["ms"] == "1.5"
    sentences = explanation(experiment, table, records, timings)
    assert "1,000 images seen, 2 seeds" in sentences[0] and sentences[-1] == "2 of 4 rows have no figures yet."
    text = as_markdown("Test", sentences, "command", table)
    assert "| small | plain | 75.00 ± 7.07 | 90.00 ± 0.00 | 10.00 | 2.00 | 30 | 1.50 | 8.0 | 5 |" in text
    pictures = {"caption": as_svg(scatter(table, "parameters")), "two": as_svg(scatter(table, "milliseconds"))}
    page = as_html("A & B", "", sentences, "command", table, pictures)
    assert 'data-first="descending" aria-sort="descending"><button type="button">accuracy %' in page
    assert 'role="img" aria-label="caption"' in page and len(ids := re.findall(r'\bid="([^"]*)"', page)) == len(set(ids))
    assert "A &amp; B" in page and "<b>" not in page and "&lt;b&gt;not" in page and page.count("<svg") == 2
    assert not re.search(r"(src|href)=[\"']?(http|//)|@import|url\((?!#)", page)  # it needs nothing else


def test_the_pictures_name_networks_without_one_name_on_another(tmp_path):
    """Forty networks of nearly equal cost and accuracy: the best is named, and what is named can be read."""
    networks = {f"network {number}": {"embedding_size": 16 + number} for number in range(40)}
    experiment = read_experiment(written(tmp_path, networks=networks, methods={"x" * 60: {}}, seeds=[0]))
    made = [
        record(row, experiment.budget, **figures(0.8 + 1e-3 * (7 * number % 40))) for number, row in enumerate(experiment.rows)
    ]
    for number, one in enumerate(made):
        one["parameters"] += 10_000 * number
    figure = scatter(entries(experiment, {one["key"]: one for one in made}, NO_TIMINGS), "parameters")
    axes = figure.axes[0]
    renderer = FigureCanvasAgg(figure).get_renderer()
    figure.draw(renderer)
    names = [text.get_text() for text in axes.texts]
    boxes = [text.get_window_extent(renderer) for text in axes.texts]
    assert "network 17" in names and len(names) > 10  # 7 * 17 % 40 = 39
    assert all(box.count_overlaps(boxes) == 1 for box in boxes)  # with itself
    assert all(figure.bbox.contains(box.x1, box.y1) for box in boxes)
    assert len([tick for tick in axes.get_xticks() if axes.get_xlim()[0] < tick < axes.get_xlim()[1]]) >= 2
    legend = axes.get_legend().get_window_extent(renderer)
    assert legend.x1 <= figure.bbox.x1


def test_undefined_figures_stay_empty(tmp_path):
    experiment = read_experiment(written(tmp_path, seeds=[0]))
    one = record(experiment.rows[0], experiment.budget, **figures(0.7, auc=None))
    first, *_ = table = entries(experiment, {one["key"]: one}, NO_TIMINGS)
    assert first.auc is None and first.accuracy == 0.7
    assert scatter(table, "milliseconds") is None and as_svg(scatter(table, "parameters")) == as_svg(scatter(table, "parameters"))


def test_records_are_kept_in_order_and_damage_is_told(tmp_path):
    experiment = read_experiment(written(tmp_path))
    made = {row.key: record(row, experiment.budget, **figures(0.7)) for row in reversed(experiment.rows)}
    gone = made["small/plain/0"] | {"key": "gone/plain/0"}  # of a network that may come back
    path = write_records(tmp_path, experiment, {"gone/plain/0": gone} | made)
    assert list(read_records(tmp_path)) == [*(row.key for row in experiment.rows), "gone/plain/0"]
    assert len(entries(experiment, read_records(tmp_path), NO_TIMINGS)) == 4
    assert explanation(experiment, [], {"gone/plain/0": gone}, NO_TIMINGS)[1:] == []  # nor does it count among the figures
    half = {name: value for name, value in made["small/plain/0"].items() if name != "accuracy"}
    for content in ("[{}]", "{", "3", "[" * 100_000, json.dumps([half])):
        path.write_text(content)
        with pytest.raises(InputError, match="rows.json' is not a leaderboard's"):
            read_records(tmp_path)
    assert read_timings(tmp_path) == NO_TIMINGS
    for content in ('{"networks": {"a": 3}}', '{"networks": {"a": {"ms": 3}}}', "[]"):
        (tmp_path / "timings.json").write_text(content)
        with pytest.raises(InputError, match="timings.json' is not a leaderboard's"):
            read_timings(tmp_path)


@pytest.fixture(scope="module")
def people(tmp_path_factory) -> Path:
    return draw_people(tmp_path_factory.mktemp("people"))


def tiny(people: Path, **changes: Any) -> dict[str, Any]:
    train = {"batch_size": 3, "num_instances": 3, "recipe": {"name": "metric", "whiten": 0, "steps": 0}}
    data = {"root": str(people), "cache": "", "reader": {"name": "folder", "pairs": 40}}
    shared = {
        "precision": "fp32",
        "pretext": {"epochs": 0},
        "model": {"image_size": 24, "embedding_size": 16},
        "data": data,
        "train": train,
    }
    networks = {"small": {"backbone": "small"}, "too large": {"backbone": "inception_resnet_v1"}}
    return description(base="folder", shared=shared, networks=networks, methods={"plain": {}}, seeds=[0], **changes)


def never() -> Any:
    raise AssertionError("a budget of images needs no pace")


def test_epochs_follow_from_the_budget(people, tmp_path):
    (tmp_path / "test.yaml").write_text(yaml.safe_dump(tiny(people)))
    experiment = read_experiment(tmp_path / "test.yaml")
    config = experiment.rows[0].config
    epoch = images_per_epoch(config, "train")
    assert epoch and epoch % 9 == 0  # batches of 3 people, 3 images of each
    planned, images = with_epochs(config, Budget(images=3 * epoch + 1), never)
    assert (planned.train.epochs, planned.train.validate_every, images) == (3, 3, 3 * epoch)
    assert with_epochs(config, Budget(images=2**63), never)[0].train.epochs == 1_000_000  # more are not taken
    twice = dataclasses.replace(config, train=dataclasses.replace(config.train, generations=2))
    planned, images = with_epochs(twice, Budget(images=7 * epoch), never)
    assert planned.train.epochs == 3 and images == 6 * epoch  # in each of two generations
    with pytest.raises(InputError, match="the budget leaves 5 images to train with, and one epoch takes"):
        with_epochs(config, Budget(images=5), never)
    with_pretext = dataclasses.replace(config, pretext=dataclasses.replace(config.pretext, epochs=2, batch_size=8))
    once = images_per_epoch(with_pretext, "pretext")
    assert once and once % 8 == 0  # batches of 8
    planned, images = with_epochs(with_pretext, Budget(images=2 * once + epoch), never)
    assert planned.train.epochs == 1 and images == 2 * once + epoch  # the pretext takes its share
    with pytest.raises(InputError, match=f"leaves {epoch - 1:,} images"):
        with_epochs(with_pretext, Budget(images=2 * once + epoch - 1), never)
    started = dataclasses.replace(with_pretext, train=dataclasses.replace(config.train, pretrained_weight="w.pt"))
    assert stages(started) == ["train"] and with_epochs(started, Budget(images=epoch), never)[1] == epoch  # run.py skips it

    def pace() -> dict[str, float]:
        return {"pretext": 2.0, "train": 0.5}

    planned, images = with_epochs(with_pretext, Budget(seconds=5.6), pace)
    assert planned.train.epochs == 3 and images == 2 * once + 3 * epoch  # of 5.6 s the pretext takes 4
    with pytest.raises(InputError, match="the budget leaves 0.4 seconds to train with, and one epoch takes 0.5"):
        with_epochs(with_pretext, Budget(seconds=4.4), pace)


def test_the_pace_is_that_of_the_steps(people, tmp_path, monkeypatch, capsys):
    """Each step takes a second here, and the first ones, which are slow, do not count."""
    pretext = {"epochs": 1, "batch_size": 8}
    (tmp_path / "test.yaml").write_text(yaml.safe_dump(tiny(people)))
    config = read_experiment(tmp_path / "test.yaml").rows[0].config
    config = dataclasses.replace(config, pretext=dataclasses.replace(config.pretext, **pretext))
    clock = [0.0]
    steps = []

    def step(recipe: Any, forward: Any, optimizer: Any, batch: Any, clip: float) -> None:
        steps.append(batch["image"].shape[0])
        clock[0] += 100.0 if len(steps) % (budget.WARM + budget.TIMED) in (1, 2) else 1.0

    monkeypatch.setattr(budget, "step", step)
    monkeypatch.setattr(budget.time, "perf_counter", lambda: clock[0])
    (tmp_path / "settings.yaml").write_text(yaml.safe_dump(dataclasses.asdict(config)))
    budget.main([str(tmp_path / "settings.yaml")])
    pace = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert pace == {"pretext": images_per_epoch(config, "pretext") / 8, "train": images_per_epoch(config, "train") / 9}
    assert steps == [8] * (budget.WARM + budget.TIMED) + [9] * (budget.WARM + budget.TIMED)


def test_a_pace_can_be_measured(people, tmp_path):
    (tmp_path / "test.yaml").write_text(yaml.safe_dump(tiny(people)))
    config = read_experiment(tmp_path / "test.yaml", {"threads": 1}).rows[0].config
    ema = dataclasses.replace(config.train, ema=0.9)
    pace = budget.measure(dataclasses.replace(config, train=ema))
    assert set(pace) == {"train"} and 0 < pace["train"] < 60
    planned, images = with_epochs(config, Budget(seconds=3.5 * pace["train"]), lambda: pace)
    assert planned.train.epochs == 3 and images == 3 * images_per_epoch(config, "train")


STDERR = """
read photographs:   0%|          | 0/24 [00:00<?, ?photo/s]\rread photographs: 100%|####| 24/24 [00:00<00:00, 700.00photo/s]
{said}
/usr/lib/python3.11/multiprocessing/resource_tracker.py:254: UserWarning: There appear to be 1 leaked semaphore objects
  warnings.warn('resource_tracker: There appear to be %d '
"""
TRACEBACK = """Traceback (most recent call last):
  File "run.py", line 50, in <module>
    Error: of a line of code
torch.OutOfMemoryError: CUDA out of memory.
Tried to allocate 3 GiB"""


@pytest.mark.parametrize(
    ("code", "said", "expected"),
    [
        (2, "run.py: the loss is not finite", "the loss is not finite"),
        (1, TRACEBACK, "torch.OutOfMemoryError: CUDA out of memory."),
        (1, "Traceback (most recent call last):\nAssertionError", "AssertionError"),
        (-9, "", "it was killed by the signal SIGKILL, as the system does where memory runs out"),
        (-15, "", "it was killed by the signal SIGTERM"),
        (2, "run.py: " + "x" * 1000, "x" * 300 + "..."),
    ],
)
def test_the_reason_is_found_among_bars_and_warnings(code, said, expected):
    assert reason(code, STDERR.format(said=said), "run.py") == expected


def test_a_silent_end_is_told():
    assert reason(3, "\n", "run.py") == "run.py ended with exit code 3"


ORPHAN = """
import sys, threading
from pathlib import Path
from benchmarks.leaderboard.processes import Processes
from common.files import claimed
folder = Path(sys.argv[1])
with claimed(folder / ".lock") as lock, Processes(lock) as processes:
    processes.run("sleeper", str(folder / "started"))
"""
SLEEPER = """
import os, sys, time
from pathlib import Path
Path(sys.argv[1] + ".new").write_text(str(os.getpid()))
os.rename(sys.argv[1] + ".new", sys.argv[1])
time.sleep(60)
"""


def orphan(folder: Path) -> tuple[subprocess.Popen, int]:
    """A process that holds the folder's lock, and a program that it has started: its process id."""
    (folder / "sleeper.py").write_text(SLEEPER)
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{folder}"}
    parent = subprocess.Popen([sys.executable, "-c", ORPHAN, str(folder)], env=environment)
    while not (folder / "started").exists():
        assert parent.poll() is None
        time.sleep(0.01)
    return parent, int((folder / "started").read_text())


def test_a_training_that_outlives_its_leaderboard_keeps_others_away(tmp_path):
    folder = tmp_path / "test"
    folder.mkdir()
    parent, child = orphan(folder)
    try:
        parent.kill()
        parent.wait()
        with pytest.raises(InputError, match="another leaderboard, or a row of one that was killed, is at work in '.*test'"):
            leaderboard.main([str(written(tmp_path)), "--results", str(tmp_path), "--steps", "train"])
    finally:
        os.kill(child, signal.SIGKILL)
    assert not (folder / "rows.json").exists()


def test_a_leaderboard_that_is_terminated_ends_its_trainings(tmp_path):
    parent, child = orphan(tmp_path)
    parent.terminate()
    assert parent.wait() == 143 and not (tmp_path / ".lock").exists()
    with pytest.raises(ProcessLookupError):
        os.kill(child, 0)


def test_a_leaderboard_from_photographs_to_page_goes_on_where_it_was(people, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.chdir(tmp_path)  # paths are relative to where the user is, not to the code
    path = Path("tiny.yaml")
    path.write_text(yaml.safe_dump(tiny(Path(os.path.relpath(people)), about="Two rows, one of which fails.")))
    command = [str(path), "--results=out", "--threads=1", "--steps"]
    out = Path("out/tiny")
    half = out / "work" / "small" / "plain" / "0"
    half.mkdir(parents=True)
    (half / "plan.json").write_text('{"digest"')  # as a disk that was full leaves it
    (half / "settings.yaml").write_text("name: other")
    leaderboard.main([*command, "train", "table"])
    said = capsys.readouterr().out.splitlines()
    assert said[0] == "leaderboard: 2 of 2 rows to train" and said[-1] == "page: out/tiny/index.html"
    assert [line.split(":")[0] for line in said if line.startswith("[")] == ["[1/2] too large/plain/0", "[2/2] small/plain/0"]
    done, failed = json.loads((out / "rows.json").read_text())
    assert done["state"] == "done" and 0.3 <= done["accuracy"] <= 1 and 900 < done["images"] <= 1000
    assert failed["state"] == "failed" and "at least 75 pixels a side" in failed["reason"]
    assert sorted(one.name for one in out.iterdir()) == [
        "index.html",
        "parameters.png",
        "rows.json",
        "table.csv",
        "table.md",
        "work",
    ]
    assert not list(out.rglob("*.pt")) and "at least 75 pixels" in (out / "table.md").read_text()
    assert done["threads"] == 1 and done["precision"] == "fp32"
    before = {one: one.read_bytes() for one in out.iterdir() if one.is_file()}
    leaderboard.main([*command, "train", "table"])
    assert "0 of 2 rows to train" in capsys.readouterr().out
    assert {one: one.read_bytes() for one in out.iterdir() if one.is_file()} == before


def test_what_no_row_can_do_without_is_told_before_any_is_trained(people, tmp_path, monkeypatch):
    def told(message: str, *steps: str, **changes: Any) -> None:
        path = tmp_path / "test.yaml"
        path.write_text(yaml.safe_dump({**tiny(people), **changes}))
        with pytest.raises(InputError, match=message):
            leaderboard.main([str(path), f"--results={tmp_path / 'out'}", "--steps", *(steps or ("train",))])
        assert not (tmp_path / "out").exists()

    shared = tiny(people)["shared"]
    told("'/nowhere' is not a folder", shared={**shared, "data": {"root": "/nowhere"}})
    unanswered = tmp_path / "pairs.csv"
    first, second = sorted(path.relative_to(people) for path in people.rglob("*.png"))[:2]
    unanswered.write_text(f"image1,image2\n{first},{second}\n")
    evaluate = {"pairs": str(unanswered), "data_root": str(people)}
    told("no test pair has an answer", shared={**shared, "evaluate": evaluate})
    monkeypatch.setitem(sys.modules, "onnx", None)
    told("ONNX files need the packages of requirements-serve.txt", "train", "time", "table")


def test_a_folder_in_use_or_of_no_use_is_told(tmp_path):
    (tmp_path / "file").write_text("")
    path = written(tmp_path)
    done = subprocess.run(
        [sys.executable, "leaderboard.py", str(path), f"--results={tmp_path / 'file'}", "--steps", "train"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2 and done.stderr.strip() == f"leaderboard.py: Not a directory: {tmp_path / 'file' / 'test'}"


def test_networks_are_timed_in_each_of_their_forms(tmp_path, monkeypatch):
    """A method that changes the network does not lend its time to the others, nor does one that was timed long ago."""
    methods = {
        "plain": {},
        "centered": {"train": {"terms": {"center": {"weight": 0.1}}}},
        "large": {"model": {"image_size": 48}},
    }
    experiment = read_experiment(written(tmp_path, methods=methods, networks={"small": {"backbone": "small"}}))
    assert list(forms(experiment)) == ["small", "small with large"]
    monkeypatch.setattr(serving, "take_turns", lambda turns, *_: {name: np.full(3, 0.16) for name in turns})
    timings = serving.time_networks(experiment, "command")
    json.dumps(timings)
    timings["networks"]["small with large"]["ms"] = 20.0
    made = {(one.method): one.ms for one in entries(experiment, {}, timings)}
    assert made == {"plain": 10.0, "centered": 10.0, "large": 20.0}
    changed = read_experiment(written(tmp_path, networks={"small": {"backbone": "small", "embedding_size": 16}}))
    assert {one.ms for one in entries(changed, {}, timings)} == {None}


def test_a_wrong_number_of_workers_is_told(tmp_path):
    with pytest.raises(InputError, match="--workers is 0; it should be from 1 to 64"):
        leaderboard.main([str(written(tmp_path)), "--workers=0"])
