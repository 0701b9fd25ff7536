"""The table of evaluations."""

import json

import pytest

from common.errors import InputError
from verification.compare import compare


def test_one_row_per_evaluation(tmp_path):
    figures = {"accuracy": 0.8125, "auc": 0.9, "eer": None, "tar_at_far_1e-2": 0.25, "parameters": 4663420}
    figures["k_fold"] = {"accuracy": 0.8, "standard_error": 0.0123}
    (tmp_path / "a_metrics.json").write_text(json.dumps(figures))
    (tmp_path / "b_metrics.json").write_text(json.dumps(figures | {"k_fold": None, "accuracy": 1.0}))
    rows = compare([str(tmp_path / "a_metrics.json"), str(tmp_path / "b_metrics.json")]).splitlines()
    assert rows[2] == "| a | 81.25% | 90.00% | - | 25.00% | 80.00% ± 1.23% | 4,663,420 |"
    assert rows[3] == "| b | 100.00% | 90.00% | - | 25.00% | - | 4,663,420 |"
    assert {row.count("|") for row in rows} == {8}


@pytest.mark.parametrize("content", ["", "[]", "{}", "{"])
def test_other_files_are_refused(tmp_path, content):
    (tmp_path / "x.json").write_text(content)
    with pytest.raises(InputError, match="x.json"):
        compare([str(tmp_path / "x.json")])


@pytest.mark.parametrize(
    ("figures", "message"),
    [
        ('{"accuracy": "abc"}', "accuracy = .abc.; it should be a number from 0 to 1"),
        ('{"accuracy": 0.5, "k_fold": 3}', "k_fold = 3; it should be a table"),
        ('{"accuracy": 0.5, "k_fold": {"accuracy": "x"}}', "k_fold.accuracy = .x."),
        ('{"accuracy": 0.5, "eer": [1]}', "eer = "),
        ('{"accuracy": 0.5, "auc": NaN}', "auc = NaN"),
        ('{"accuracy": true}', "accuracy = true"),
        (f'{{"accuracy": 1{"0" * 400}}}', "accuracy = 1000"),
        ('{"accuracy": 0.5, "parameters": 1.5}', "parameters = 1.5; it should be a whole number"),
        ("[" * 100_000, "cannot be read"),
    ],
    ids=range(9),
)
def test_figures_of_a_wrong_type_are_named(tmp_path, figures, message):
    (tmp_path / "x.json").write_text(figures)
    with pytest.raises(InputError, match=f"x.json.*{message}"):
        compare([str(tmp_path / "x.json")])


def test_a_name_does_not_break_the_table(tmp_path):
    (tmp_path / "a|b_metrics.json").write_text('{"accuracy": 0.5}')
    assert compare([str(tmp_path / "a|b_metrics.json")]).splitlines()[2].startswith("| a\\|b | 50.00% |")
