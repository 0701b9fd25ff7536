"""Finding faces: what a detector sees, and the way back from there into the photograph, with a detector that finds bright
rectangles; the published one is tried where it is installed."""

import csv
import io
import os
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from common.config import make_config
from common.errors import InputError
from common.files import locked
from datasets.detect import __main__ as command
from datasets.detect import detector as detecting
from datasets.detect.detector import PACKAGE, YuNet, packaged_file
from datasets.detect.find import LANDMARKS, Face, find_faces
from datasets.detect.journal import Found
from datasets.detect.search import photographs_below, search, summary
from datasets.detect.sheet import CELL, GAP, MARGIN, OTHER, USED, make_sheet
from datasets.detect.tables import boxes_csv
from datasets.photographs.cutting import square
from datasets.photographs.decoding import read_photograph
from datasets.photographs.photographs import Photographs, decode_all
from datasets.readers.boxes import read_boxes_csv
from datasets.readers.opening import open_reader
from datasets.readers.pairs_csv import read_pairs_csv
from tests.tiny import draw_people

PLACES = np.array([[0.3, 0.4], [0.7, 0.4], [0.5, 0.6], [0.35, 0.8], [0.65, 0.8]])  # of the landmarks in a face, x, y
Box = tuple[int, int, int, int]


class Rectangles:
    """Finds bright rectangles in dark pictures; the score is the brightness. `seen` are the shapes of what it was shown."""

    name = "rectangles"

    def __init__(self, least_side: int = 0):
        self.least_side, self.seen = least_side, []

    def detect(self, picture: np.ndarray) -> np.ndarray:
        assert picture.dtype == np.uint8 and picture.shape[2] == 3
        self.seen.append(picture.shape[:2])
        if max(picture.shape) < self.least_side:
            return np.zeros((0, 15), np.float32)
        grey = picture.max(axis=2)
        count, _, stats, _ = cv2.connectedComponentsWithStats((grey > 45).astype(np.uint8))
        rows = []
        for left, top, width, height, _ in stats[1:count]:
            points = PLACES * (width, height) + (left - 0.5, top - 0.5)  # the middle of the first pixel is 0, 0
            score = grey[top : top + height, left : left + width].max() / 255
            rows.append([left, top, width, height, *points.flatten(), score])
        return np.array(rows, np.float32).reshape(-1, 15)


def drawn(size: tuple[int, int], *boxes: Box, brightness: tuple[int, ...] = (240, 240, 240)) -> np.ndarray:
    """Dark, of `size` = height, width, with bright rectangles left, top, right, bottom."""
    photograph = np.full((*size, 3), 10, np.uint8)
    for (left, top, right, bottom), value in zip(boxes, brightness):
        photograph[top:bottom, left:right] = value
    return photograph


def encoded(photograph: np.ndarray, kind: str = "PNG", **options) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(photograph).save(buffer, kind, **options)
    return buffer.getvalue()


def padded(box: Box) -> np.ndarray:
    left, top, right, bottom = box
    across, down = (right - left) / 4, (bottom - top) / 4
    return np.array([left - across, top - down, right + across, bottom + down])


# one photograph


@settings(max_examples=20, deadline=None)
@given(
    size=st.tuples(st.integers(12, 700), st.integers(12, 700)),
    shares=st.tuples(*[st.floats(0, 0.4)] * 2, *[st.floats(0.6, 1)] * 2),
    side=st.sampled_from([128, 320, 500]),
)
def test_a_face_is_found_where_it_is(size, shares, side):
    box = tuple(round(share * edge) for share, edge in zip(shares, (size[1], size[0]) * 2))
    (face,) = find_faces(encoded(drawn(size, box)), Rectangles(), side=side)
    pixel = max(size) * 1.5 / side  # of what the detector sees, in those of the photograph
    assert np.abs(np.array(face.box) - padded(box)).max() <= 2.5 * pixel + 0.5  # edges of a tiny one are blurred
    points = PLACES * (box[2] - box[0], box[3] - box[1]) + (box[0] - 0.5, box[1] - 0.5)
    assert np.abs(np.array(face.points) - points).max() <= 2 * pixel + 0.5


