"""Every reader on tiny made-up photographs, and those of CFP, CMU and ORL on the real ones."""

import inspect
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from common.errors import InputError
from datasets import READERS
from datasets.batches.loaders import attribute_target
from datasets.readers.cfp import CFP
from datasets.readers.cmu import CMU
from datasets.readers.competition import ANGLES, MIRRORS, Competition
from datasets.readers.folder import Folder
from datasets.readers.orl import ORL

SPLITS = ("train", "validate", "test")


def photograph(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("L", (8, 8)).save(path)
    return path


def check_reader(reader) -> dict[str, set[str]]:
    """What holds of every reader; returns the people of each split."""
    people = {}
    for split in SPLITS:
        faces = reader.faces(split)
        assert faces.root.is_relative_to(reader.root) and len(set(faces.file_names)) == len(faces)
        assert all((faces.root / name).is_file() for name in faces.file_names)
        people[split] = set(faces.identities)
        if split != "train":
            pairs = reader.pairs(split)
            assert pairs.root == faces.root and set(pairs.file_names) <= set(faces.file_names)
            owner = dict(zip(faces.file_names, faces.table["face_id"]))
            if people[split]:
                assert pairs.same.tolist() == [owner[a] == owner[b] for a, b in zip(pairs.table["first"], pairs.table["second"])]
    assert not people["train"] & people["validate"] and not people["test"] & (people["train"] | people["validate"])
    return people


def test_every_reader_takes_its_root_from_the_program_and_options_with_defaults():
    for name, reader in READERS.items():
        parameters = dict(inspect.signature(reader).parameters)
        assert "root" in parameters, name
        options = [parameter for option, parameter in parameters.items() if option != "root"]
        assert all(option.default is not inspect.Parameter.empty for option in options), name


# competition


@pytest.fixture
def competition(tmp_path) -> Path:
    names = {
        "train": ["1_S001_L1_E01_C7_1", "1_S001_L1_E02_C1_2", "2_S001_L1_E03_C13_3", "2_4"],
        "validate": ["x_E01_C6_1", "y_E02_C8_2", "z"],
        "test": ["p_E01_C3_1", "q_E01_C11_2"],
    }
    for split, stems in names.items():
        for stem in stems:
            photograph(tmp_path / split / f"{stem}.jpg")
    rows = "".join(f"{stem.split('_')[0]},{stem}.jpg\n" for stem in names["train"])
    (tmp_path / "train" / "train_meta.csv").write_text("face_id,file_name\n" + rows)
    answers = "image1,image2,label\nz.jpg,x_E01_C6_1.jpg,1\nx_E01_C6_1.jpg,y_E02_C8_2.jpg,0\n"
    (tmp_path / "validate" / "validate_label.csv").write_text(answers)
    (tmp_path / "test" / "test_label.csv").write_text("image1,image2,label\np_E01_C3_1.jpg,q_E01_C11_2.jpg,\n")
    return tmp_path


def test_competition(competition):
    reader = Competition(str(competition))
    check_reader(reader)
    train = reader.faces("train")
    assert train.table["angle"].tolist() == ["C7", "C1", "C13", None]
    assert train.table["expression"].tolist() == ["E01", "E02", "E03", None]
    assert train.identities == ["1", "2"] and train.file_names[0] == "1_S001_L1_E01_C7_1.jpg"
    assert reader.pairs("validate").same.tolist() == [False, True]
    validate = reader.faces("validate")
    assert validate.file_names == [f"{name}.jpg" for name in ("x_E01_C6_1", "y_E02_C8_2", "z")]
    assert validate.table["angle"].tolist() == ["C6", "C8", None] and validate.identities == []
    assert not reader.pairs("test").answered.any()
    (competition / "test" / "test_label.csv").write_text("image1,image2\np_E01_C3_1.jpg,q_E01_C11_2.jpg\n")
    assert not reader.pairs("test").answered.any()


def test_competition_mirrors_turn_the_angle_around():
    assert MIRRORS["angle"].keys() == ANGLES.keys() - {"C7"}
    assert all(ANGLES[MIRRORS["angle"].get(camera, camera)] == -yaw for camera, yaw in ANGLES.items())


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (["1,1_S001_L1_E01_C5_9.jpg", "1,1_S001_L1_E04_C4_9.jpg"], "3 conditions in the names of 2 photographs .*C5 in .*C1, C2"),
        (["1,absent.jpg", "2,gone.jpg", "2,2_4.jpg"], "2 of 3 photographs are missing.*absent.jpg, gone.jpg"),
        (["1,../secret.jpg"], "1 file names lead out of the data root"),
        (["1,/etc/passwd"], "1 file names lead out of the data root"),
        (["1,2_4.jpg", "2,2_4.jpg"], "lists 1 photographs more than once"),
        ([" ,2_4.jpg"], "1 of 1 rows have an empty face_id"),
    ],
)
def test_competition_faults_are_named(competition, rows, message):
    for stem in ("1_S001_L1_E01_C5_9", "1_S001_L1_E04_C4_9"):
        photograph(competition / "train" / f"{stem}.jpg")
    photograph(competition / "secret.jpg")
    (competition / "train" / "train_meta.csv").write_text("\n".join(["face_id,file_name", *rows]))
    with pytest.raises(InputError, match=message):
        Competition(str(competition)).faces("train")


