"""The picture of trainings beside each other."""

import json
import sys

import numpy as np
import pytest
from PIL import Image

from common.errors import InputError
from verification.curves import main, read_curve
from verification.plots import draw_curves


def test_a_curve_has_a_point_for_every_validation_at_what_it_had_cost(tmp_path):
    rows = [{"seconds": 30.0, "images_per_second": 10.0} for _ in range(4)]
    rows[1]["validation"], rows[3]["validation"] = {"auc": 0.6}, {"auc": 0.9}
    log = tmp_path / "a.jsonl"
    log.write_text("".join(json.dumps(row) + "\n" for row in rows))
    spent, areas = read_curve(str(log), "images")
    assert spent.tolist() == [600, 1200] and areas.tolist() == [0.6, 0.9]
    assert read_curve(str(log), "minutes")[0].tolist() == [1.0, 2.0]


ROW = '{"seconds": 1, "images_per_second": 2'
BAD = ["", "[]\n", "{", ROW + "}\n", '{"seconds": "x"}\n', "[" * 100_000]
BAD += [ROW + f', "validation": {{"auc": {area}}}}}' for area in ("null", '"x"', "[1]", "NaN", "1" + "0" * 400)]


@pytest.mark.parametrize("content", BAD, ids=range(len(BAD)))
def test_other_files_are_refused(tmp_path, content):
    (tmp_path / "x.jsonl").write_text(content)
    with pytest.raises(InputError, match="x.jsonl"):
        read_curve(str(tmp_path / "x.jsonl"), "images")


def test_the_picture_is_the_same_bytes_again(tmp_path):
    curves = {name: (np.arange(3.0), np.array([0.5, 0.7, 0.8])) for name in ("a", "_b", "$c$")}
    for name in ("one.png", "two.png"):
        draw_curves(tmp_path / name, curves, "training images")
    assert (tmp_path / "one.png").read_bytes() == (tmp_path / "two.png").read_bytes()


@pytest.mark.filterwarnings("error")
def test_any_name_is_drawn(tmp_path):
    curve = np.arange(3.0), np.array([0.5, 0.7, 0.8])
    draw_curves(tmp_path / "a.png", {"$^$": curve, "얼굴": curve, "n" * 3000: curve, "a\nb\0": curve}, "training images")
    with Image.open(tmp_path / "a.png") as picture:
        assert max(picture.size) < 2000


@pytest.mark.parametrize("out", ["", ".", "folder"])
def test_a_picture_needs_a_file_name(tmp_path, monkeypatch, out):
    (tmp_path / "folder").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["curves", "absent.jsonl", f"--out={out}"])
    with pytest.raises(InputError, match="--out is .*; it should be the picture to write"):
        main()
