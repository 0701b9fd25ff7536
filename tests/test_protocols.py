"""The published lists of pairs, each in miniature: a few photographs and a list in the official form."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import scipy.io
import torch

import evaluate
from common.cli import DEFAULT_CONFIG, chosen_config, read_arguments
from common.config import experiment, make_config, read_config
from common.errors import InputError
from datasets import READERS
from datasets.readers.agedb30 import AgeDB30
from datasets.readers.agedb30_mat import read_splits
from datasets.readers.cross_lfw import CALFW, CPLFW
from datasets.readers.lfw import LFW
from datasets.readers.opening import open_reader
from datasets.readers.pair_lists import Listed, fold_by_fold
from datasets.readers.rfw import RACES, RFW
from models.embedder import build_embedder
from models.weights import save_weights
from tests.test_readers import photograph
from tests.tiny import draw_people

PUBLISHED = ("lfw", "cplfw", "calfw", "agedb30", "rfw")
NAMES = ("Ann_Lee", "Bo", "Cy")


def write(path: Path, lines: list[str], ends: str = "\n", mark: bool = False) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes("".join(line + ends for line in lines).encode("utf-8-sig" if mark else "utf-8"))
    return path


def rows(pairs) -> list[tuple[str, str, bool]]:
    return [(row["first"], row["second"], row["same"]) for row in pairs.table.to_dict("records")]


# LFW

LINES = ["2\t2", "Ann_Lee\t1\t2", "Bo\t1\t3", "Ann_Lee\t1\tBo\t1", "Bo\t2\tCy\t2", "Cy\t1\t2", "Cy\t2\t3"]
LINES += ["Ann_Lee\t3\tCy\t3", "Cy\t1\tBo\t3"]


@pytest.fixture
def lfw(tmp_path) -> Path:
    for name in NAMES:
        for number in range(1, 4):
            photograph(tmp_path / name / f"{name}_{number:04d}.jpg")
    write(tmp_path / "pairs.txt", LINES)
    return tmp_path


def test_lfw(lfw):
    reader = LFW(str(lfw))
    expected = []
    for fields in (line.split("\t") for line in LINES[1:]):
        first, second = (fields[0], fields[1]), (fields[-2] if len(fields) == 4 else fields[0], fields[-1])
        expected.append((*(f"{name}/{name}_000{number}.jpg" for name, number in (first, second)), len(fields) == 3))
    assert rows(reader.pairs("test")) == expected
    faces = reader.faces("test")
    assert faces.file_names == reader.pairs("test").file_names and faces.root == reader.root == lfw
    assert faces.identities == sorted(NAMES) and faces.attributes == []
    assert all(name.startswith(f"{person}/") for name, person in zip(faces.file_names, faces.table["face_id"], strict=True))


@pytest.mark.parametrize(("ends", "mark"), [("\r\n", False), ("\r\n\r\n", True), ("\n", True), (" \n", False)])
def test_line_ends_and_byte_order_marks_do_not_matter(lfw, ends, mark):
    before = rows(LFW(str(lfw)).pairs("test"))
    write(lfw / "other.txt", [line.replace("\t", "  ") for line in LINES], ends, mark)
    assert rows(LFW(str(lfw), "other.txt").pairs("test")) == before


def test_lfw_of_one_fold_as_in_view_1_and_a_list_beside_the_folder(lfw):
    write(lfw / "lists" / "pairsDevTrain.txt", ["2", *LINES[1:5]])
    assert rows(LFW(str(lfw), "lists/pairsDevTrain.txt").pairs("test")) == rows(LFW(str(lfw)).pairs("test"))[:4]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({1: "Ann_Lee\t1"}, r"pairs.txt' line 2 is 'Ann_Lee\\t1'; it should be 'name i j'"),
        ({3: "Ann_Lee\t1\tBo\tx"}, "line 4 is .*; it should be 'name i j'"),
        ({3: "Ann_Lee\t-1\tBo\t1"}, "line 4 is"),
        ({2: "../secret\t1\t2"}, "line 3 is"),
        ({2: "..\t1\t2"}, "line 3 is"),
        ({3: "Bo\t1\tBo\t2"}, "line 4 is .*; it should be a pair of two different people"),
        ({1: "Ann_Lee\t1\t9"}, "1 of 9 photographs are missing in .*Ann_Lee_0009.jpg"),
        ({0: "2\t3"}, r"has 8 pairs; by its first line, '2\\t3', it should have 12: 3 of the same person and 3 of"),
        ({0: "5"}, "has 8 pairs; by its first line, '5', it should have 10"),
        ({2: LINES[3], 3: LINES[2]}, "line 3 is a pair of different people, out of turn"),
        ({0: "Ann_Lee\t1\t2", 1: "Bo\t1\tAnn_Lee\t3"}, "."),
    ],
)
def test_lfw_faults_are_named(lfw, change, message):
    write(lfw / "pairs.txt", [change.get(number, line) for number, line in enumerate(LINES)])
    if message == ".":  # a list without a first line, as RFW has them, may have any order
        assert len(LFW(str(lfw)).pairs("test")) == 9
        return
    with pytest.raises(InputError, match=message):
        LFW(str(lfw))


def test_lists_that_are_none(lfw, tmp_path_factory):
    for content, message in {b"\xff\xfe": "is not UTF-8 text", b"\n \n": "is empty", b"2\t2\n": "has 0 pairs"}.items():
        (lfw / "pairs.txt").write_bytes(content)
        with pytest.raises(InputError, match=message):
            LFW(str(lfw))
    with pytest.raises(InputError, match=r"absent.txt' cannot be read: No such file"):
        LFW(str(lfw), "absent.txt")
    with pytest.raises(InputError, match="LFW's folder, with <name>/<name>_0001.jpg and pairs.txt in it"):
        LFW(str(lfw / "absent"))


def test_a_pair_listed_again(lfw, capsys):
    write(lfw / "pairs.txt", [*LINES[:6], "Bo\t3\t1", *LINES[7:]])
    assert len(LFW(str(lfw)).pairs("test")) == 8
    assert "pairs.txt' lists 1 pairs again, which count each time: line 7" in capsys.readouterr().err


@pytest.mark.parametrize("name", PUBLISHED)
def test_there_is_nothing_to_train_or_validate_on(name, request, tmp_path):
    reader = make(name, tmp_path)
    for split in ("train", "validate"):
        for ask in (reader.faces, reader.pairs):
            with pytest.raises(InputError, match=f"{reader.title} has test pairs only and nothing to {split} on; "):
                ask(split)
    assert set(reader.pairs("test").file_names) == set(reader.faces("test").file_names)
    assert all((reader.faces("test").root / file).is_file() for file in reader.faces("test").file_names)


def make(name: str, root: Path):
    """A miniature of the data set and its reader."""
    if name == "lfw":
        photograph(root / "Bo" / "Bo_0001.jpg")
        write(root / "pairs.txt", ["Bo 1 1"])
    elif name in ("cplfw", "calfw"):
        photograph(root / "aligned images" / "Bo_1.jpg")
        write(root / f"pairs_{name.upper()}.txt", ["Bo_1.jpg 1"] * 2)
    elif name == "agedb30":
        photograph(root / "agedb30_align_112" / "1_Bo_30_m.jpg")
        write(root / "agedb_30_pair.txt", ["1_Bo_30_m.jpg 1_Bo_30_m.jpg 1"])
    else:
        for race in RACES:
            photograph(root / "data" / race / "m.0" / "m.0_0001.jpg")
            write(root / "txts" / race / f"{race}_pairs.txt", ["m.0\t1\t1"])
    return READERS.build(name, root=str(root))


# CPLFW and CALFW


def cross(root: Path, images: str, lines: list[str], name: str = "pairs_CPLFW.txt") -> str:
    for line in lines:
        photograph(root / images / line.rpartition(" ")[0])
    write(root / name, lines)
    return str(root)


TWO_LINES = [f"{name}_{k}.jpg 1" for name in "abcd" for k in (1, 2)] + [
    f"{name}_{k}.jpg 0" for k, pair in enumerate(("ab", "cd", "ac", "bd")) for name in pair
]


@pytest.mark.parametrize("images", ["aligned images", "aligned_images", "images", "cut"])
def test_cplfw(tmp_path, images):
    root = cross(tmp_path, images, TWO_LINES)
    reader = CPLFW(root, images="cut" if images == "cut" else "")
    listed = list(zip(TWO_LINES[::2], TWO_LINES[1::2], strict=True))
    expected = {(first[:-2], second[:-2], first.endswith("1")) for first, second in listed}
    assert set(rows(reader.pairs("test"))) == expected and len(reader.pairs("test")) == 8
    assert reader.pairs("test").root == tmp_path / images and reader.root == tmp_path
    if images == "images":
        photograph(tmp_path / "aligned images" / "x.jpg")
        with pytest.raises(InputError, match="12 of 12 photographs are missing|are missing in"):
            CPLFW(root)  # the aligned ones come first
        assert set(rows(CPLFW(root, images="images").pairs("test"))) == expected


def test_calfw_labels_are_folds(tmp_path):
    lines = ["a_0001.jpg 1", "a_0002.jpg 1", "b_0001.jpg 10", "b_0002.jpg 10", "a_0001.jpg 0", "b_0001.jpg 0"]
    root = cross(tmp_path, "images&landmarks/images", lines, "pairs_CALFW.txt")
    pairs = rows(CALFW(root).pairs("test"))
    assert sorted(same for *_, same in pairs) == [False, True, True]
    assert ("b_0001.jpg", "b_0002.jpg", True) in pairs and ("a_0001.jpg", "b_0001.jpg", False) in pairs
    with pytest.raises(InputError, match="line 3 is 'b_0001.jpg 10'; it should be an image and a label .one of 0, 1"):
        CPLFW(root, pair_list="pairs_CALFW.txt")


@pytest.mark.parametrize("interleaved", [False, True])
def test_the_published_folds_are_made_of_the_published_order(interleaved):
    """3,000 pairs of the same person and 3,000 others become ten times 300 and 300, however they are listed."""
    same = [Listed(f"s{k}", f"t{k}", True, k) for k in range(3000)]
    others = [Listed(f"s{k}", f"u{k}", False, k) for k in range(3000)]
    expected = [pair for fold in range(10) for kind in (same, others) for pair in kind[300 * fold : 300 * fold + 300]]
    assert fold_by_fold(expected if interleaved else [*same, *others]) == expected


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["a.jpg 1", "b.jpg 0"], "line 2 has the label 0 and the line before it 1; the two lines of a pair should have the same"),
        (["a.jpg 1", "b.jpg 1", "c.jpg 0"], "has 3 lines; a pair is two lines"),
        (["a.jpg 2", "b.jpg 2"], "line 1 is 'a.jpg 2'; it should be an image and a label"),
        (["a.jpg", "b.jpg"], "line 1 is 'a.jpg'"),
        (["1", "1"], "line 1 is '1'"),
        (["../a.jpg 1", "../b.jpg 1"], "2 file names lead out of the data root"),
        (["a.jpg 1", "b.jpg 1", "b.jpg 0", "a.jpg 0"], "line 3 has the pair of line 1 again with the other answer: b.jpg, a.jpg"),
    ],
)
def test_faults_of_two_line_lists_are_named(tmp_path, lines, message):
    (tmp_path / "images").mkdir()
    write(tmp_path / "pairs_CPLFW.txt", lines)
    with pytest.raises(InputError, match=message):
        CPLFW(str(tmp_path))


def test_a_folder_of_photographs_that_is_not_there(tmp_path):
    write(tmp_path / "pairs_CPLFW.txt", ["a.jpg 1", "b.jpg 1"])
    with pytest.raises(InputError, match="has no 'aligned images', .*; name it with --data.reader.images=NAME"):
        CPLFW(str(tmp_path))
    with pytest.raises(InputError, match="has no 'cut'; name it with --data.reader.images=NAME"):
        CPLFW(str(tmp_path), images="cut")


# AgeDB-30

FOLDS = [
    [("1_Ann_20_f", "2_Ann_50_f", 1), ("1_Ann_20_f", "9_Bob_50_m", -1)],
    [("3_Zoë_40_f", "4_Zoë_70_f", 1), ("2_Ann_50_f", "9_Bob_50_m", -1)],
]
AGED = [(f"{first}.jpg", f"{second}.jpg", label == 1) for fold in FOLDS for first, second, label in fold]


def save_mat(path: Path, folds=FOLDS, compress: bool = True, **others) -> Path:
    """A file as MATLAB would write it, of the structure that FaceX-Zoo and InsightFace read."""
    splits = np.empty((len(folds), 1), dtype=object)
    for number, fold in enumerate(folds):
        pairs = np.empty((2, len(fold)), dtype=object)
        for place, (first, second, _) in enumerate(fold):
            pairs[0, place], pairs[1, place] = ({"path": name, "age": 30.0} for name in (first, second))
        splits[number, 0] = {"pairs": pairs, "labels": np.array([[float(label) for *_, label in fold]])}
    path.parent.mkdir(parents=True, exist_ok=True)
    scipy.io.savemat(path, {"other": np.arange(3), "splits": splits, **others}, do_compression=compress)
    return path


@pytest.mark.parametrize("compress", [False, True])
@pytest.mark.parametrize("name", ["AgeDB_FINAL_protocol/04_FINAL_protocol_30_years.mat", "04_FINAL_protocol_30_years.mat"])
def test_agedb30_as_published(tmp_path, name, compress):
    save_mat(tmp_path / name, compress=compress)
    for first, second, _ in AGED:
        photograph(tmp_path / "03_Protocol_Images" / first)
        photograph(tmp_path / "03_Protocol_Images" / second)
    assert rows(AgeDB30(str(tmp_path)).pairs("test")) == AGED


def test_agedb30_as_text(tmp_path):
    for first, second, _ in AGED:
        photograph(tmp_path / "agedb30_align_112" / first)
        photograph(tmp_path / "agedb30_align_112" / second)
    for different in ("0", "-1"):
        lines = [f"{first} {second} {1 if same else different}" for first, second, same in AGED]
        write(tmp_path / "agedb_30_pair.txt", lines, "\r\n", True)
        assert rows(AgeDB30(str(tmp_path)).pairs("test")) == AGED
    write(tmp_path / "mine.txt", ["1_Ann_20_f.jpg 2_Ann_50_f.jpg 3"])
    with pytest.raises(InputError, match="mine.txt' line 1 is .*; it should be two images and a label .one of 1, 0, -1"):
        AgeDB30(str(tmp_path), pair_list="mine.txt")
    (tmp_path / "agedb_30_pair.txt").unlink()
    with pytest.raises(InputError, match="has no 'AgeDB_FINAL_protocol/.*; name it with --data.reader.pair_list=NAME"):
        AgeDB30(str(tmp_path))


def nested(levels: int) -> np.ndarray:
    cell = np.array([["x"]])
    for _ in range(levels):
        outer = np.empty((1, 1), dtype=object)
        outer[0, 0] = cell
        cell = outer
    return cell


def test_a_mat_file_of_something_else(tmp_path):
    path = tmp_path / "x.mat"
    for splits in (np.arange(3), "text", nested(3), nested(40), {"a": 1}, np.empty((0, 0), dtype=object)):
        scipy.io.savemat(path, {"splits": splits})
        with pytest.raises(InputError, match="x.mat' is not the MATLAB file of AgeDB-30's pairs: |has no pairs"):
            read_splits(path)
    save_mat(path, [[("a", "b", 5)]])
    with pytest.raises(InputError, match="labels 1 or -1"):
        read_splits(path)
    for version in ("4", "5"):
        scipy.io.savemat(path, {"other": np.arange(3)}, format=version)
        with pytest.raises(InputError, match="no variable 'splits'|no MATLAB file of version 5"):
            read_splits(path)


def test_a_damaged_mat_file_is_one_sentence(tmp_path, monkeypatch):
    """Cut anywhere, or with any byte changed, it is read as the same kind of list or refused."""
    random = np.random.default_rng(0)
    for compress in (False, True):
        whole = save_mat(tmp_path / "x.mat", compress=compress).read_bytes()
        for _ in range(60):
            content = bytearray(whole)
            if random.random() < 0.3:
                del content[random.integers(len(content)) :]
            for _ in range(random.integers(1, 4)):
                if content:
                    content[random.integers(len(content))] = random.integers(256)
            (tmp_path / "y.mat").write_bytes(content)
            try:
                assert all(isinstance(pair.same, bool) for pair in read_splits(tmp_path / "y.mat"))
            except InputError as error:
                assert "y.mat" in str(error)
    monkeypatch.setattr("datasets.readers.agedb30_mat.MOST_BYTES", len(whole) + 10)  # a little that inflates to much
    save_mat(tmp_path / "x.mat", compress=True)
    with pytest.raises(InputError, match="inflated it has more than"):
        read_splits(tmp_path / "x.mat")
    monkeypatch.setattr("datasets.readers.agedb30_mat.MOST_BYTES", 100)
    with pytest.raises(InputError, match="has more than 100 bytes"):
        read_splits(tmp_path / "x.mat")


# RFW


@pytest.fixture
def rfw(tmp_path) -> Path:
    for race in RACES:
        for person in ("m.0a", "m.0b"):
            for number in (1, 2):
                photograph(tmp_path / "data" / race / f"{race[0]}{person}" / f"{race[0]}{person}_000{number}.jpg")
        name = race[0]
        write(tmp_path / "txts" / race / f"{race}_pairs.txt", [f"{name}m.0a\t1\t2", f"{name}m.0a\t2\t{name}m.0b\t1"])
    return tmp_path


def test_rfw(rfw):
    reader = RFW(str(rfw))
    assert rows(reader.pairs("test"))[:3] == [
        ("African/Am.0a/Am.0a_0001.jpg", "African/Am.0a/Am.0a_0002.jpg", True),
        ("African/Am.0a/Am.0a_0002.jpg", "African/Am.0b/Am.0b_0001.jpg", False),
        ("Asian/Am.0a/Am.0a_0001.jpg", "Asian/Am.0a/Am.0a_0002.jpg", True),
    ]
    faces = reader.faces("test")
    assert faces.attributes == ["race"] and faces.values("race") == list(RACES)
    assert all(name.startswith(race) for name, race in zip(faces.file_names, faces.table["race"], strict=True))
    one = RFW(str(rfw), race="Indian")
    assert rows(one.pairs("test")) == rows(reader.pairs("test"))[-2:] and one.faces("test").values("race") == ["Indian"]
    assert one.root == rfw and one.pairs("test").root == rfw / "data"
    with pytest.raises(InputError, match="option race is 'Martian'"):
        READERS.build({"name": "rfw", "race": "Martian"}, root=str(rfw))
    (rfw / "txts" / "Asian" / "Asian_pairs.txt").unlink()
    with pytest.raises(InputError, match="Asian_pairs.txt' cannot be read"):
        RFW(str(rfw))


# as a user does it


def weights(folder: Path) -> Path:
    """A weight file of untrained weights, said to be trained on another data set and calibrated."""
    torch.manual_seed(0)
    model = {"backbone": "small", "embedding_size": 16, "image_size": 32}
    config = make_config({"model": model, "threads": 1, "data": {"reader": "cmu", "root": "/absent"}})
    about = {"config": experiment(config), "validation": {"thresholds": {"plain": 0.5, "flip": 0.5}}}
    return save_weights(folder / "w.pt", "embedder", build_embedder(config.model).state_dict(), about)


def evaluated(*options: str):
    arguments = read_arguments("test", evaluate.SHORT, list(options))
    config = evaluate.evaluation_config(arguments.configs, arguments.overrides)
    evaluation = evaluate.Evaluation(config, torch.device("cpu"))
    scores = evaluation.score(evaluation.embed())
    return evaluation, scores, evaluation.measure(scores)


@pytest.mark.parametrize("rule", ["calibrated", "facex", "insightface"])
def test_evaluate_on_lfw(tmp_path, rule, capsys):
    people = draw_people(tmp_path / "drawn", people=3, photographs=3, suffix="jpg")
    for name, folder in zip(NAMES, sorted(people.iterdir()), strict=True):
        for number, path in enumerate(sorted(folder.iterdir()), start=1):
            (tmp_path / "lfw" / name).mkdir(parents=True, exist_ok=True)
            path.rename(tmp_path / "lfw" / name / f"{name}_{number:04d}.jpg")
    write(tmp_path / "lfw" / "pairs.txt", LINES)
    options = [f"--model_weight={weights(tmp_path)}", f"--results={tmp_path}", "--evaluate.folds=2"]
    evaluation, scores, figures = evaluated(
        *options, "--data.reader", "lfw", "--data.root", str(tmp_path / "lfw"), f"--evaluate.fold_rule={rule}"
    )
    assert figures["pairs"] == 8 and figures["threshold"] == 0.5 and figures["k_fold"]["rule"] == rule
    assert figures["accuracy"] == np.mean((scores >= 0.5) == evaluation.pairs.same)
    evaluate.print_figures(figures)
    told = capsys.readouterr().out
    spread = "standard deviation" if rule == "insightface" else "standard error"
    assert f"({spread}{'' if rule == 'calibrated' else f', rule {rule}'})" in told


def test_training_on_test_pairs_is_one_sentence(lfw):
    """There is no configs/lfw.yaml, so that the default settings count, and training asks for the photographs first."""
    config = chosen_config(read_arguments("test", {}, ["--data.reader=lfw", f"--data.root={lfw}"]))
    assert config.data.reader == {"name": "lfw"} and config.train == read_config([DEFAULT_CONFIG]).train
    with pytest.raises(InputError, match="LFW has test pairs only and nothing to train on"):
        open_reader(config.data).faces("train")
    with pytest.raises(InputError, match="reader 'lfw' needs the data set's folder: pass --data.root DIR"):
        open_reader(dataclasses.replace(config.data, root=""))
