"""The benchmark measures what it says, and the reference is the same network."""

import json
import multiprocessing
import operator
import sys
from functools import partial

import numpy as np
import pytest
import torch

import benchmark
from benchmarks import resources
from benchmarks.reference import ReferenceEmbedder, read_images, score_pairs_anew
from benchmarks.report import markdown, write
from benchmarks.timing import Apart, Section, rates, take_turns
from common.config import ModelConfig
from common.errors import InputError
from models.embedder import build_embedder
from tests.started import FORKS
from tests.tiny import draw_people


def test_candidates_take_turns_after_a_call_that_does_not_count():
    calls = []
    seconds = take_turns({name: lambda name=name: calls.append(name) for name in "ab"}, rounds=3, title="test")
    assert calls == list("ab" * 4)
    assert [len(times) for times in seconds.values()] == [3, 3]


def test_a_wrong_folder_is_told_before_anything_is_measured(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["benchmark.py", "--quick", "--cfp", "/nope", "--results", str(tmp_path / "results")])
    with pytest.raises(InputError, match="'/nope' is not a folder; it should be CFP's folder"):
        benchmark.main()
    assert not (tmp_path / "results").exists()


def test_a_candidate_may_have_a_process_of_its_own(monkeypatch):
    with Apart(partial, operator.mul, 6) as run:
        assert [run(7), run(-1)] == [42, -6]
    assert run.process.exitcode == 0
    monkeypatch.setattr(multiprocessing, "get_context", lambda method: FORKS)  # a second start of Python would take seconds
    with Apart(sys.exit, 3) as run, pytest.raises(RuntimeError, match="process ended"):
        run()


def test_ratios_compare_the_calls_of_a_round():
    rows = rates({"a": np.array([1.0, 2.0, 4.0]), "b": np.array([0.5, 1.0, 2.0])}, {"a": 10, "b": 30}, "images/s")
    assert [row["images/s"] for row in rows] == [5.0, 30.0]
    assert [row["times the first"] for row in rows] == [1.0, 6.0]
    assert rows[0]["range"] == "2.5 to 10"


def test_the_reference_is_our_network(tmp_path):
    ours = build_embedder(ModelConfig(image_size=64)).eval()
    reference = ReferenceEmbedder(64).eval()
    reference.network.load_state_dict(ours.backbone.network.state_dict())
    reference.embedding.load_state_dict(ours.head.linear.state_dict())
    images = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(reference(images), ours(images), rtol=1e-4, atol=1e-5)


def test_the_reference_scores_every_pair(tmp_path):
    files = sorted(draw_people(tmp_path).rglob("*.png"))
    pairs = list(zip(files[:5], files[5:10]))
    embedder = torch.nn.Flatten()
    scores = list(score_pairs_anew(embedder, pairs, side=8, batch_size=2))
    expected = [-(read_images([one], 8) - read_images([other], 8)).norm().item() for one, other in pairs]
    assert scores == pytest.approx(expected)


@pytest.mark.parametrize("job", ["score", "read"])
def test_long_lists_are_measured_in_a_process_of_their_own(job, monkeypatch, capsys):
    if job == "score":
        figures = resources.measure(job, 2_000)
    else:  # what that process does, here: to start another takes seconds
        monkeypatch.setattr(sys, "argv", ["resources.py", job, "2000"])
        resources.main()
        figures = json.loads(capsys.readouterr().out)
    assert figures["seconds"] > 0 and figures["MiB at peak"] >= figures["MiB before"] > 0


def test_the_report_holds_every_figure(tmp_path):
    facts = {"command": "python benchmark.py", "processor": "P", "cores": 2, "threads": 2, "system": "S"}
    facts |= {"versions": {"torch": "1"}, "git_commit": "c"}
    section = Section("Title", "What.", [{"candidate": "a", "rate": 1234.5}, {"candidate": "b", "rate": 0.125}], ["Remark."])
    for name in ("step", "serving", "step"):  # the second measurement of a part replaces the first
        page = write(tmp_path, name, facts, [section]).read_text()
    assert "| a | 1,234 |" in page and "| b | 0.125 |" in page and "Remark." in page and page.count("## Title") == 2
    parts = json.loads((tmp_path / "benchmark.json").read_text())
    assert list(parts) == ["step", "serving"] and parts["step"]["sections"][0]["rows"] == section.rows
    assert page == markdown(parts)


@pytest.mark.parametrize("content", ["{", "[]", '{"step": {}}', '{"step": 3}'])
def test_a_strangers_report_is_not_replaced(tmp_path, content):
    (tmp_path / "benchmark.json").write_text(content)
    with pytest.raises(InputError, match="is not a report of benchmark.py"):
        write(tmp_path, "step", {}, [])
