"""K-FACE's subsets and people, and the rebuild of the competition from it, on a tiny made-up K-FACE."""

import hashlib
import itertools
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from common.errors import InputError
from datasets.readers.competition import ANGLES, Competition
from datasets.readers.kface import SUBSETS, TEST_PEOPLE, KFace
from datasets.readers.kface.__main__ import main

ROOT = Path(__file__).parents[1]
TESTERS = sorted(TEST_PEOPLE)[:3]
OTHERS = [f"2000000{n}" for n in range(8)]


def write_kface(root: Path, people, accessories, lights, expressions, cameras) -> Path:
    """One tiny photograph per condition, every file with bytes of its own."""
    root.mkdir(exist_ok=True)
    Image.new("RGB", (8, 8)).save(root / "pixel.jpg")
    content = (root / "pixel.jpg").read_bytes()
    for person, accessory, light, expression in itertools.product(people, accessories, lights, expressions):
        folder = root / "High" / person / accessory / light / expression
        folder.mkdir(parents=True)
        for camera in cameras:
            name = f"{person}/{accessory}/{light}/{expression}/{camera}"
            (folder / f"{camera}.jpg").write_bytes(content + name.encode())
    return root


@pytest.fixture(scope="module")
def kface(tmp_path_factory) -> Path:
    cameras = [f"C{n}" for n in range(1, 21)]
    conditions = ["S001", "S002"], ["L1", "L7"], ["E01", "E02"], cameras
    root = write_kface(tmp_path_factory.mktemp("kface"), TESTERS + OTHERS, *conditions)
    (root / "High" / OTHERS[0] / ".DS_Store").touch()
    (root / "High" / OTHERS[0] / "S001" / "L1" / "E01" / "Thumbs.db").touch()
    return root


def test_subset_sizes_are_the_published_ones():
    sizes = {
        name: 370 * len(part.accessories) * len(part.lights) * len(part.expressions) * len(part.cameras)
        for name, part in SUBSETS.items()
    }
    assert sizes == {"T1": 2_590, "T2": 46_620, "T3": 654_160, "T4": 3_862_800}
    assert len(TEST_PEOPLE) == 30


def test_people_are_split_by_the_protocol(kface):
    reader = KFace(str(kface), validate_share=0.3, pairs=20)
    people = {split: reader.faces(split).identities for split in ("train", "validate", "test")}
    assert people["test"] == TESTERS
    assert (len(people["train"]), len(people["validate"])) == (6, 2)
    assert sorted(people["train"] + people["validate"]) == OTHERS
    assert set(reader.pairs("test").file_names) <= set(reader.faces("test").file_names)
    assert KFace(str(kface / "High")).root == reader.root == kface / "High"


@pytest.mark.parametrize(("subset", "per_person"), [("T1", 7), ("T2", 14), ("T3", 52), ("T4", 80)])
def test_a_subset_reads_its_conditions_alone(kface, subset, per_person):
    faces = KFace(str(kface), subset=subset).faces("train")
    assert len(faces) == per_person * len(faces.identities)
    assert "L7" not in faces.values("light")
    for row in faces.table.itertuples():
        assert row.file_name == f"{row.face_id}/{row.accessory}/{row.light}/{row.expression}/{row.angle}.jpg"
        assert (faces.root / row.file_name).is_file()


def test_mirrors_turn_the_arc_around_and_leave_the_rest(kface):
    mirror = KFace(str(kface)).faces("train").mirrors["angle"]
    assert [mirror.get(f"C{n}", f"C{n}") for n in (1, 4, 7, 13, 14, 20)] == ["C13", "C10", "C7", "C1", "C14", "C20"]
    assert all(mirror[mirror[camera]] == camera for camera in mirror)


def test_published_pair_list(kface, tmp_path):
    one, other = TESTERS[:2]
    lines = [f"{one}/S001/L1/E01/C4.jpg {one}/S002/L1/E02/C20.jpg 1", f"{one}/S001/L1/E01/C4.jpg {other}/S001/L1/E01/C4.jpg 0"]
    listed = tmp_path / "Q1.txt"
    listed.write_text("\n".join(lines) + "\n")
    reader = KFace(str(kface), pair_list=str(listed))
    assert reader.pairs("test").same.tolist() == [True, False]
    faces = reader.faces("test")
    assert faces.file_names == reader.pairs("test").file_names
    assert faces.values("angle") == ["C10", "C20", "C4"]  # C10 is the mirror of C4
    assert len(reader.pairs("validate")) > 2


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{t}/S001/L1/E01/C4.jpg {t}/S001/L1/E01/C5.jpg", "line 1 is"),
        ("{t}/S001/L1/E01/C4.jpg {t}/S001/L1/E01/C5.jpg 2", "line 1 is"),
        ("{t}/S001/L1/E01/C4.png {t}/S001/L1/E01/C5.jpg 1", "line 1 is"),
        ("../S001/L1/E01/C4.jpg {t}/S001/L1/E01/C5.jpg 0", "1 file names lead out of the data root"),
        ("{t}/S003/L1/E01/C4.jpg {t}/S001/L1/E01/C5.jpg 1", "1 of 2 photographs are missing"),
        ("{o}/S001/L1/E01/C4.jpg {t}/S001/L1/E01/C5.jpg 0", "names 1 people who are not among the 30 test people"),
        ("", "is empty"),
    ],
)
def test_a_pair_list_that_does_not_fit_is_refused(kface, tmp_path, line, message):
    listed = tmp_path / "list.txt"
    listed.write_text(line.format(t=TESTERS[0], o=OTHERS[0]) + "\n")
    with pytest.raises(InputError, match=message):
        KFace(str(kface), pair_list=str(listed)).pairs("test")


