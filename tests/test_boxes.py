"""Face boxes and landmarks: from lists into the manifest, and with the face into the square that is cut out."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from common.config import make_config
from common.errors import InputError
from datasets.cut import cut_difference, cut_of
from datasets.manifest import BOX, Face, Manifest, digest
from datasets.photographs import photographs as images
from datasets.photographs.cache import Cache
from datasets.photographs.cutting import square, square_points
from datasets.photographs.decoding import read_photograph, upright_size
from datasets.photographs.originals import Originals
from datasets.photographs.photographs import Photographs
from datasets.readers.opening import open_reader
from datasets.readers.pairs_csv import read_pairs_csv
from tests.tiny import draw_people

HEIGHT, WIDTH = 60, 80
DOT = 9  # pixels


def dotted(x: int, y: int, size: tuple[int, int] = (HEIGHT, WIDTH)) -> np.ndarray:
    """Black, with a white square of 9 pixels around x, y."""
    photograph = np.zeros((*size, 3), dtype=np.uint8)
    photograph[y - DOT // 2 : y + DOT // 2 + 1, x - DOT // 2 : x + DOT // 2 + 1] = 255
    return photograph


def centre(image: np.ndarray) -> np.ndarray:
    """The centre of brightness, as x, y, where 0, 0 is the middle of the first pixel."""
    weights = image[..., 0].astype(np.float64)
    y, x = np.indices(weights.shape)
    return np.array([(x * weights).sum(), (y * weights).sum()]) / weights.sum()


# the manifest


def manifest(root: Path, count: int = 5) -> Manifest:
    faces = Manifest.of([Face(f"{number}.png", f"p{number % 2}", {"angle": "C1"}) for number in range(count)], root)
    points = np.arange(count * 6, dtype=np.float64).reshape(count, 3, 2)
    points[1, 2] = np.nan
    return replace(faces, points=points, landmarks=("left_eye", "right_eye", "nose"))


def test_points_stay_with_their_faces(tmp_path):
    faces = manifest(tmp_path)
    rows = dict(zip(faces.file_names, faces.points))
    for part in (faces.where(np.array([1, 0, 1, 0, 1], bool)), faces.of_identities(["p1"]), faces.where(np.zeros(5, bool))):
        assert part.landmarks == faces.landmarks and part.points.shape == (len(part), 3, 2)
        assert all(np.array_equal(points, rows[name], equal_nan=True) for name, points in zip(part.file_names, part.points))
    listed = faces.of_files(["4.png", "absent.png", "1.png", "4.png"])
    for points, name in zip(listed.points, ["4.png", None, "1.png", "4.png"]):
        assert np.array_equal(points, rows.get(name, np.full((3, 2), np.nan)), equal_nan=True)
    assert np.isnan(faces.where(np.zeros(5, bool)).of_files(["4.png"]).points).all()
    twice = replace(faces, table=faces.table.assign(file_name=["0.png", "1.png", "0.png", "2.png", "3.png"]))
    assert np.array_equal(twice.of_files(["2.png", "0.png"]).points, faces.points[[3, 0]])
    with pytest.raises(ValueError, match="5 faces with 3 landmarks"):
        replace(faces, points=faces.points[:4])


def test_points_are_no_attributes_and_change_the_digest(tmp_path):
    faces = manifest(tmp_path)
    plain = replace(faces, points=None, landmarks=())
    assert faces.attributes == plain.attributes == ["angle"]
    moved = faces.points.copy()
    moved[0, 0, 0] += 1e-9
    negative = np.where(np.isnan(faces.points), -np.nan, faces.points)  # another NaN is the same one
    variants = [plain, faces, replace(faces, points=moved), replace(faces, landmarks=("a", "b", "c"))]
    assert len({digest(variant) for variant in variants}) == len({Originals(v).key("x") for v in variants}) == 4
    assert digest(replace(faces, points=negative)) == digest(faces)


def test_a_mirror_exchanges_left_and_right(tmp_path):
    faces = manifest(tmp_path)
    assert faces.mirrored_landmarks.tolist() == [1, 0, 2]
    alone = replace(faces, landmarks=("left_eye", "mouth_left", "mouth_right"))
    assert alone.mirrored_landmarks.tolist() == [0, 2, 1]


# cutting


@settings(max_examples=100, deadline=None)
@given(
    x=st.integers(8, WIDTH - 9),
    y=st.integers(8, HEIGHT - 9),
    around=st.tuples(*[st.floats(8, 60)] * 4),
    whole=st.booleans(),
    side=st.integers(30, 90),
)
def test_a_dot_and_its_point_stay_together(x, y, around, whole, side):
    box = None if whole else (x - around[0], y - around[1], x + around[2], y + around[3])
    image = square(dotted(x, y), side, box)
    placed = square_points(np.array([[x, y], [np.nan, np.nan]]), (HEIGHT, WIDTH), side, box)
    assert placed.dtype == np.float32 and np.isnan(placed[1]).all()
    assert np.abs(placed[0] - centre(image)).max() < 0.5


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("boxed", [True, False])
@pytest.mark.parametrize("side", [24, 60])
def test_photographs_place_points_in_turned_and_reduced_files(tmp_path, orientation, boxed, side):
    """Boxes and points are in pixels of the upright photograph, at its full size."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    content = dotted(130, 70, (160, 200))
    Image.fromarray(content).save(tmp_path / "0.jpg", exif=exif, quality=95)
    point = centre(read_photograph((tmp_path / "0.jpg").read_bytes()))
    box = dict(zip(BOX, (point[0] - 90.0, point[1] - 40.0, point[0] + 20.0, point[1] + 70.0)))
    faces = Manifest.of([Face("0.jpg", "a", {})], tmp_path)
    faces = replace(
        faces, table=faces.table.assign(**box) if boxed else faces.table, points=point[None, None], landmarks=("dot",)
    )
    photographs = Photographs(faces, side, "read")
    assert photographs.points.shape == (1, 1, 2) and photographs.points.dtype == np.float32
    assert np.abs(photographs.points[0, 0] - centre(photographs[0])).max() < 0.5