@pytest.mark.parametrize("orientation", range(1, 9))
def test_boxes_are_of_the_upright_photograph_at_full_size(orientation):
    """Even where a large JPEG was decoded at a part of its size."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    content = encoded(drawn((1600, 2400), (400, 300, 1200, 700)), "JPEG", exif=exif)
    upright = read_photograph(content)
    rows, columns = np.nonzero(upright[..., 0] > 128)
    box = (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
    (face,) = find_faces(content, Rectangles())
    assert np.abs(np.array(face.box) - padded(box)).max() < 25


def test_the_box_is_padded_by_a_quarter_and_may_reach_beyond():
    (face,) = find_faces(encoded(drawn((320, 320), (0, 0, 160, 240))), Rectangles())
    assert np.abs(np.array(face.box) - (-40, -60, 200, 300)).max() < 3 and face.score == pytest.approx(240 / 255, abs=0.01)


def test_the_largest_face_comes_first_and_weak_ones_do_not_come():
    boxes = (5, 5, 35, 35), (50, 50, 130, 110), (10, 120, 50, 150)
    content = encoded(drawn((160, 160), *boxes, brightness=(250, 200, 100)))
    found = find_faces(content, Rectangles(), score=0.7)
    assert [round(face.score * 255) for face in found] == [200, 250]
    assert [round(face.score * 255) for face in find_faces(content, Rectangles(), score=0.3)] == [200, 100, 250]
    assert [round(face.score * 255) for face in find_faces(content, Rectangles(), score=0.9)] == [250]


def test_what_is_no_face_at_first_is_looked_at_larger_and_without_a_border():
    content = encoded(drawn((300, 200), (20, 20, 120, 120)))
    one, two, none = Rectangles(), Rectangles(least_side=400), Rectangles(least_side=9999)
    assert len(find_faces(content, one)) == len(find_faces(content, two)) == 1
    assert one.seen == [(319, 248)]  # 213 x 142 with 53 all around
    assert two.seen == [(319, 248), (640, 427)]
    assert find_faces(content, none) == [] and none.seen == [(319, 248), (640, 427), (240, 160)]


@pytest.mark.parametrize("size", [(1, 1), (1, 4000), (3000, 2)])
def test_odd_sizes_are_looked_at(size):
    assert find_faces(encoded(drawn(size)), Rectangles()) == []


def test_what_the_detector_should_not_have_found_is_left_out():
    class Wild(Rectangles):
        def detect(self, picture):
            return np.array([[5, 5, 0, 9, *[1] * 10, 0.9], [5, 5, 9, np.nan, *[1] * 10, 0.9], [1, 2, 3, 4, *[1] * 10, 0.8]])

    assert [face.score for face in find_faces(encoded(drawn((30, 30))), Wild())] == [0.8]


@pytest.mark.parametrize("content", [b"", b"not a photograph", encoded(drawn((50, 50)))[:60]])
def test_a_broken_photograph_is_told(content):
    with pytest.raises(ValueError):
        find_faces(content, Rectangles())


# a folder


@pytest.fixture
def folder(tmp_path) -> Path:
    """Photographs with one face, none and two, a broken one and an empty one, and what is no photograph."""
    root = tmp_path / "photographs"
    for name, boxes in {
        "anna/1.png": [(10, 10, 50, 60)],
        "anna/2.jpg": [],
        'bert, "b"\n줄/휴가.PNG': [(10, 10, 30, 30), (40, 40, 90, 90)],
        "top.png": [(5, 5, 60, 60)],
    }.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(drawn((100, 100), *boxes)).save(root / name)
    (root / "anna" / "broken.png").write_bytes((root / "top.png").read_bytes()[:80])
    (root / "empty.jpg").touch()
    (root / "notes.txt").write_text("no photograph")
    for hidden in (root / ".hidden", root / "anna" / ".h"):
        hidden.mkdir()
        Image.fromarray(drawn((9, 9))).save(hidden / "x.png")
    Image.fromarray(drawn((9, 9))).save(root / ".x.png")
    return root


NAMES = ["anna/1.png", "anna/2.jpg", "anna/broken.png", 'bert, "b"\n줄/휴가.PNG', "empty.jpg", "top.png"]


def test_a_folder_becomes_a_list_that_readers_take(folder, tmp_path):
    out = tmp_path / "out" / "faces.csv"
    found = search(folder, out, Rectangles, every=True)
    assert [photograph.file_name for photograph in found] == NAMES
    assert [len(photograph.faces) for photograph in found] == [1, 0, 0, 2, 0, 1]
    assert sorted(path.name for path in out.parent.iterdir()) == ["faces-all.csv", "faces-check.csv", "faces.csv"]
    listed = read_boxes_csv(out, folder)
    assert listed.file_names == [NAMES[0], NAMES[3], NAMES[5]] and listed.landmarks == LANDMARKS
    assert listed.mirrored_landmarks.tolist() == [1, 0, 2, 4, 3]
    for box, points, photograph in zip(listed.boxes, listed.points, (found[0], found[3], found[5])):
        assert tuple(box) == photograph.faces[0].box and tuple(map(tuple, points)) == photograph.faces[0].points
    assert np.abs(listed.boxes[1] - padded((40, 40, 90, 90))).max() < 2  # the larger of two
    plain = list(csv.DictReader(out.open(encoding="utf-8", newline="")))
    assert [row["file_name"] for row in plain] == [NAMES[0], NAMES[1], NAMES[3], NAMES[5]]
    assert set(list(plain[1].values())[1:]) == {""}  # no face: unknown
    check = pd.read_csv(out.parent / "faces-check.csv", keep_default_na=False, dtype=str)
    assert check["file_name"].tolist() == NAMES[1:5] and check["faces"].tolist() == ["0", "", "2", ""]
    assert check["remark"].tolist()[0] == "no face" and check["remark"][1].startswith("cannot be read: ")
    every = pd.read_csv(out.parent / "faces-all.csv")
    assert every["file_name"].tolist() == [NAMES[0], NAMES[3], NAMES[3], NAMES[5]] and every["face"].tolist() == [1, 1, 2, 1]
    told = summary(found)
    assert told[0] == "6 photographs: 2 with one face" and "1 without a face: anna/2.jpg" in told
    assert any(line.startswith("2 unreadable: anna/broken.png (") for line in told) and len(told) == 4


@settings(max_examples=20, deadline=None)
@given(name=st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1), edges=st.integers(-999, 999))
def test_any_name_survives_the_csv(tmp_path_factory, name, edges):
    box = (edges - 0.25, edges + 0.5, edges + 100_000.75, edges + 1)
    path = tmp_path_factory.mktemp("csv") / "faces.csv"
    path.write_bytes(boxes_csv([Found(name, "", [Face(box, ((1.5, -2.25),) * 5, 0.9)])]).encode())
    listed = read_boxes_csv(path, path.parent)
    assert listed.file_names == [name] and tuple(listed.boxes[0]) == box and listed.points[0].tolist() == [[1.5, -2.25]] * 5


class Stopping(Rectangles):
    """Is stopped with Ctrl-C at the photograph of this number."""

    def __init__(self, at: int):
        super().__init__()
        self.at = at

    def detect(self, picture: np.ndarray) -> np.ndarray:
        if len(self.seen) == self.at:
            raise KeyboardInterrupt
        return super().detect(picture)


def one_face_each(root: Path, count: int = 6) -> Path:
    root.mkdir()
    for number in range(count):
        Image.fromarray(drawn((60, 60), (10, 10, 30 + number, 40))).save(root / f"{number}.png")
    return root


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture
def stopped(tmp_path, monkeypatch) -> tuple[Path, Path, dict[str, bytes]]:
    """Six photographs, a search of them that was stopped at the fourth, and the files of one that was not."""
    root = one_face_each(tmp_path / "root")
    search(root, tmp_path / "whole" / "faces.csv", Rectangles)
    monkeypatch.setattr("os.cpu_count", lambda: 1)  # photographs in order
    with pytest.raises(KeyboardInterrupt):
        search(root, tmp_path / "out" / "faces.csv", lambda: Stopping(3))
    assert [path.name for path in (tmp_path / "out").iterdir()] == [".faces.csv.partial"]
    return root, tmp_path / "out" / "faces.csv", contents(tmp_path / "whole")


def seen_by(root: Path, out: Path, **options) -> int:
    """How many photographs the search looks at."""
    finder = Rectangles()
    search(root, out, lambda: finder, **options)
    return len(finder.seen)


def test_a_stopped_search_goes_on(stopped):
    root, out, whole = stopped
    assert seen_by(root, out) == 3 and contents(out.parent) == whole


def test_what_was_half_written_is_done_anew(stopped):
    root, out, whole = stopped
    journal = out.with_name(".faces.csv.partial")
    journal.write_bytes(journal.read_bytes()[:-9])
    assert seen_by(root, out) == 4 and contents(out.parent) == whole


def test_what_a_crash_left_in_the_journal_is_passed_over(stopped):
    root, out, whole = stopped
    with out.with_name(".faces.csv.partial").open("ab") as file:
        file.write(b'\0\0\0\n["4.png"]\n["5.png", "", 3, ""]\n\xff\n[["4.png"], "s", [[1, 2, 3]], ""]\n[[], "", [], ""]\n')
    assert seen_by(root, out) == 3 and contents(out.parent) == whole


def test_a_photograph_that_changed_meanwhile_is_looked_at_again(stopped):
    root, out, whole = stopped
    Image.fromarray(drawn((60, 60), (0, 0, 59, 59))).save(root / "1.png")
    assert seen_by(root, out) == 4
    assert contents(out.parent)["faces.csv"] != whole["faces.csv"]


def test_other_settings_begin_anew(stopped):
    root, out, whole = stopped
    assert seen_by(root, out, score=0.6) == 6 and contents(out.parent) == whole


def test_a_photograph_that_could_not_be_read_is_tried_again(tmp_path, monkeypatch):
    root = one_face_each(tmp_path / "root", 4)
    good = (root / "0.png").read_bytes()
    (root / "0.png").write_bytes(b"")
    monkeypatch.setattr("os.cpu_count", lambda: 1)
    with pytest.raises(KeyboardInterrupt):
        search(root, tmp_path / "faces.csv", lambda: Stopping(2))
    before = os.stat(root / "1.png")
    (root / "0.png").write_bytes(good)
    assert seen_by(root, tmp_path / "faces.csv") == 2 and os.stat(root / "1.png") == before


# what is refused, before long work


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"score": 0.2}, "score is 0.2; it should be at least 0.3"),
        ({"score": float("nan")}, "score is nan"),
        ({"side": 9}, "side is 9; it should be 64 to 2048"),
        ({"out": "faces.txt"}, "faces.txt' should end in .csv"),
        ({"sheet": "sheet.gif"}, "sheet.gif' should end in one of .jpg"),
        ({"sheet": "photographs/sheet.jpg"}, "would be one more photograph of"),
        ({"root": "absent"}, "absent' is not a folder"),
        ({"out": "there.csv"}, "there.csv' is there already"),
        ({"root": "empty"}, "empty' has no photographs in it or below it"),
    ],
)
def test_what_cannot_be_meant_is_refused(folder, tmp_path, options, message):
    (tmp_path / "there.csv").write_text("mine")
    (tmp_path / "empty").mkdir()
    paths = {name: tmp_path / value for name, value in options.items() if name in ("root", "out", "sheet")}
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(InputError, match=message):
        search(**{"root": folder, "out": tmp_path / "new" / "f.csv", "detector": pytest.fail, **options, **paths})
    assert sorted(tmp_path.rglob("*")) == before and (tmp_path / "there.csv").read_text() == "mine"


def test_nothing_that_can_be_read_is_told(tmp_path):
    (tmp_path / "a.png").write_bytes(b"no")
    with pytest.raises(InputError, match=r"none of the 1 photographs in .* can be read: a.png \("):
        search(tmp_path, tmp_path / "faces.csv", Rectangles)
    assert not (tmp_path / "faces.csv").exists()


def test_two_searches_do_not_write_one_file(folder, tmp_path):
    with locked(tmp_path / ".faces.csv.partial"), pytest.raises(InputError, match="another process is writing"):
        search(folder, tmp_path / "faces.csv", Rectangles)


def test_names_never_leave_the_folder(folder, tmp_path, capsys):
    Image.fromarray(drawn((9, 9))).save(tmp_path / "outside.png")
    (folder / "loop").symlink_to(folder)
    assert photographs_below(folder) == NAMES
    assert "1 linked folders" in capsys.readouterr().err
    (folder / "out.png").symlink_to(tmp_path / "outside.png")
    with pytest.raises(InputError, match="1 file names lead out of the data root .*: out.png"):
        photographs_below(folder)
    (folder / "out.png").unlink()
    (folder / "in.png").symlink_to(folder / "top.png")
    assert "in.png" in photographs_below(folder)


# the contact sheet and the command


def test_the_sheet_shows_the_faces(tmp_path):
    boxes = (0, 0, 48, 48), (64, 64, 80, 80)
    Image.fromarray(drawn((96, 96), *boxes)).save(tmp_path / "a.png")  # as large as a cell without its margin
    Image.fromarray(drawn((30, 30))).save(tmp_path / "b.png")
    faces = [Face(tuple(map(float, box)), ((20.0, 30.0),) * 5, 0.9) for box in boxes]
    found = [Found("a.png", "", faces), Found("b.png", "", []), Found("c.png", "", [], "broken")]
    sheet = np.asarray(Image.open(io.BytesIO(make_sheet(tmp_path, found, ".png"))))
    assert CELL - 2 * MARGIN == 96
    left, top = GAP + CELL + GAP + MARGIN, GAP + MARGIN  # b, without a face, comes first
    assert tuple(sheet[top, left]) == tuple(sheet[top + 48, left + 20]) == USED
    assert tuple(sheet[top + 64, left + 70]) == tuple(sheet[top + 80, left + 70]) == OTHER
    assert sheet[top + 30, left + 20, 0] == 255 and sheet[top + 30, left + 20, 1] < 100  # a landmark
    assert sheet.shape[1] == GAP + 2 * (CELL + GAP)


def test_the_command_tells_what_it_did(folder, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(command, "YuNet", lambda path: Rectangles())
    command.main(["--root", str(folder), "--all", "--sheet", str(tmp_path / "sheet.jpg")])
    told = capsys.readouterr().out
    assert "detector: rectangles" in told and "6 photographs: 2 with one face" in told
    assert f"--data.boxes={folder / 'faces.csv'}" in told and Image.open(tmp_path / "sheet.jpg").size[0] > CELL
    assert len(read_boxes_csv(folder / "faces.csv", folder)) == 3


# one cut in training and in use


def test_a_face_is_cut_alike_in_training_and_evaluation(tmp_path):
    root = draw_people(tmp_path / "people", people=6, photographs=2, side=64)
    for number, path in enumerate(sorted(root.rglob("*.png"))):
        photograph = np.asarray(Image.open(path)) // 6  # dark
        photograph[10 : 40 + number, 20 - number : 50] += 180
        Image.fromarray(photograph).save(path)
    table = tmp_path / "faces.csv"
    found = {photograph.file_name: photograph for photograph in search(root, table, Rectangles)}
    data = {"reader": {"name": "folder", "pairs": 4}, "root": str(root), "boxes": str(table)}
    reader = open_reader(make_config({"data": data}).data)
    cut = {}
    for split in ("train", "validate", "test"):
        photographs = Photographs(reader.faces(split), 32, "training")
        cut |= dict(zip(photographs.file_names, photographs.pixels))
    assert set(cut) == set(found) and len(cut) == 12
    names = sorted(cut)
    (tmp_path / "pairs.csv").write_text("image1,image2\n" + "".join(f"{a},{b}\n" for a, b in zip(names[::2], names[1::2])))
    known = read_pairs_csv(tmp_path / "pairs.csv", root, str(table))[1]
    assert sorted(known.file_names) == names
    for name, (pixels, _) in zip(known.file_names, decode_all(known, 32, "evaluation")):
        direct = square(read_photograph((root / name).read_bytes()), 32, found[name].faces[0].box)
        assert np.array_equal(pixels, cut[name]) and np.array_equal(pixels, direct)
        assert not np.array_equal(pixels, square(read_photograph((root / name).read_bytes()), 32))


# the published detector


def packaged(folder: Path, monkeypatch, content: bytes | None) -> None:
    """An installed package of the detector's name, which nobody may import, with a file of its own."""
    (folder / PACKAGE).mkdir(parents=True)
    (folder / PACKAGE / "__init__.py").write_text("raise SystemError('imported')")
    if content is not None:
        (folder / PACKAGE / detecting.FILE).write_bytes(content)
    monkeypatch.setattr(sys, "path", [str(folder), *sys.path])