def test_competition_has_no_other_pairs(competition):
    with pytest.raises(InputError, match="no pairs for 'train'; it has pairs for: validate, test"):
        Competition(str(competition)).pairs("train")
    with pytest.raises(InputError, match="train_meta.csv.*cannot be read"):
        Competition(str(competition / "train")).faces("train")


# folder


@pytest.fixture
def people(tmp_path) -> Path:
    for person in ["김철수", "이영희", "a b", "d", "e", "f", "g", "h"]:
        for name in ["1.JPG", "둘.png", "3.tiff", "4.webp"]:
            photograph(tmp_path / person / name)
    for hidden in [".hidden/1.jpg", "d/.1.jpg"]:
        photograph(tmp_path / hidden)
    (tmp_path / "notes").mkdir()
    (tmp_path / "d" / "readme.txt").touch()
    return tmp_path


def test_folder(people):
    reader = Folder(str(people), pairs=10)
    assert [len(part) for part in check_reader(reader).values()] == [4, 2, 2]
    assert sum(len(reader.faces(split)) for split in SPLITS) == 32
    assert reader.faces("train").attributes == [] and reader.faces("train").boxes is None


def all_faces(reader) -> dict[str, dict]:
    rows = (row for split in SPLITS for row in reader.faces(split).table.to_dict("records"))
    return {row["file_name"]: row for row in rows}


def test_folder_attributes(people):
    rows = ["file_name,angle,glasses,top,left,right,bottom", "김철수/둘.png,C1,yes,1,0,7.5,8", "d/1.JPG,,no,,,,"]
    (people / "attributes.csv").write_text("\n".join(rows), encoding="utf-8-sig")
    faces = all_faces(Folder(str(people)))
    assert (faces["김철수/둘.png"]["angle"], faces["d/1.JPG"]["angle"], faces["d/1.JPG"]["glasses"]) == ("C1", None, "no")
    assert [faces["김철수/둘.png"][side] for side in ("left", "top", "right", "bottom")] == [0, 1, 7.5, 8]
    assert np.isnan(faces["d/1.JPG"]["left"]) and faces["e/1.JPG"]["glasses"] is None


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("file_name,angle\nd/1.JPG,C1\nd/9.jpg,C1\n", "1 of its 2 file names are not among the 32 photographs.*'d/9.jpg'"),
        ("file_name,face_id\nd/1.JPG,d\n", "has a column 'face_id'"),
        ("file_name,left,top\nd/1.JPG,1,2\n", "some of the face-box columns"),
        ("file_name,left,top,right,bottom\nd/1.JPG,1,2,x,4\n", "face box of 'd/1.JPG' is '1', '2', 'x', '4'"),
        ("file_name,left,top,right,bottom\nd/1.JPG,5,2,1,4\n", "left < right"),
        ("file_name,left,top,right,bottom\nd/1.JPG,5,2,,4\n", "left < right"),
        ("file_name,left,top,right,bottom\nd/1.JPG,0,0,inf,4\n", "left < right"),
        ("file_name,angle\nd/1.JPG,C1\nd/1.JPG,C2\n", "lists 1 photographs more than once"),
        ("angle\nC1\n", "lacks the column file_name"),
        ("file_name,left_eye_x,left_eye_y\nd/1.JPG,4,\n", "landmark left_eye of 'd/1.JPG' is '4', ''"),
        ("file_name,nose_x,nose_y\nd/1.JPG,4,nan\n", "should be two numbers of pixels or two empty cells"),
    ],
)
def test_folder_attribute_faults_are_named(people, content, message):
    (people / "attributes.csv").write_text(content)
    with pytest.raises(InputError, match=message):
        Folder(str(people))


