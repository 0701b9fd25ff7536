"""Whatever a list holds, it is read or refused in one sentence, and no path in it leaves its root."""

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from common import files
from common.errors import InputError
from common.files import escapes
from datasets.readers.competition import Competition
from datasets.readers.kface.reader import read_pair_list
from datasets.readers.pairs_csv import read_pairs_csv
from datasets.readers.presence import check_files
from datasets.readers.tables import read_answers, read_csv

quick = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
cells = st.sampled_from(["image1", "image2", "label", "same", "a.jpg", "b.jpg", "0", "1", "2", "", '"', "../a.jpg"])
lines = st.lists(st.lists(cells, max_size=5)).map(lambda rows: "\n".join(",".join(row) for row in rows).encode())
contents = st.one_of(st.binary(max_size=200), lines, st.binary(max_size=60).map(lambda tail: b"image1,image2,label\n" + tail))


@pytest.fixture
def root(tmp_path) -> Path:
    """A root with two photographs, beside a secret, with links to both."""
    (tmp_path / "secret.jpg").touch()
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "c.jpg").touch()
    root = tmp_path / "root"
    root.mkdir()
    for name in ("a.jpg", "b.jpg"):
        (root / name).touch()
    (root / "inner.jpg").symlink_to("a.jpg")
    (root / "leak.jpg").symlink_to("../secret.jpg")
    (root / "folder").symlink_to("../outside")
    return root


@given(content=contents)
@example(content=b"")
@example(content=b"\xef\xbb\xbfimage1,image2\na.jpg,b.jpg\n")
@example(content=b"image1,image2\r\na.jpg,b.jpg,1\r\n")
@example(content=b"image1,image2\na.jpg,b\x00.jpg\n")
@example(content=b"image1,image1\na.jpg,b.jpg\n")
@quick
def test_any_bytes_give_pairs_or_one_sentence(root, content):
    path = root / "pairs.csv"
    path.write_bytes(content)
    try:
        pairs, _ = read_pairs_csv(path)
    except InputError as error:
        assert str(path) in str(error) and "\n" not in str(error)
    else:
        assert len(pairs) > 0 and set(pairs.file_names) <= {"a.jpg", "b.jpg", "inner.jpg", "pairs.csv"}
        assert set(pairs.table["same"]) <= {True, False, None}


@given(content=contents)
@quick
def test_any_bytes_give_a_table_or_one_sentence(tmp_path, content):
    path = tmp_path / "table.csv"
    path.write_bytes(content)
    try:
        table = read_csv(path, [])
        read_answers(table, path)
    except InputError as error:
        assert str(path) in str(error) and "\n" not in str(error)
    else:
        assert all(isinstance(cell, str) for row in table.itertuples(index=False) for cell in row)


VALID = {"train": b"face_id,file_name\n1,a.jpg\n", "validate": b"image1,image2,label\na.jpg,a.jpg,0\n"}


@pytest.mark.parametrize("split, name", [("train", "train_meta.csv"), ("validate", "validate_label.csv")])
@given(content=contents)
@quick
def test_any_competition_gives_faces_or_one_sentence(tmp_path, split, name, content):
    (tmp_path / split).mkdir(exist_ok=True)
    (tmp_path / split / "a.jpg").touch()
    for whole in (VALID[split], content, VALID[split] + content):
        (tmp_path / split / name).write_bytes(whole)
        try:
            assert set(Competition(str(tmp_path)).faces(split).file_names) <= {"a.jpg", name}
        except InputError as error:
            assert whole != VALID[split] and "\n" not in str(error)


@given(content=st.one_of(st.binary(max_size=100), st.text("/SLEC019.jpg \n", max_size=80).map(str.encode)))
@quick
def test_any_bytes_give_a_published_list_or_one_sentence(root, content):
    path = root / "list.txt"
    path.write_bytes(content)
    with pytest.raises(InputError) as refused:
        read_pair_list(path, root)
    assert "\n" not in str(refused.value)


parts = ["..", ".", "", "/", "a.jpg", "folder", "leak.jpg", "c.jpg", "C:", "\\", "~", "root", "secret.jpg"]
pieces = st.lists(st.sampled_from(parts))