def test_wrong_options_and_folders_are_refused(kface, tmp_path):
    with pytest.raises(InputError, match="no subset 'T5'; it has: T1, T2, T3, T4"):
        KFace(str(kface), subset="T5")
    with pytest.raises(InputError, match="no folders of people"):
        KFace(str(tmp_path))
    for person in OTHERS:
        (tmp_path / "High" / person).mkdir(parents=True)
    with pytest.raises(InputError, match="none of the K-FACE T1 train photographs"):
        KFace(str(tmp_path)).faces("train")
    with pytest.raises(InputError, match="none of the 30 test people is in it"):
        KFace(str(tmp_path)).faces("test")


def digest(folder: Path) -> dict[str, str]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_rebuild_is_what_the_competition_reader_reads(kface, tmp_path, capsys):
    options = ["--root", str(kface), "--identities", "9", "--images", "6", "--pairs", "60", "--test_share", "0.3"]
    main([*options, "--out", str(tmp_path / "one"), "--seed", "5"])
    main([*options, "--out", str(tmp_path / "two"), "--seed", "5"])
    main([*options, "--out", str(tmp_path / "three"), "--seed", "6"])
    assert digest(tmp_path / "one") == digest(tmp_path / "two") != digest(tmp_path / "three")

    reader = Competition(str(tmp_path / "one"))
    train = reader.faces("train")
    assert len(train.identities) == 4 and train.table["face_id"].value_counts().tolist() == [6] * 4
    assert set(train.table["angle"]) <= set(ANGLES)
    people = {"train": set(train.identities)}
    for split in ("validate", "test"):
        pairs = reader.pairs(split)
        owner = {name: name.split("_")[0] for name in pairs.file_names}
        assert pairs.same.sum() * 2 == len(pairs) == 60
        assert pairs.same.tolist() == [owner[a] == owner[b] for a, b in zip(pairs.table["first"], pairs.table["second"])]
        people[split] = set(owner.values())
        assert len(list((tmp_path / "one" / split).glob("*.jpg"))) == len(pairs.file_names)
    assert [len(part) for part in people.values()] == [4, 2, 3]
    assert len(set.union(*people.values())) == 9

    for name in train.file_names:  # a photograph's bytes are those of the conditions that its name tells
        *fields, _ = Path(name).stem.split("_")
        assert (train.root / name).read_bytes().endswith("/".join(fields).encode())


def test_rebuild_refuses_what_it_cannot_do(kface, tmp_path, capsys):
    full = tmp_path / "full"
    full.mkdir()
    (full / "precious").touch()
    new = str(tmp_path / "new")
    for wrong, message in [
        (["--out", str(full)], "is not empty"),
        (["--out", str(full / "precious")], "is a file"),
        (["--out", str(full / "precious" / "new")], "could not be finished"),
        (["--out", new, "--identities", "12"], "identities is 12; K-FACE here has 11 people"),
        (["--out", new, "--identities", "5"], "5 people cannot be split"),
        (["--out", new, "--images", "1"], "images is 1"),
        (["--out", new, "--seed", "-1"], "the seed is -1"),
        (["--out", new, "--pairs", "0"], "pairs is 0"),
        (["--out", new, "--test_share", "0"], "test_share 0"),
        (["--out", new, "--root", new], "is not a folder"),
    ]:
        with pytest.raises(InputError, match=message):
            main(["--root", str(kface), *wrong])
        assert not Path(new).exists()
    with pytest.raises(SystemExit) as stopped:
        main(["--root", str(kface), "--out", new, "--identities", "many"])
    assert stopped.value.code == 2


def test_the_command_runs_as_a_module():
    command = [sys.executable, "-m", "datasets.readers.kface", "--root", "nowhere", "--out", "nowhere"]
    finished = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert finished.returncode == 2
    assert (
        finished.stderr == "\nkface: 'nowhere' is not a folder; it should be K-FACE's folder, with High/ in it, or High itself\n"
    )