def test_folder_faults_are_named(people, tmp_path_factory):
    with pytest.raises(InputError, match="has no photographs in its folders"):
        Folder(str(tmp_path_factory.mktemp("empty")))
    with pytest.raises(InputError, match="is not a folder"):
        Folder(str(people / "absent"))
    outside = photograph(tmp_path_factory.mktemp("elsewhere") / "x.jpg")
    (people / "d" / "leak.jpg").symlink_to(outside)
    with pytest.raises(InputError, match="1 file names lead out of the data root.*d/leak.jpg"):
        Folder(str(people))
    (people / "d" / "leak.jpg").unlink()
    (people / "d" / "dangling.jpg").symlink_to("absent.jpg")
    with pytest.raises(InputError, match="1 of 33 photographs in .* are dangling links, .*: d/dangling.jpg"):
        Folder(str(people))
    (people / "d" / "dangling.jpg").unlink()
    for link, target in {"gone": "absent", "attributes.csv": "absent.csv", "ring": "ring"}.items():
        (people / link).symlink_to(target)
    with pytest.raises(InputError, match=r"3 of 12 entries of .* are dangling links, .*: attributes.csv, gone, ring"):
        Folder(str(people))
    for link in ("gone", "attributes.csv", "ring"):
        (people / link).unlink()
    photograph(people / "lonely" / "1.jpg")
    with pytest.raises(InputError, match="1 of 9 people have only one photograph.*lonely"):
        Folder(str(people))


def test_a_file_name_in_another_encoding_is_named(people):
    try:
        photograph(people / "d" / b"\xb1\xe8.png".decode("utf-8", "surrogateescape"))
    except OSError:
        pytest.skip("this file system takes UTF-8 names only, so a CP949 name cannot be tried")
    with pytest.raises(InputError, match="1 file names are not UTF-8 text"):
        Folder(str(people))


def test_people_without_a_photograph_that_can_be_read_are_named(people, tmp_path_factory, capsys):
    for person in ("i", "j"):
        (people / person).mkdir()
        (people / person / "1.heic").touch()
    faces = all_faces(Folder(str(people)))
    assert {row["face_id"] for row in faces.values()}.isdisjoint({"i", "j"}) and len(faces) == 32
    told = capsys.readouterr().err
    assert "2 of 11 folders" in told and "i/1.heic, j/1.heic" in told and len(told.splitlines()) == 1
    alone = tmp_path_factory.mktemp("alone")
    (alone / "a").mkdir()
    (alone / "a" / "1.heic").touch()
    with pytest.raises(InputError, match=r"has no photographs in its folders; .*\.jpg.* and has a/1.heic"):
        Folder(str(alone))


@pytest.mark.parametrize("person", ["1:2", r"\x", "a:b\\c"])
def test_a_colon_or_a_backslash_in_a_name_is_a_letter(people, person):
    for name in ("1.jpg", r"\2.jpg"):
        photograph(people / person / name)
    assert {f"{person}/1.jpg", rf"{person}/\2.jpg"} <= set(all_faces(Folder(str(people))))


@pytest.mark.parametrize(
    "column", ["values", "keys", "items", "pop", "to", "train", "eval", "cpu", "forward", "type", "half", "index"]
)
def test_an_attribute_may_have_the_name_of_anything(people, column):
    """Names of attributes become names of columns and keys, never of modules or methods."""
    (people / "attributes.csv").write_text(f"file_name,{column}\nd/1.JPG,left\nd/3.tiff,right\n")
    reader = Folder(str(people))
    (faces,) = (reader.faces(split) for split in SPLITS if "d/1.JPG" in reader.faces(split).file_names)
    assert faces.attributes == [column] and faces.values(column) == ["left", "right"]
    target = attribute_target(faces, column, faces.values(column))
    assert sorted(target.plain)[-2:] == [0, 1] and (target.plain >= 0).sum() == 2
    assert (target.mirrored[target.plain >= 0] == 1 - target.plain[target.plain >= 0]).all()


