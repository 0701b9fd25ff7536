"""The sample set: packed to the same bytes, unpacked once and whole, however damaged and by however many at once."""

import hashlib
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from common.config import make_config
from common.errors import InputError
from datasets.readers.opening import open_reader
from datasets.twin import sample, unpack
from datasets.twin.generate import generate
from datasets.twin.reader import Twin
from datasets.twin.receipt import RECEIPT
from datasets.twin.unpack import MARKER, SAMPLE, SAMPLE_DIGEST
from tests.flat_studio import FlatStudio

ROOT = Path(__file__).parents[1]
SMALL = {"identities": 8, "image_size": 16, "test_share": 0.25, "validate_share": 0.25, "validate_pairs": 20, "test_pairs": 20}


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    return generate(tmp_path_factory.mktemp("whole"), **SMALL, studio=FlatStudio)


@pytest.fixture
def packed(whole, tmp_path, monkeypatch) -> Path:
    """A sample in the place of the committed one, to be unpacked into tmp_path/data/twin."""
    archive = tmp_path / "sample.zip"
    monkeypatch.setattr(unpack, "SAMPLE", archive)
    monkeypatch.setattr(unpack, "SAMPLE_DIGEST", sample.pack(whole, archive))
    monkeypatch.setattr(unpack, "UNPACKED", tmp_path / "data" / "twin")
    return archive


# packing


def test_equal_sets_make_equal_zips(whole, tmp_path, capsys):
    copy = tmp_path / "copy"
    for name in sorted(contents(whole), reverse=True):  # made in another order and at another time, with strangers beside
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(whole / name, copy / name)
    (copy / "train" / "Thumbs.db").touch()
    (copy / "train" / "stray.jpg").touch()
    sample.main([str(whole), "--out", str(tmp_path / "one.zip")])
    sample.main([str(copy), "--out", str(tmp_path / "two.zip")])
    content = (tmp_path / "one.zip").read_bytes()
    assert content == (tmp_path / "two.zip").read_bytes()
    assert hashlib.sha256(content).hexdigest() in capsys.readouterr().out
    with zipfile.ZipFile(tmp_path / "one.zip") as archive:
        entries = archive.infolist()
        assert [entry.filename for entry in entries] == sorted(contents(whole))
        assert {(entry.compress_type, entry.date_time, entry.create_system, entry.external_attr) for entry in entries} == {
            (zipfile.ZIP_STORED, (1980, 1, 1, 0, 0, 0), 3, 0o644 << 16)
        }
        assert {entry.filename: archive.read(entry) for entry in entries} == contents(whole)


def test_what_cannot_be_packed_is_refused(whole, tmp_path, monkeypatch):
    with pytest.raises(InputError, match="is not a folder"):
        sample.pack(tmp_path / "absent", tmp_path / "x.zip")
    with pytest.raises(InputError, match=f"has no {RECEIPT} in it"):
        sample.pack(tmp_path, tmp_path / "x.zip")
    broken = shutil.copytree(whole, tmp_path / "broken")
    next(broken.rglob("*.jpg")).unlink()
    with pytest.raises(InputError, match="1 of .* photographs are missing"):
        sample.pack(broken, tmp_path / "x.zip")
    (broken / "test" / "test_label.csv").unlink()
    with pytest.raises(InputError, match="is unfinished .there is no test/test_label.csv"):
        sample.pack(broken, tmp_path / "x.zip")
    monkeypatch.setattr(sample, "MOST_BYTES", 10_000)
    with pytest.raises(InputError, match="more than the 10,000 that a repository should carry"):
        sample.pack(whole, tmp_path / "x.zip")
    assert {path.name for path in tmp_path.iterdir()} == {"broken"}


# unpacking


def test_the_sample_is_unpacked_once(whole, packed, tmp_path):
    reader = Twin()
    assert reader.root == tmp_path / "data" / "twin"
    found = contents(reader.root)
    assert hashlib.sha256(packed.read_bytes()).hexdigest() in found.pop(MARKER).decode()
    assert found == contents(whole)
    assert {path.name for path in (tmp_path / "data").iterdir()} == {"twin", ".twin.lock"}
    before = {path: path.stat() for path in reader.root.rglob("*")}
    Twin()
    assert {path: path.stat() for path in reader.root.rglob("*")}.keys() == before.keys()
    assert all(path.stat().st_ino == then.st_ino and path.stat().st_mtime_ns == then.st_mtime_ns for path, then in before.items())