def test_the_detector_is_found_and_nothing_of_its_package_imported(tmp_path, monkeypatch):
    packaged(tmp_path, monkeypatch, b"another")
    assert packaged_file() == tmp_path / PACKAGE / detecting.FILE and PACKAGE not in sys.modules
    with pytest.raises(InputError, match="is not the file of March 2023 .*'make detector'"):
        YuNet()


def test_a_detector_that_is_absent_or_none_is_told(tmp_path, monkeypatch, capfd):
    packaged(tmp_path / "site", monkeypatch, None)
    with pytest.raises(InputError, match="cannot be read .*'make detector' installs"):
        YuNet()
    with pytest.raises(InputError, match="absent.onnx' cannot be read"):
        YuNet(tmp_path / "absent.onnx")
    for content in (b"", b"no network at all" * 9):
        (tmp_path / "x.onnx").write_bytes(content)
        with pytest.raises(InputError, match="x.onnx' is no detector that cv2.FaceDetectorYN can use"):
            YuNet(tmp_path / "x.onnx")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(InputError, match="not installed: 'make detector' installs"):
        YuNet()
    assert capfd.readouterr().err == ""


def test_a_network_of_another_kind_is_told(tmp_path):
    onnx = pytest.importorskip("onnx", reason="NO ONNX: no network of another kind was made")
    shape = ("N", 3, "H", "W")
    ends = [onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape) for name in ("input", "output")]
    graph = onnx.helper.make_graph([onnx.helper.make_node("Relu", ["input"], ["output"])], "relu", ends[:1], ends[1:])
    (tmp_path / "relu.onnx").write_bytes(
        onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 13)]).SerializeToString()
    )
    with pytest.raises(InputError, match="relu.onnx' is no detector"):
        YuNet(tmp_path / "relu.onnx")