def unreadable_name(folder: Path) -> Path:
    """A folder whose name another encoding than UTF-8 wrote."""
    try:
        (folder / b"\xb1\xe8".decode("utf-8", "surrogateescape")).mkdir(parents=True)
    except OSError:
        pytest.skip("this file system takes UTF-8 names only, so a CP949 name cannot be tried")
    return folder / b"\xb1\xe8".decode("utf-8", "surrogateescape")


@pytest.mark.parametrize("reader", ["folder", "cmu", "kface", "orl"])
def test_a_folder_name_in_another_encoding_is_named(tmp_path, reader):
    photograph(unreadable_name(tmp_path / "High" if reader == "kface" else tmp_path) / "1.jpg")
    with pytest.raises(InputError, match=r"1 file names are not UTF-8 text without NUL: '\\udcb1\\udce8'"):
        READERS.build(reader, root=str(tmp_path))


# CMU


@pytest.fixture
def cmu(tmp_path) -> Path:
    for user in "abcdefg":
        for stem in ["left_sad_open", "left_sad_open_2", "left_sad_open_4", "up_angry_sunglasses_4", "right_happy_open_2"]:
            photograph(tmp_path / "faces" / user / f"{user}_{stem}.pgm")
        (tmp_path / "faces" / user / f"{user}_straight_sad_open.bad").touch()
    return tmp_path


def test_cmu_takes_the_largest_photograph_of_each_condition(cmu):
    reader = CMU(str(cmu), pairs=10)
    check_reader(reader)
    faces = all_faces(reader)
    expected = ["a/a_left_sad_open.pgm", "a/a_right_happy_open_2.pgm", "a/a_up_angry_sunglasses_4.pgm"]
    assert sorted(faces)[:3] == expected and len(faces) == 21
    assert faces[expected[2]] == {
        "file_name": expected[2], "face_id": "a", "pose": "up", "expression": "angry", "eyes": "sunglasses"
    }  # fmt: skip
    assert CMU(str(cmu / "faces")).root == reader.root
    assert reader.faces("train").mirrors["pose"] == {"left": "right", "right": "left"}


@pytest.mark.parametrize(
    "stem", ["a_left_bored_open", "b_left_sad_open", "a_left_sad", "a_left_sad_open_3", "a", "a_left_sad_open_2_2"]
)
def test_cmu_faults_are_named(cmu, stem):
    photograph(cmu / "faces" / "a" / f"{stem}.pgm")
    with pytest.raises(InputError, match=f"1 of 36 photographs are not named .*neutral, happy, sad, angry.*a/{stem}.pgm"):
        CMU(str(cmu))


def test_cmu_on_the_real_photographs(shared_data):
    reader = CMU(str(shared_data / "cmu_faces"))
    people = check_reader(reader)
    assert sum(map(len, people.values())) == 14 and {len(people["validate"]), len(people["test"])} == {3}
    assert reader.faces("train").attributes == ["expression", "eyes", "pose"]
    assert len(all_faces(reader)) == 436  # 12 of the 14 x 32 photographs are absent


# ORL


def test_orl_brings_its_own_photographs():
    reader = ORL()
    people = check_reader(reader)
    assert [len(people[split]) for split in SPLITS] == [24, 8, 8]
    assert len(all_faces(reader)) == 400


def test_orl_takes_a_root(tmp_path):
    for person, image in np.ndindex(8, 3):
        photograph(tmp_path / f"s{person}" / f"{image}.pgm")
        photograph(tmp_path / f"s{person}" / "target.jpg")
    assert len(all_faces(ORL(str(tmp_path)))) == 24