def test_the_reader_is_the_competitions(whole, packed):
    reader = open_reader(make_config({"data": {"reader": "twin"}}).data)
    assert isinstance(reader, Twin) and reader.faces("train").attributes == ["angle", "expression"]
    given = Twin(str(whole))
    assert given.root == whole
    for split in ("validate", "test"):
        assert reader.pairs(split).table.equals(given.pairs(split).table)
        assert given.pairs(split).same.sum() * 2 == len(given.pairs(split)) == 20


def test_a_root_leaves_the_sample_alone(whole, packed, tmp_path):
    packed.unlink()
    assert len(Twin(str(whole)).faces("train")) == 4 * 27
    assert not (tmp_path / "data").exists()
    with pytest.raises(InputError, match=f"has no {RECEIPT} in it"):
        Twin(str(tmp_path))


def damage(folder: Path, how: str) -> None:
    photographs = sorted(folder.rglob("*.jpg"))
    match how:
        case "one byte":
            content = bytearray(photographs[3].read_bytes())
            content[50] ^= 1
            photographs[3].write_bytes(content)
        case "shorter":
            photographs[3].write_bytes(photographs[3].read_bytes()[:-1])
        case "missing":
            photographs[3].unlink()
        case "missing folder":
            shutil.rmtree(folder / "test")
        case "additional":
            (folder / "train" / "mine.jpg").touch()
        case "link":
            target = shutil.copyfile(photographs[3], folder.parent / "elsewhere.jpg")
            photographs[3].unlink()
            photographs[3].symlink_to(target)
        case "folder for file":
            photographs[3].unlink()
            photographs[3].mkdir()
        case "older sample":
            (folder / MARKER).write_text(unpack.MARK + "\nanother\n")
        case "killed while unpacking":
            (folder.parent / ".twin.partial" / "train").mkdir(parents=True)
            folder.rename(folder.parent / ".twin.old")
        case "gone":
            shutil.rmtree(folder.parent)
        case "empty":
            shutil.rmtree(folder)
            folder.mkdir()


WAYS = ["one byte", "shorter", "missing", "missing folder", "additional", "link", "folder for file", "older sample"]
WAYS += ["killed while unpacking", "gone", "empty"]


@pytest.mark.parametrize("how", WAYS)
def test_a_damaged_folder_is_unpacked_anew(whole, packed, tmp_path, how):
    folder = Twin().root
    damage(folder, how)
    found = contents(Twin().root)
    del found[MARKER]
    assert found == contents(whole) and not any(path.is_symlink() for path in folder.rglob("*"))
    names = {path.name for path in (tmp_path / "data").iterdir()} - {"elsewhere.jpg"}
    assert names == {"twin", ".twin.lock"}


@pytest.mark.parametrize("how", ["another folder", "file", "link", "dangling link"])
def test_what_was_not_unpacked_here_is_not_touched(whole, packed, tmp_path, how):
    place = tmp_path / "data" / "twin"
    place.parent.mkdir()
    match how:
        case "another folder":
            shutil.copytree(whole, place)  # such as a set of the user's own
        case "file":
            place.write_text("precious")
        case "link":
            place.symlink_to(whole)
        case "dangling link":
            place.symlink_to(tmp_path / "absent")
    before = contents(tmp_path)
    with pytest.raises(InputError, match="stands where the sample is to be unpacked and was not made by that; move it away"):
        Twin()
    after = contents(tmp_path)
    assert after.pop("data/.twin.lock") == b"" and after == before and os.path.lexists(place)


