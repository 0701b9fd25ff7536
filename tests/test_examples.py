"""The tutorial in examples/ runs as it stands."""

import contextlib
import io

from docs.commands import start
from tests.tiny import draw_people


def test_own_photographs_from_folder_to_decision(tmp_path):
    people = draw_people(tmp_path / "people", people=8, photographs=4)
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        start("examples.own_photographs", ["--quick", "--root", str(people), "--out", str(tmp_path / "out")])
    steps = [line[:2] for line in said.getvalue().splitlines() if line[1:2] == "."]
    assert steps == ["1.", "3.", "3.", "3.", "5.", "7."]
    assert said.getvalue().rstrip().endswith(("the same person", "different people"))


def test_own_photographs_makes_a_folder_of_synthetic_people(tmp_path):
    from examples.own_photographs import synthetic_people

    folder = synthetic_people(tmp_path, people=3)
    assert [len(list(person.iterdir())) for person in folder.iterdir()] == [15, 15, 15]
