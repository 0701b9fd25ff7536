"""What a picture can show of a name."""

import matplotlib
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib import font_manager
from PIL import Image

from verification import labels
from verification.labels import OWN, families, shown
from verification.metrics import breakdown
from verification.plots import draw_angles, draw_roc, draw_scores


@pytest.fixture
def only_its_own_fonts(monkeypatch):
    """As on a machine without any Asian font."""
    monkeypatch.setattr(labels, "_family_with", lambda letters: None)


def test_long_names_lose_their_middle():
    assert shown("x" * 3000 + "yz", 9) == "xxxx…xxyz"
    assert shown("exactly 9", 9) == "exactly 9"
    assert shown("two\nlines", 20) == "two lines"


@settings(max_examples=30, deadline=None)
@given(st.text(), st.integers(3, 40))
def test_every_name_gets_short_and_printable(name, most):
    assert len(shown(name, most)) <= most and "\n" not in shown(name, most)


def test_letters_without_a_font_are_spelled(only_its_own_fonts):
    assert shown("정면 45도", 60) == "jeongmyeon 45do"
    assert shown("\u110c\u1165\u11bc", 60) == "jeong"  # as macOS writes file names
    assert shown("日本 é Ж\0", 60) == "\\u65e5\\u672c é Ж\\x00"
    assert families(["정면", "C1"]) == [OWN]


def test_an_installed_font_that_has_the_letters_is_taken(monkeypatch):
    """Of matplotlib's own fonts, so that the test is the same on every machine."""
    own = labels._letters(OWN)
    foreign = next(chr(letter) for letter in sorted(labels._letters("STIXGeneral")) if letter not in own)
    bundled = [font for font in font_manager.fontManager.ttflist if matplotlib.get_data_path() in font.fname]
    monkeypatch.setattr(font_manager.fontManager, "ttflist", bundled)
    labels._family_with.cache_clear()
    (family,) = families(["C1", f"a {foreign}"])[1:]
    assert {ord(foreign), ord("a")} - own <= labels._letters(family) and not family.startswith("Last Resort")
    assert shown(f"a {foreign}", 9) == f"a {foreign}"
    labels._family_with.cache_clear()


@pytest.mark.filterwarnings("error")
def test_any_names_are_drawn_in_bounds(tmp_path, only_its_own_fonts):
    values = ["x" * 3000, "정면", "日本", "$^$", "9" * 5000, "C1"]
    same = np.array([True, False] * 3)
    rows = breakdown(np.linspace(0, 1, 6), same, 0.5, values, values[::-1])
    draw_angles(tmp_path / "angles.png", "얼굴" * 100, rows)
    draw_roc(tmp_path / "roc.png", "얼굴" * 100, np.linspace(0, 1, 6), same)
    draw_scores(tmp_path / "scores.png", "얼굴" * 100, np.linspace(0, 1, 6), same, 0.5)
    for name in ("angles", "roc", "scores"):
        with Image.open(tmp_path / f"{name}.png") as picture:
            assert max(picture.size) < 2000


@pytest.mark.filterwarnings("error")
def test_of_very_many_angles_the_most_frequent_are_drawn(tmp_path):
    rows = [{"first": f"{n}", "second": f"{n + 1}", "pairs": n, "accuracy": 0.5, "auc": None} for n in range(1, 3_000)]
    draw_angles(tmp_path / "angles.png", "run", rows)
    with Image.open(tmp_path / "angles.png") as picture:
        assert max(picture.size) < 2500