def test_orl_names_the_package_that_is_missing(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(InputError, match="pip install -r requirements-orl.txt"):
        ORL()


# CFP


def write_cfp(root: Path) -> Path:
    """Three folds of two people with two frontal and two profile photographs each."""
    lists = {"F": [], "P": []}
    for person, (letter, kind), image in [
        (p, k, n) for p in range(6) for k in (("F", "frontal"), ("P", "profile")) for n in (1, 2)
    ]:
        path = photograph(root / "Data" / "Images" / f"{person:03d}" / kind / f"{image:02d}.jpg")
        lists[letter].append(f"{len(lists[letter]) + 1} ../{path.relative_to(root).as_posix()}")
        points = np.stack([np.linspace(1, 9, 30), np.linspace(0, 10, 30)], axis=1)  # from the ear, left, to the lip, right
        if image == 2:
            points[:, 0] = 10 - points[:, 0]
        target = root / "Data" / "Fiducials" / f"{person:03d}" / kind / f"{image:02d}.txt"
        target.parent.mkdir(parents=True, exist_ok=True)
        np.savetxt(target, points, delimiter=",")
    for letter, rows in lists.items():
        (root / "Protocol").mkdir(exist_ok=True)
        (root / "Protocol" / f"Pair_list_{letter}.txt").write_text("\n".join(rows))
    for fold in range(1, 4):
        folder = root / "Protocol" / "Split" / "FP" / f"{fold:02d}"
        folder.mkdir(parents=True)
        first = 4 * (fold - 1) + 1  # each person has two numbers in each list
        (folder / "same.txt").write_text(f"{first},{first}\n{first + 2},{first + 3}\n")
        (folder / "diff.txt").write_text(f"{first},{first + 2}\n{first + 3},{first + 1}\n")
    return root


def test_cfp(tmp_path):
    reader = CFP(str(write_cfp(tmp_path)), fold=3)
    assert check_reader(reader) == {"train": {"002", "003"}, "validate": {"000", "001"}, "test": {"004", "005"}}
    faces = all_faces(reader)
    angles = [faces[f"Data/Images/000/{name}.jpg"]["angle"] for name in ("frontal/01", "profile/01", "profile/02")]
    assert angles == ["frontal", "right", "left"]
    assert [faces["Data/Images/000/profile/01.jpg"][side] for side in ("left", "top", "right", "bottom")] == [-3, -3, 13, 13]


def test_cfp_hands_on_its_landmarks(tmp_path):
    write_cfp(tmp_path)
    fiducials = tmp_path / "Data" / "Fiducials"
    (fiducials / "004" / "profile" / "02.txt").unlink()
    faces = CFP(str(tmp_path), fold=3).faces("test")
    assert faces.points.shape == (8, 30, 2) and len(set(faces.landmarks)) == 30 and faces.attributes == ["angle"]
    assert (faces.mirrored_landmarks == np.arange(30)).all()
    for name, points in zip(faces.file_names, faces.points):
        path = fiducials.joinpath(*Path(name).parts[2:]).with_suffix(".txt")
        assert (points == np.loadtxt(path, delimiter=",")).all() if path.exists() else np.isnan(points).all()
    assert np.isnan(faces.of_files(["Data/Images/004/profile/02.jpg"]).boxes).all()
    photograph(unreadable_name(tmp_path / "Data" / "Images" / "004") / "1.jpg")
    with pytest.raises(InputError, match="1 file names are not UTF-8 text"):
        CFP(str(tmp_path), fold=3).faces("test")


def test_cfp_faults_are_named(tmp_path):
    write_cfp(tmp_path)
    with pytest.raises(InputError, match="no protocol 'PP'.*it has: FP"):
        CFP(str(tmp_path), protocol="PP")
    with pytest.raises(InputError, match="fold 9 cannot be tested.*1, 2, 3"):
        CFP(str(tmp_path), fold=9)
    (tmp_path / "Data" / "Images" / "004" / "profile" / "01.jpg").unlink()
    with pytest.raises(InputError, match="FP pairs of fold 3: 1 of 7 photographs are missing.*004/profile/01.jpg"):
        CFP(str(tmp_path), fold=3).pairs("test")
    listed = tmp_path / "Protocol" / "Pair_list_F.txt"
    text = listed.read_text()
    for wrong in ("1", "1 frontal.jpg", "1 ../../../etc/passwd"):
        listed.write_text(wrong + "\n" + text)
        with pytest.raises(InputError, match="Pair_list_F.txt' should have lines such as"):
            CFP(str(tmp_path)).faces("train")


def test_cfp_on_the_real_photographs(shared_data):
    reader = CFP(str(shared_data / "cfp-dataset"), fold=2)
    people = check_reader(reader)
    assert [len(people[split]) for split in SPLITS] == [350, 50, 50]
    assert reader.faces("test").values("angle") == ["frontal", "left", "right"]
    assert np.isfinite(reader.faces("test").boxes).all() and np.isfinite(reader.faces("test").points).all()
    for protocol, kind in [("FP", "profile"), ("FF", "frontal")]:
        test = CFP(str(shared_data / "cfp-dataset"), fold=2, protocol=protocol).pairs("test")
        assert len(test) == 700 and test.same.sum() == 350
        assert {Path(name).parent.name for name in test.table["second"]} == {kind}