@pytest.mark.parametrize("suffix", ["jpg", "png", "tiff", "webp", "bmp"])
@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_the_upright_size_is_that_of_the_decoded_photograph(tmp_path, suffix, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(dotted(20, 20)).save(tmp_path / f"x.{suffix}", **({} if suffix == "bmp" else {"exif": exif}))
    content = (tmp_path / f"x.{suffix}").read_bytes()
    assert upright_size(content) == read_photograph(content).shape[:2]


def drawn(root: Path, count: int = 3) -> Manifest:
    for number in range(count):
        Image.fromarray(dotted(20 + 9 * number, 30)).save(root / f"{number}.png")
    return manifest(root, count)


def test_points_are_kept_with_the_pixels(tmp_path, monkeypatch):
    faces, cache = drawn(tmp_path), Cache(tmp_path / "cache", 1, check=True)
    fresh, first = Photographs(faces, 7, "read"), Photographs(faces, 7, "read", cache)
    calls, original = [], images.read_photograph
    monkeypatch.setattr(images, "read_photograph", lambda *given: calls.append(1) or original(*given))
    again = Photographs(faces, 7, "read", cache)
    assert not calls and (again.pixels == fresh.pixels).all() and again.digest == fresh.digest
    for photographs in (first, again):
        assert np.array_equal(photographs.points, fresh.points, equal_nan=True) and np.isnan(photographs.points[1, 2]).all()
    plain = replace(faces, points=None, landmarks=())
    other = Photographs(plain, 7, "read", cache)
    assert len(calls) == 3 and other.points is None and (other.pixels == fresh.pixels).all()
    assert Photographs(faces.where(np.zeros(3, bool)), 7, "read").points.shape == (0, 3, 2)


def test_a_photograph_is_cut_alike_whether_or_not_others_have_boxes(tmp_path):
    big = np.random.default_rng(0).integers(0, 256, (20, 25, 3), np.uint8).repeat(16, axis=0).repeat(16, axis=1)
    Image.fromarray(big).save(tmp_path / "0.jpg")
    faces = Manifest.of([Face("0.jpg", "a", {}), Face("0.jpg", "a", {})], tmp_path)
    boxes = np.array([[0.0, 0.0, 64.0, 64.0], [np.nan] * 4])
    mixed = replace(faces, table=faces.table.assign(**dict(zip(BOX, boxes.T))))
    assert (Photographs(mixed, 32, "read")[1] == Photographs(faces, 32, "read")[1]).all()


# lists


@pytest.fixture
def people(tmp_path) -> Path:
    return draw_people(tmp_path / "people", people=8, photographs=2)


def names_in(people: Path) -> list[str]:
    return sorted(path.relative_to(people).as_posix() for path in people.rglob("*.png"))


def write(path: Path, *rows: str) -> str:
    path.write_text("\n".join(rows), encoding="utf-8")
    return str(path)


HEADER = "file_name,left,top,right,bottom,left_eye_x,left_eye_y,right_eye_x,right_eye_y"


def test_a_reader_and_a_list_of_pairs_take_the_same_boxes(people, tmp_path):
    names = names_in(people)
    table = write(tmp_path / "FACES.csv", HEADER, *(f"{name},1,2,{11 + row},12,4,5,,"[:200] for row, name in enumerate(names)))
    reader = open_reader(make_config({"data": {"reader": "folder", "root": str(people), "boxes": table}}).data)
    pairs, listed = read_pairs_csv(write(people / "p.csv", "image1,image2", f"{names[3]},{names[0]}"), boxes=table)
    assert listed.file_names == pairs.file_names == [names[0], names[3]] and listed.landmarks == ("left_eye", "right_eye")
    assert listed.boxes.tolist() == [[1, 2, 11, 12], [1, 2, 14, 12]]
    assert listed.points[:, 0].tolist() == [[4, 5]] * 2 and np.isnan(listed.points[:, 1]).all() and listed.attributes == []
    for split in ("train", "validate", "test"):
        faces = reader.faces(split)
        assert cut_of(faces) == {"boxes": 1.0} and faces.attributes == [] and set(reader.pairs(split).file_names)
        assert faces.boxes[:, 2].tolist() == [11 + names.index(name) for name in faces.file_names]
    (people / "attributes.csv").write_text(Path(table).read_text(encoding="utf-8"), encoding="utf-8")
    own = open_reader(make_config({"data": {"reader": "folder", "root": str(people)}}).data).faces("train")
    assert digest(own) == digest(reader.faces("train"))


def test_file_names_are_relative_to_the_readers_root(tmp_path):
    for split, name in (("train", "train_meta.csv"), ("validate", "validate_label.csv"), ("test", "test_label.csv")):
        (tmp_path / split).mkdir()
        Image.fromarray(dotted(20, 20)).save(tmp_path / split / "a.jpg")
        write(
            tmp_path / split / name, *(["face_id,file_name", "1,a.jpg"] if split == "train" else ["image1,image2", "a.jpg,a.jpg"])
        )
    boxes = write(tmp_path / "B.csv", "file_name,left,top,right,bottom", "train/a.jpg,0,0,5,5", "test/a.jpg,0,0,6,6")
    reader = open_reader(make_config({"data": {"reader": "competition", "root": str(tmp_path), "boxes": boxes}}).data)
    assert reader.faces("train").boxes[0, 2] == 5 and reader.faces("test").boxes[0, 2] == 6
    with pytest.raises(InputError, match="B.csv' has a face box of none of the 1 photographs .*validate', such as 'a.jpg'"):
        reader.faces("validate")


PAIRS = "image1,image2,left1,top1,right1,bottom1,left2,top2,right2,bottom2"


def test_a_list_of_pairs_may_carry_boxes(people):
    one, two, three = names_in(people)[:3]
    path = write(people / "p.csv", PAIRS, f"{one},{two},1,2,3,4,5,6,7,8", f"{two},{one},5.0,6,7,8,,,,", f"{three},{one},,,,,,,,")
    pairs, faces = read_pairs_csv(path)
    assert faces.file_names == pairs.file_names == [one, two, three]
    assert faces.boxes[:2].tolist() == [[1, 2, 3, 4], [5, 6, 7, 8]] and np.isnan(faces.boxes[2]).all()
    more = write(people / "B.csv", "file_name,left,top,right,bottom", f"{three},0,0,9,9", f"{one},1,2,3,4")
    assert read_pairs_csv(path, boxes=more)[1].boxes.tolist() == [[1, 2, 3, 4], [5, 6, 7, 8], [0, 0, 9, 9]]
    with pytest.raises(InputError, match=r"B.csv' gives 1 photographs another face box .*: 사람00/0.png"):
        read_pairs_csv(path, boxes=write(people / "B.csv", "file_name,left,top,right,bottom", f"{one},1,2,3,9"))
    unknown = write(people / "p.csv", PAIRS, f"{one},{two},,,,,,,,")
    assert np.isnan(read_pairs_csv(unknown)[1].boxes).all()


@pytest.mark.parametrize(
    ("header", "row", "message"),
    [
        (PAIRS, "{0},{1},1,2,3,4,5,6,7,8\n{1},{0},5,6,7,9,1,2,3,4", "p.csv' lists 1 photographs with two different face boxes"),
        (PAIRS, "{0},{1},1,2,3,4,5,6,x,8", "face box of '사람00/1.png' is '5', '6', 'x', '8'"),
        (PAIRS, "{0},{1},3,2,3,4,5,6,7,8", "should be four numbers of pixels with left < right"),
        (PAIRS, "{0},{1},1,,3,4,5,6,7,8", "or four empty cells"),
        ("image1,image2,left1", "{0},{1},1", "needs all or none of left1, top1"),
    ],
)
def test_faulty_boxes_of_pairs_are_named(people, header, row, message):
    path = write(people / "p.csv", header, row.format(*names_in(people)))
    with pytest.raises(InputError, match=message):
        read_pairs_csv(path)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (["file_name,left,top", "{0},1,2"], "lacks the column right, bottom"),
        (["file_name,left,top,right,bottom,score", "{0},1,2,3,4,5"], "has a column 'score'; a CSV of face boxes has"),
        (["file_name,left,top,right,bottom", "{0},1,2,3,4", "{0},1,2,3,5"], "lists 1 photographs with two different face boxes"),
        (["file_name,left,top,right,bottom,a_x,a_y", "{0},,,,,1,2", "{0},,,,,1,3"], "two different face boxes or landmarks"),
        (["file_name,left,top,right,bottom", "elsewhere.png,1,2,3,4"], "has a face box of none of the 1 photographs"),
        (["file_name,left,top,right,bottom", "{0},,,,"], "has a face box of none of the 1 photographs"),
    ],
)
def test_faulty_lists_of_boxes_are_named(people, tmp_path, rows, message):
    one = names_in(people)[0]
    pairs = write(people / "p.csv", "image1,image2", f"{one},{one}")
    with pytest.raises(InputError, match=message):
        read_pairs_csv(pairs, boxes=write(tmp_path / "B.csv", *(row.format(one) for row in rows)))
    with pytest.raises(InputError, match="absent.csv' cannot be read"):
        read_pairs_csv(pairs, boxes="absent.csv")