@pytest.fixture(scope="module")
def yunet() -> YuNet:
    try:
        return YuNet()
    except InputError as absent:
        pytest.skip(f"NO DETECTOR: {absent}")


@pytest.fixture(scope="module")
def synthetic() -> list[bytes]:
    """Synthetic people seen from in front."""
    faces = open_reader(make_config({"data": {"reader": "twin"}}).data).faces("test")
    rows = faces.where((faces.table["angle"] == "C7").to_numpy()).file_names[:8]
    return [(faces.root / name).read_bytes() for name in rows]


def test_the_published_detector_finds_synthetic_people(yunet, synthetic):
    for content in synthetic:
        (face,) = find_faces(content, yunet)
        right_eye, left_eye, nose, mouth_right, mouth_left = face.points
        assert right_eye[0] < nose[0] < left_eye[0] and mouth_right[0] < mouth_left[0]  # its right is the picture's left
        assert max(right_eye[1], left_eye[1]) < nose[1] < min(mouth_right[1], mouth_left[1])
        left, top, right, bottom = face.box
        assert all(left < x < right and top < y < bottom for x, y in face.points)


def test_threads_share_the_published_detector(yunet, synthetic):
    alone = [find_faces(content, yunet) for content in synthetic]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(lambda content: find_faces(content, yunet), synthetic * 2)) == alone * 2


def test_a_copy_of_the_published_detector_is_known_and_another_file_named(yunet, tmp_path):
    content = packaged_file().read_bytes()
    (tmp_path / "copy.onnx").write_bytes(content)
    assert YuNet(tmp_path / "copy.onnx").name == yunet.name == "YuNet of March 2023"
    (tmp_path / "other.onnx").write_bytes(content + b"\x32\x00")  # an empty doc_string
    assert "other.onnx', a file unknown here (SHA-256 " in YuNet(tmp_path / "other.onnx").name