def test_a_zip_that_was_tampered_with_is_refused(packed, tmp_path):
    content = bytearray(packed.read_bytes())
    content[len(content) // 2] ^= 1
    packed.write_bytes(content)
    with pytest.raises(InputError, match="sample.zip' has the SHA-256 .* and should have .*; fetch it with the repository again"):
        Twin()
    packed.unlink()
    with pytest.raises(InputError, match="sample.zip' cannot be read .*--data.root"):
        Twin()
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize("name", ["../x", "/x", "a/../../x", "C:/x", "a\\..\\..\\x", "a/", MARKER])
def test_no_path_of_a_zip_leaves_the_folder(tmp_path, name):
    archive = tmp_path / "deep" / "evil.zip"
    archive.parent.mkdir()
    with zipfile.ZipFile(archive, "w") as packed:
        packed.writestr("good", "x")
        packed.writestr(name, "x")
    digest = hashlib.sha256(archive.read_bytes()).hexdigest()
    with pytest.raises(InputError, match="names that are not plain files of one folder"):
        unpack.unpack(archive, digest, tmp_path / "deep" / "data" / "twin")
    assert set(contents(tmp_path)) == {"deep/evil.zip"}


def test_no_zip_at_all(tmp_path):
    archive = tmp_path / "no.zip"
    archive.write_text("no zip")
    with pytest.raises(InputError, match="is not a zip file"):
        unpack.unpack(archive, hashlib.sha256(b"no zip").hexdigest(), tmp_path / "twin")


def test_a_place_that_cannot_be_written_is_named(packed, tmp_path):
    (tmp_path / "data").write_text("a file")
    with pytest.raises(InputError, match="cannot be unpacked into .*data/twin.*--data.root"):
        Twin()


def test_a_rename_that_fails_is_named(packed, monkeypatch):
    def refuse(*paths):
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "rename", refuse)
    with pytest.raises(InputError, match="cannot be unpacked into .*Operation not permitted"):
        Twin()


@pytest.mark.parametrize("start", ["absent", "damaged"])
def test_several_processes_unpack_at_once(whole, packed, tmp_path, start):
    folder = tmp_path / "data" / "twin"
    digest = hashlib.sha256(packed.read_bytes()).hexdigest()
    if start == "damaged":
        Twin()
        damage(folder, "one byte")
    code = (
        "import sys; from pathlib import Path; from datasets.twin.unpack import unpack; sys.stdin.readline();"
        f"folder = unpack(Path({str(packed)!r}), {digest!r}, Path({str(folder)!r}));"
        "print(len([path.read_bytes() for path in folder.rglob('*') if path.is_file()]))"
    )
    processes = [
        subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    for process in processes:  # all are waiting for this line, so that they begin together
        process.stdin.write("\n")
        process.stdin.flush()
    assert [int(process.communicate(timeout=60)[0]) for process in processes] == [len(contents(whole)) + 1] * 3
    found = contents(folder)
    del found[MARKER]
    assert found == contents(whole)
    assert {path.name for path in folder.parent.iterdir()} == {"twin", ".twin.lock"}


def test_the_command_ends_with_one_line_and_code_2(tmp_path):
    command = [sys.executable, "-m", "datasets.twin.sample", str(tmp_path / "absent")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 2 and len(done.stderr.strip().splitlines()) == 1 and "is not a folder" in done.stderr


# the committed sample


def test_the_committed_sample():
    """Every photograph of it is there, and it is what its receipt says."""
    if not SAMPLE.is_file():
        pytest.skip(f"NO SAMPLE: {SAMPLE} is not made yet, so the reader was tried on made-up sets alone")
    assert hashlib.sha256(SAMPLE.read_bytes()).hexdigest() == SAMPLE_DIGEST and SAMPLE.stat().st_size <= sample.MOST_BYTES
    reader = Twin()
    people = {split: {name.split("_")[0] for name in reader.faces(split).file_names} for split in ("train", "validate", "test")}
    assert all(set(reader.faces(split).identities) == told for split, told in people.items())
    assert not people["train"] & people["validate"] and not people["test"] & (people["train"] | people["validate"])
    for split in ("validate", "test"):
        pairs = reader.pairs(split)
        owners = zip(pairs.table["first"], pairs.table["second"])
        assert pairs.same.tolist() == [first.split("_")[0] == second.split("_")[0] for first, second in owners]
        assert pairs.same.sum() * 2 == len(pairs)
