import json

import matplotlib
import numpy as np
import pytest
from PIL import Image

from common.errors import InputError
from verification.metrics import breakdown, verification_metrics
from verification.plots import draw_angles, draw_roc, draw_scores
from verification.report import plain, write_report


def evaluation(count=120, angles=("C1", "C2", "C10"), seed=0):
    random = np.random.default_rng(seed)
    same = random.random(count) < 0.5
    scores = random.normal(size=count) + 2 * same
    first, second = (random.choice(angles, count) for _ in range(2))
    rows = breakdown(scores, same, 1.0, first, second)
    return verification_metrics(scores, same, 1.0), scores, same, 1.0, rows


def test_everything_is_written_and_twice_the_same(tmp_path):
    results = evaluation()
    style = dict(matplotlib.rcParams)
    written = write_report(tmp_path / "one", "run_$x^1", *results)
    endings = ("metrics.json", "scores.png", "roc.png", "angles.png")
    assert [path.name for path in written] == [f"run_$x^1_{ending}" for ending in endings]
    assert sorted(path.name for path in (tmp_path / "one").iterdir()) == sorted(path.name for path in written)
    assert dict(matplotlib.rcParams) == style
    with matplotlib.rc_context({"font.size": 30, "axes.facecolor": "red"}):  # the machine's own style must not show
        again = write_report(tmp_path / "two", "run_$x^1", *results)
    assert [path.read_bytes() for path in again] == [path.read_bytes() for path in written]
    for path in written[1:]:
        with Image.open(path) as picture:
            assert min(picture.size) > 300
            assert set(picture.info) <= {"dpi"}
            assert len(picture.convert("RGB").getcolors(1 << 24)) > 20
    assert json.loads(written[0].read_text()) == results[0]


def test_json_has_null_for_what_is_no_number(tmp_path):
    metrics = {"auc": None, "eer": float("nan"), "folds": np.array([0.5, np.inf]), "count": np.int64(3)}
    metrics |= {"rows": [{"a": np.float64(0.25)}], "이름": ("x", True)}
    path = write_report(tmp_path, "run", metrics, np.array([0.5]), np.array([True]), 0.3)[0]

    def refuse(name):
        raise AssertionError(f"{name} is not JSON")

    expected = {"auc": None, "eer": None, "folds": [0.5, None], "count": 3, "rows": [{"a": 0.25}], "이름": ["x", True]}
    assert json.loads(path.read_text(encoding="utf-8"), parse_constant=refuse) == expected
    assert plain(np.bool_(True)) is True


def test_pictures_that_do_not_apply_are_left_out(tmp_path):
    written = write_report(tmp_path, "run", {}, np.array([0.5, 0.7]), np.array([True, True]), 0.6, [])
    assert [path.name for path in written] == ["run_metrics.json", "run_scores.png"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["run_metrics.json", "run_scores.png"]


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    ("scores", "same"),
    [([0.5], [True]), ([0.1, 0.9], [True, False]), ([1.0, 1.0 - 2e-16], [True, False])],
)
def test_the_smallest_sets_are_drawn(tmp_path, scores, same):
    scores, same = np.array(scores), np.array(same)
    draw_scores(tmp_path / "scores.png", "run", scores, same, 0.3)
    if len(same) > 1:
        draw_roc(tmp_path / "roc.png", "run", scores, same)


@pytest.mark.filterwarnings("error")
def test_one_angle_and_many_with_long_names_are_drawn(tmp_path):
    names = [f"camera number {number} $_^" for number in range(1, 22)]
    rows = [{"first": one, "second": one, "pairs": 1_000_000, "accuracy": 0.3, "auc": None} for one in names]
    draw_angles(tmp_path / "one.png", "run", rows[:1])
    draw_angles(tmp_path / "angles.png", "run", rows)
    with Image.open(tmp_path / "angles.png") as picture:
        assert max(picture.size) < 3000


def test_scores_that_are_not_finite_are_refused(tmp_path):
    with pytest.raises(InputError, match="not finite"):
        write_report(tmp_path, "run", {}, np.array([0.5, np.nan]), np.array([True, False]), 0.3)
    assert list(tmp_path.iterdir()) == []