@given(name=st.one_of(st.text(), pieces.map("/".join), pieces.map("\\".join), st.text(st.characters(codec=None), max_size=4)))
@example(name="../root/a.jpg")
@example(name="folder/c.jpg")
@example(name="leak.jpg")
@example(name="\ud800.jpg")
@example(name="a.jpg\0")
@quick
def test_no_name_escapes(root, name):
    try:
        check_files(root, [name], "the list")
    except InputError:
        return
    assert not escapes(name)
    real = os.path.realpath(root / name)
    assert os.path.isfile(real) and Path(real).parent == root.resolve()


@pytest.mark.parametrize("name", ["../secret.jpg", "/etc/passwd", "folder/c.jpg", "leak.jpg", "folder/../secret.jpg"])
def test_escaping_names_are_named(root, name):
    with pytest.raises(InputError, match="1 file names lead out of the data root"):
        check_files(root, ["a.jpg", "inner.jpg", name], "the list")


def test_links_to_nowhere_are_called_so(root):
    for name, target in {"lost.jpg": "absent.jpg", "far.jpg": "../../absent.jpg", "ring.jpg": "ring.jpg"}.items():
        (root / name).symlink_to(target)
    with pytest.raises(InputError, match="3 of 4 photographs in .* are dangling links.*: lost.jpg, far.jpg, ring.jpg"):
        check_files(root, ["a.jpg", "lost.jpg", "far.jpg", "ring.jpg"], "the list")


@pytest.mark.parametrize("windows", [True, False])
@pytest.mark.parametrize("name", [r"C:\x.jpg", r"..\x.jpg", r"a\..\..\x.jpg", r"\x.jpg", "C:x.jpg"])
def test_backslashes_and_drives_are_those_of_windows(monkeypatch, windows, name):
    monkeypatch.setattr(files, "WINDOWS", windows)
    assert escapes(name) == windows and escapes("../x.jpg") and escapes("/x.jpg") and not escapes("ab:c/x.jpg")


def test_a_cell_of_megabytes_is_not_echoed(root):
    (root / "pairs.csv").write_text(f"image1,image2\na.jpg,{'b' * 5_000_000}\n")
    with pytest.raises(InputError, match=r"b\.\.\. \(5,000,000 characters\)") as refused:
        read_pairs_csv(root / "pairs.csv")
    assert len(str(refused.value)) < 1000
    (root / "pairs.csv").write_text(f"image1,image2,label\na.jpg,b.jpg,{'b' * 5_000_000}\n")
    with pytest.raises(InputError, match="line 2: label is") as refused:
        read_pairs_csv(root / "pairs.csv")
    assert len(str(refused.value)) < 1000


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("image1,image2\na.jpg,b.jpg,1\n", "not a readable CSV"),
        ("image1,image2,label\na.jpg,b.jpg,2\n", "label is '2'; it should be 0, 1 or empty"),
        ("image1,image2,label,same\na.jpg,b.jpg,1,0\n", "both a column 'label'"),
        ("image1,image2,image2\na.jpg,b.jpg,b.jpg\n", "more than one column 'image2'"),
        ("image1,image2\n", "no rows"),
        ("first,second\na.jpg,b.jpg\n", "lacks the column image1, image2; it has first, second"),
        ("image1,image2\na.jpg,z.jpg\n", "1 of 2 photographs are missing"),
    ],
)
def test_faults_of_a_pair_list_are_named(root, content, message):
    (root / "pairs.csv").write_text(content)
    with pytest.raises(InputError, match=message):
        read_pairs_csv(root / "pairs.csv")


def test_pair_lists_tell_the_two_conventions_apart(root):
    path = root.parent / "pairs.csv"
    path.write_text(",image1,image2,label\n0,a.jpg,b.jpg,1\n1,a.jpg,inner.jpg,0\n2,b.jpg,inner.jpg\n")
    assert read_pairs_csv(path, root)[0].table["same"].tolist() == [False, True, None]
    path.write_text("image1,image2,same\na.jpg,b.jpg,1\na.jpg,inner.jpg,0\n")
    assert read_pairs_csv(path, str(root))[0].same.tolist() == [True, False]
    (root / "pairs.csv").write_text("image1,image2\na.jpg,b.jpg\n")
    unanswered, _ = read_pairs_csv(root / "pairs.csv")
    assert unanswered.root == root and not unanswered.answered.any()
    with pytest.raises(InputError, match="cannot be read"):
        read_pairs_csv(root / "absent.csv")