# what a weight file says


def boxed(root: Path, count: int, known: int) -> Manifest:
    faces = Manifest.of([Face(f"{number}.png", None, {}) for number in range(count)], root)
    boxes = np.where(np.arange(count)[:, None] < known, [0.0, 0.0, 1.0, 1.0], np.nan)
    return replace(faces, table=faces.table.assign(**dict(zip(BOX, boxes.T))))


def test_a_difference_in_cutting_is_told(tmp_path):
    plain = Manifest.of([Face("a.png", None, {})], tmp_path)
    assert [cut_of(faces)["boxes"] for faces in (plain, boxed(tmp_path, 4, 0), boxed(tmp_path, 4, 3))] == [0.0, 0.0, 0.75]
    trained = cut_of(boxed(tmp_path, 4, 4))
    told = cut_difference(trained, boxed(tmp_path, 10, 7), "'w.pt'")
    assert "'w.pt' learned from photographs cut to their face boxes, and 3 of these 10 have no box" in told
    assert "--data.boxes=FACES.csv" in told and "\n" not in told
    assert "1 of these 1 have no box" in cut_difference(trained, plain, "'w.pt'")
    assert "7 of these 10 are cut to their face boxes" in cut_difference(cut_of(plain), boxed(tmp_path, 10, 7), "'w.pt'")
    for before, now in (
        (trained, boxed(tmp_path, 3, 3)),
        (cut_of(plain), plain),
        ({"boxes": 0.7}, boxed(tmp_path, 10, 7)),
        (None, plain),
    ):
        assert cut_difference(before, now, "'w.pt'") is None
    for wrong in ("all", {"boxes": 2.0}, {"boxes": float("nan")}, {}, {"boxes": "x"}, 3):
        with pytest.raises(InputError, match="'w.pt' is corrupt"):
            cut_difference(wrong, plain, "'w.pt'")
