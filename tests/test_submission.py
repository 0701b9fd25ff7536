import csv
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.errors import InputError
from datasets.manifest import Pairs
from datasets.readers.tables import read_answers, read_csv
from verification.submission import write_scores, write_submission

ANY = st.characters(exclude_categories=["Cs"], exclude_characters="\0")
NAMES = st.text(ANY, min_size=1, max_size=8) | st.text(",\"'\r\n \té가\\", min_size=1, max_size=6)


def pairs_of(rows):
    return Pairs.of([row[0] for row in rows], [row[1] for row in rows], None, Path("."))


def read_back(path):
    with open(path, encoding="utf-8", newline="") as opened:
        return list(csv.reader(opened))


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(NAMES, NAMES, st.booleans(), st.floats(-1, 1, width=32)), max_size=8))
def test_any_name_and_any_float32_is_read_back(tmp_path_factory, rows):
    folder = tmp_path_factory.mktemp("submission")
    pairs, same, scores = pairs_of(rows), np.array([row[2] for row in rows], dtype=bool), np.array([row[3] for row in rows])
    submission, table = write_submission(folder / "preds.csv", pairs, same), write_scores(folder / "scores.csv", pairs, scores)
    assert read_back(submission) == [["image1", "image2", "label"], *([a, b, "0" if match else "1"] for a, b, match, _ in rows)]
    names_and_scores = read_back(table)
    assert names_and_scores[0] == ["image1", "image2", "score"]
    assert [(a, b) for a, b, _ in names_and_scores[1:]] == [(a, b) for a, b, _, _ in rows]
    assert [np.float32(score) for _, _, score in names_and_scores[1:]] == [row[3] for row in rows]
    first = submission.read_bytes(), table.read_bytes()
    write_submission(submission, pairs, same), write_scores(table, pairs, scores)
    assert (submission.read_bytes(), table.read_bytes()) == first


def test_the_exact_bytes(tmp_path):
    pairs = pairs_of([("b/1.jpg", "a/2.jpg"), ("a/2.jpg", 'x,"y".jpg'), ("얼굴.jpg", " é.jpg")])
    submission = write_submission(tmp_path / "new" / "preds.csv", pairs, np.array([True, False, True]))
    assert submission == tmp_path / "new" / "preds.csv"
    lines = ["image1,image2,label", "b/1.jpg,a/2.jpg,0", 'a/2.jpg,"x,""y"".jpg",1', "얼굴.jpg, é.jpg,0", ""]
    assert submission.read_bytes() == "\n".join(lines).encode()
    table = write_scores(tmp_path / "scores.csv", pairs, np.array([1 / 3, -0.0, 1e-20]))
    lines = ["image1,image2,score", "b/1.jpg,a/2.jpg,0.333333333", 'a/2.jpg,"x,""y"".jpg",0', "얼굴.jpg, é.jpg,1e-20", ""]
    assert table.read_bytes() == "\n".join(lines).encode()


def test_a_submission_is_a_valid_table_of_answers(tmp_path):
    same = np.array([True, False, False])
    path = write_submission(tmp_path / "preds.csv", pairs_of([("a", "b"), ("a", "NA"), ("a", "c")]), same)
    table = read_csv(path, ["image1", "image2"])
    assert read_answers(table, path) == same.tolist()
    assert table["image2"].tolist() == ["b", "NA", "c"]


def test_no_pairs_give_the_header_alone(tmp_path):
    path = write_submission(tmp_path / "preds.csv", pairs_of([]), np.array([], dtype=bool))
    assert path.read_bytes() == b"image1,image2,label\n"


def test_a_name_that_is_not_utf8_is_refused_and_leaves_nothing_behind(tmp_path):
    with pytest.raises(InputError, match="rename"):
        write_submission(tmp_path / "preds.csv", pairs_of([("a", "b"), ("a\udcff", "b")]), np.array([True, True]))
    assert list(tmp_path.iterdir()) == []


def test_as_many_decisions_as_pairs(tmp_path):
    with pytest.raises(ValueError, match="length"):
        write_submission(tmp_path / "preds.csv", pairs_of([("a", "b"), ("c", "d")]), np.array([True]))
