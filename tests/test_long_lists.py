"""What is done to whole columns at once is what a loop over the rows would do."""

import csv
import os
import shutil
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.errors import InputError
from datasets.manifest import Face, Manifest, Pairs, digest
from datasets.pairs.draw import random_stream
from datasets.readers import presence
from datasets.readers.competition import ANGLES, EXPRESSIONS, Competition, conditions
from datasets.readers.pairs_csv import read_pairs_csv
from datasets.readers.presence import check_files
from datasets.readers.tables import read_answers, read_csv
from verification.scores import score_pairs
from verification.submission import write_scores, write_submission

ROWS = 20_000
IMAGES = 500


def told(name: str) -> dict[str, str]:
    """Angle and expression of one file name, read the slow way."""
    fields = PurePosixPath(name).stem.split("_")
    return {"angle": fields[-2], "expression": fields[-3]} if len(fields) >= 3 else {}


@pytest.fixture(scope="module")
def competition(tmp_path_factory) -> Iterator[Path]:
    """20,000 training photographs, most in folders and some linked, and 20,000 pairs of 500 test photographs."""
    root = tmp_path_factory.mktemp("competition")
    random = random_stream(0, "a long list")
    cameras, expressions = random.choice(list(ANGLES), ROWS), random.choice(EXPRESSIONS, ROWS)
    names = [f"{row % 7}/{row % 90}_S001_{e}_{c}_{row}.jpg" for row, (e, c) in enumerate(zip(expressions, cameras))]
    names[::50] = [f"{row}.jpg" for row in range(0, ROWS, 50)]
    for folder in ("train", "test", *(f"train/{number}" for number in range(7))):
        (root / folder).mkdir(exist_ok=True)
    for row, name in enumerate(names):
        path = root / "train" / name
        path.symlink_to("../0.jpg") if row % 50 == 1 else path.touch()
    rows = [f"{row % 90},{name}" for row, name in enumerate(names)]
    (root / "train" / "train_meta.csv").write_text("\n".join(["face_id,file_name", *rows]))
    images = [f"x_{EXPRESSIONS[number % 3]}_C7_{number}.jpg" for number in range(IMAGES)]
    for name in images:
        (root / "test" / name).touch()
    chosen = random.integers(IMAGES, size=(ROWS, 2))
    labels = random.choice(["0", "1", "", " 1", "1.0", "0.0 "], ROWS)
    rows = [f"{images[one]},{images[other]},{label}" for (one, other), label in zip(chosen, labels)]
    (root / "test" / "test_label.csv").write_text("\n".join(["image1,image2,label", *rows]))
    yield root
    shutil.rmtree(root)  # pytest would keep 60,000 files of three sessions


def lines(path: Path) -> list[list[str]]:
    with open(path, newline="") as file:
        return list(csv.reader(file))[1:]


def test_a_long_manifest(competition):
    read = Competition(str(competition)).faces("train")
    rows = lines(competition / "train" / "train_meta.csv")
    expected = Manifest.of([Face(name, person, told(name)) for person, name in rows], competition / "train", read.mirrors)
    assert read.table.equals(expected.table) and digest(read) == digest(expected) and len(read) == ROWS
    assert read.table["angle"].isna().sum() == ROWS // 50 and read.attributes == ["angle", "expression"]
    assert all(type(cell) in (str, type(None)) for column in read.table for cell in read.table[column])


def test_long_pairs(competition):
    path = competition / "test" / "test_label.csv"
    rows, meaning = lines(path), {"1": False, "1.0": False, "0": True, "0.0": True, "": None}
    answers = [meaning[label.strip()] for *_, label in rows]
    assert read_answers(read_csv(path, []), path) == answers
    for pairs in (Competition(str(competition)).pairs("test"), read_pairs_csv(path)[0]):
        assert pairs.table["first"].tolist() == [first for first, *_ in rows]
        assert pairs.table["second"].tolist() == [second for _, second, _ in rows]
        assert pairs.table["same"].tolist() == answers and pairs.table["same"].dtype == object


@given(st.text("aC7_.E01/- ", max_size=12).filter(lambda name: not name.endswith(("/", "/."))) | st.just("a/x_E01_C7_1.jpg"))
def test_conditions_of_any_name(name):
    if PurePosixPath(name).name == name.rpartition("/")[2]:  # else it cannot be the name of a file
        known = conditions([name])
        assert {attribute: value for attribute, (value,) in known.items() if value is not None} == told(name)


def fault(root: Path, names: list[str]) -> str | None:
    try:
        check_files(root, names, "the list")
    except InputError as error:
        return str(error)


@pytest.mark.parametrize("listed", [0, 1, 10])
def test_long_lists_of_files(competition, monkeypatch, listed):
    """However many entries of a folder are listed, the same names are refused."""
    monkeypatch.setattr(presence, "LISTED", listed)
    root = competition / "train"
    names = [name for _, name in lines(root / "train_meta.csv")]
    assert fault(root, names) is None
    missing = [f"3/absent{number}.jpg" for number in range(40)] + ["0", "nowhere/1.jpg", "0.jpg/1.jpg", ""]
    assert f"44 of {ROWS + 44:,} photographs are missing" in fault(root, names[:999] + missing + names[999:])
    outside = ["../test/x_E01_C7_0.jpg", "/etc/passwd", "0/../../x.jpg", str(root / names[0])]
    assert "4 file names lead out of the data root" in fault(root, names[:999] + missing + outside + names[999:])
    assert "2 file names are not UTF-8 text" in fault(root, [*names, "a\0.jpg", "\ud800.jpg"])
    (root / "1" / "leak.jpg").symlink_to(os.path.relpath(competition / "test" / "x_E01_C7_0.jpg", root / "1"))
    assert "1 file names lead out of the data root" in fault(root, [*names, "1/leak.jpg"])
    (root / "1" / "leak.jpg").unlink()


@pytest.mark.parametrize("similarity", ["cosine", "euclidean"])
def test_long_lists_of_scores_and_decisions(competition, tmp_path, similarity):
    pairs = Competition(str(competition)).pairs("test")
    names = pairs.file_names
    vectors = random_stream(0, "vectors").normal(size=(len(names), 16)).astype(np.float32)
    scores = score_pairs(vectors, names, pairs, similarity)
    vector = dict(zip(names, vectors.astype(np.float64)))
    for row in range(0, ROWS, 7):
        one, other = vector[pairs.table["first"][row]], vector[pairs.table["second"][row]]
        cosine = one @ other / np.linalg.norm(one) / np.linalg.norm(other)
        assert scores[row] == pytest.approx(cosine if similarity == "cosine" else -np.linalg.norm(one - other), abs=1e-5)
    named = Pairs.of(pairs.table["first"], [f'{name},"x"' for name in pairs.table["second"]], None, pairs.root)
    rows = list(zip(named.table["first"], named.table["second"]))
    assert lines(write_scores(tmp_path / "s.csv", named, scores)) == [
        [*row, f"{score + 0.0:.9g}"] for row, score in zip(rows, scores)
    ]
    labels = ["0" if score >= 0 else "1" for score in scores]
    assert lines(write_submission(tmp_path / "p.csv", named, scores >= 0)) == [[*row, label] for row, label in zip(rows, labels)]
