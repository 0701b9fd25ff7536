"""InsightFace's .bin files: read in every form in which they are written, and never unpickled."""

import io
import json
import os
import pickle
import pickletools
import struct
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from common.errors import InputError
from common.files import claimed
from datasets.readers.insightface_bin import unpack
from datasets.readers.insightface_bin.__main__ import main
from datasets.readers.insightface_bin.pickled import read_photographs_and_answers
from datasets.readers.pairs_csv import read_pairs_csv


def encoded(value: int, form: str = "JPEG") -> bytes:
    written = io.BytesIO()
    Image.new("RGB", (8, 8), (value, 0, 255 - value)).save(written, form)
    return written.getvalue()


PHOTOGRAPHS = [encoded(20 * number) for number in range(8)]
ANSWERS = [True, False, True, False]


def array(content: bytes) -> np.ndarray:
    return np.frombuffer(content, np.uint8).copy()


def written(path: Path, value, protocol: int = 2) -> Path:
    path.write_bytes(pickle.dumps(value, protocol))
    return path


@pytest.mark.parametrize("protocol", range(1, pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize(
    "form",
    [bytes, array, lambda content: array(content)[:, None], lambda content: np.frombuffer(content, np.uint8)],
    ids=["bytes", "array", "column", "read-only"],
)
def test_whatever_python_3_writes(tmp_path, form, protocol):
    for answers in (ANSWERS, list(np.array(ANSWERS)), np.array(ANSWERS), [1, 0, 1, 0], list(np.array(ANSWERS).astype(int))):
        path = written(tmp_path / "x.bin", ([form(content) for content in PHOTOGRAPHS], answers), protocol)
        assert read_photographs_and_answers(path) == (PHOTOGRAPHS, ANSWERS)
    path = written(tmp_path / "x.bin", [tuple(form(content) for content in PHOTOGRAPHS), tuple(ANSWERS)], protocol)
    assert read_photographs_and_answers(path) == (PHOTOGRAPHS, ANSWERS)


def string_of_python_2(content: bytes) -> bytes:
    return b"T" + struct.pack("<i", len(content)) + content


def array_of_python_2(content: bytes) -> bytes:
    """As NumPy under Python 2 pickled the result of cv2.imencode, of shape [N, 1]; memo left out."""
    made = b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R"
    kind = b"cnumpy\ndtype\nU\x02u1K\x00K\x01\x87R(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
    return (
        made + b"(K\x01J" + struct.pack("<i", len(content)) + b"K\x01\x86" + kind + b"\x89" + string_of_python_2(content) + b"tb"
    )


@pytest.mark.parametrize("form", [string_of_python_2, array_of_python_2])
def test_what_python_2_wrote(tmp_path, form):
    """Protocol 2, as lfw.bin and agedb_30.bin come; that these bytes are such a pickle, Python's own reader confirms."""
    photographs = b"](" + b"".join(map(form, PHOTOGRAPHS)) + b"e"
    content = b"\x80\x02" + photographs + b"](" + b"".join(b"\x88" if same else b"\x89" for same in ANSWERS) + b"e\x86."
    (tmp_path / "x.bin").write_bytes(content)
    truth, answers = pickle.loads(content, encoding="bytes")
    assert ([bytes(each) for each in truth], answers) == (PHOTOGRAPHS, ANSWERS)
    assert read_photographs_and_answers(tmp_path / "x.bin") == (PHOTOGRAPHS, ANSWERS)


class Calls:
    """An object whose pickle calls `function` with `arguments`."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


def hostile(path: Path) -> dict[str, object]:
    touch = f"open({str(path)!r}, 'w').close()"
    return {
        "os.system": Calls(os.system, f"touch {path}"),
        "eval": Calls(eval, touch),
        "exec in the list": ([Calls(exec, touch)] * 2, [True]),
        "an answer": ([b"a", b"b"], [Calls(eval, f"{touch} or True")]),
        "getattr": Calls(getattr, Calls(__import__, "os"), "system"),
        "an open file": Calls(open, str(path), "w"),
        "encode with a codec of its own": Calls(__import__("codecs").encode, b"x", "rot13"),
        "a type of objects": ([np.array([Calls(eval, touch)], dtype=object)] * 2, [True]),
    }


@pytest.mark.parametrize("protocol", range(1, pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("name", list(hostile(Path())))
def test_nothing_that_a_pickle_names_is_called(tmp_path, name, protocol):
    path = written(tmp_path / "x.bin", hostile(tmp_path / "touched")[name], protocol)
    with pytest.raises(InputError, match="x.bin' is not one of InsightFace's test sets .*: it (names|encodes|has|holds)") as told:
        unpack(path, tmp_path / "out")
    assert "\n" not in str(told.value) and sorted(each.name for each in tmp_path.iterdir()) == ["x.bin"]


def long_int(number: int) -> bytes:
    return struct.pack("<I", number)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "has 0 bytes"),
        (b"\x80\x02", "damaged or no pickle"),
        (b"not a pickle at all", "damaged or no pickle|has no place"),
        (b"\x80\x02.", "damaged or no pickle"),
        (b"\x80\x02N.", "it holds None"),
        (b"\x80\x02}.", "the operation EMPTY_DICT at byte 2 has no place"),
        (b"\x80\x02cos\nsystem\nU\x02ls\x85R.", "it names 'os.system', which .* nothing of it was carried out"),
        (b"\x80\x04\x8c\x02os\x8c\x06system\x93.", "it names 'os.system'"),
        (b"\x80\x02Pdatabase\n.", "the operation PERSID"),
        (b"\x80\x02\x82\x01.", "the operation EXT1"),
        (b"\x80\x02(i__main__\nX\n.", "the operation INST"),
        (b"\x80\x02cnumpy\nndarray\n)R.", "it calls Name"),
        (b"\x80\x02cnumpy\nndarray\n)\x81.", "the operation NEWOBJ"),
        (b"\x80\x02K\x01)R.", "it calls 1"),
        (b"\x80\x02Nr" + long_int(2**32 - 1) + b"0.", "the operation POP"),  # a memo of four billion places is none
        (b"\x80\x02j" + long_int(7) + b".", "damaged or no pickle"),
        (b"\x80\x02K\x01K\x02a.", "it appends to 1"),
        (b"\x80\x04\x8e" + struct.pack("<Q", 2**62) + b"x.", "damaged or no pickle"),  # claims to go on for four exabytes
        (b"\x80\x05\x96" + struct.pack("<Q", 2**63) + b"x.", "damaged or no pickle"),
        (b"\x80\x02" + b"(" * 10 + b"u.", "the operation SETITEMS"),
        (b"\x80\x02t.", "damaged or no pickle"),
        (b"\x80\x02I" + b"9" * 5000 + b"\n.", "damaged or no pickle"),
        (b"\x80\x02\x8b" + long_int(4) + b"\x01\x01\x01\x01.", "the operation LONG4"),
        (b"\x80\x02](U\x01aU\x01be](\x88\x88e\x86.", "has 2 photographs for 2 answers"),
        (b"\x80\x02](U\x01aU\x01be](K\x02e\x86.", "answer 1 is 2; it should be true or false"),
        (b"\x80\x02](U\x01aK\x01e](\x88e\x86.", "photograph 2 is 1; it should be bytes"),
        (b"\x80\x02]]\x86.", "has 0 photographs for 0 answers"),
    ],
)
def test_other_pickles_are_one_sentence(tmp_path, content, message):
    (tmp_path / "x.bin").write_bytes(content)
    with pytest.raises(InputError, match=message):
        unpack(tmp_path / "x.bin", tmp_path / "out")
    assert sorted(each.name for each in tmp_path.iterdir()) == ["x.bin"]


def test_bombs_of_a_few_bytes(tmp_path, monkeypatch):
    path = tmp_path / "x.bin"
    doubled = b"\x80\x02K\x01" + b"q\x00h\x00\x86" * 200 + b"."  # a pair of a pair of ...: 2 ** 200 leaves
    path.write_bytes(doubled)
    with pytest.raises(InputError, match="it has a list of length 2|holds|photographs"):
        read_photographs_and_answers(path)
    text = b"X" + long_int(1000) + b"x" * 1000
    repeated = b"c_codecs\nencode\nq\x00" + text + b"q\x01U\x06latin1q\x02" + b"\x86R" + b"h\x00h\x01X\x06\0\0\0latin1\x86R" * 500
    path.write_bytes(b"\x80\x02" + repeated.replace(b"U\x06latin1", b"X\x06\0\0\0latin1") + b".")
    with pytest.raises(InputError, match="it makes more bytes than it has"):
        read_photographs_and_answers(path)
    monkeypatch.setattr("datasets.readers.insightface_bin.pickled.MOST_OPERATIONS", 1000)
    path.write_bytes(b"\x80\x02" + b"N" * 2000 + b".")
    with pytest.raises(InputError, match="more than 1,000 operations"):
        read_photographs_and_answers(path)
    monkeypatch.setattr("datasets.readers.insightface_bin.pickled.MOST_PAIRS", 3)
    with pytest.raises(InputError, match="8 photographs for 4 answers; .* and 1 to 3 answers"):
        read_photographs_and_answers(written(path, (PHOTOGRAPHS, ANSWERS)))
    monkeypatch.setattr("datasets.readers.insightface_bin.pickled.MOST_BYTES", 100)
    with pytest.raises(InputError, match="it should have 1 to 100"):
        read_photographs_and_answers(path)


@pytest.mark.parametrize("form", [bytes, array])
def test_any_damage_is_one_sentence(tmp_path, form):
    """Cut anywhere, or with bytes changed, a file is read as photographs and answers or refused; nothing else is raised."""
    whole = pickle.dumps(([form(encoded(9)[:40]) for _ in range(4)], [True, False]), 2)
    random = np.random.default_rng(1)
    for _ in range(120):
        content = bytearray(whole)
        if random.random() < 0.2:
            del content[random.integers(len(content)) :]
        for _ in range(random.integers(1, 6)):
            if content:
                content[random.integers(len(content))] = random.integers(256)
        (tmp_path / "x.bin").write_bytes(content)
        try:
            photographs, answers = read_photographs_and_answers(tmp_path / "x.bin")
            assert len(photographs) == 2 * len(answers) and all(isinstance(each, bytes) for each in photographs)
        except InputError as error:
            assert "x.bin" in str(error) and len(str(error)) < 1000


def test_no_operation_of_python_constructs_an_object():
    """Those that are carried out are this list; a Python that invents another leaves it refused."""
    from datasets.readers.insightface_bin.pickled import STEPS

    objects = {"NEWOBJ", "NEWOBJ_EX", "OBJ", "INST", "EXT1", "EXT2", "EXT4", "PERSID", "BINPERSID", "NEXT_BUFFER"}
    assert STEPS.keys() < {operation.name for operation in pickletools.opcodes} and not STEPS.keys() & objects


# the folder


def test_unpacked(tmp_path, capsys):
    """A photograph of several pairs is one file, and the list is one that `--pairs` takes."""
    listed = [PHOTOGRAPHS[number] for number in (0, 1, 0, 2, 3, 1)] + [encoded(7, "PNG"), encoded(8, "BMP")]
    path = written(tmp_path / "lfw.bin", (list(map(array, listed)), ANSWERS))
    main([str(path), "--out", str(tmp_path / "new" / "lfw")])
    folder = tmp_path / "new" / "lfw"
    assert capsys.readouterr().out.strip() == f"the pairs are in {folder / 'pairs.csv'}"
    pairs, _ = read_pairs_csv(folder / "pairs.csv")
    assert pairs.same.tolist() == ANSWERS
    found = [(folder / name).read_bytes() for pair in zip(pairs.table["first"], pairs.table["second"]) for name in pair]
    assert found == listed
    names = ["000000.jpg", "000001.jpg", "000003.jpg", "000004.jpg", "000006.png", "000007.bmp"]
    assert sorted(each.name for each in folder.iterdir()) == [*names, "pairs.csv", "unpacked.json"]
    receipt = json.loads((folder / "unpacked.json").read_text())
    assert receipt["photographs"] == 6 and receipt["pairs"] == 4 and receipt["file"] == "lfw.bin"
    assert [each.name for each in folder.parent.iterdir()] == ["lfw"]  # no lock, nothing half-written


def test_unpacking_again_and_into_other_folders(tmp_path):
    path = written(tmp_path / "x.bin", (PHOTOGRAPHS, ANSWERS))
    (tmp_path / "out").mkdir()
    pairs = unpack(path, tmp_path / "out")  # an empty folder
    times = {each.name: each.stat().st_mtime_ns for each in pairs.parent.iterdir()}
    assert unpack(path, tmp_path / "out") == pairs
    assert times == {each.name: each.stat().st_mtime_ns for each in pairs.parent.iterdir()}
    changed = pairs.parent / "000003.jpg"
    changed.write_bytes(changed.read_bytes()[:-1])
    other = written(tmp_path / "y.bin", (PHOTOGRAPHS, ANSWERS[::-1]))
    for source in (path, other):
        with pytest.raises(InputError, match="out' is not empty and does not hold what is in"):
            unpack(source, tmp_path / "out")
    (tmp_path / "file").write_text("mine")
    with pytest.raises(InputError, match="file' is not empty"):
        unpack(path, tmp_path / "file")
    assert (tmp_path / "file").read_text() == "mine"
    with pytest.raises(InputError, match="absent.bin' cannot be read: No such file"):
        unpack(tmp_path / "absent.bin", tmp_path / "new")
    with pytest.raises(InputError, match="photograph 3 is no JPEG, PNG or BMP; it is 5 bytes that begin with b'hello'"):
        unpack(written(path, ([*PHOTOGRAPHS[:2], b"hello", PHOTOGRAPHS[3]], ANSWERS[:2])), tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_a_full_disk_leaves_nothing(tmp_path, monkeypatch):
    path = written(tmp_path / "x.bin", (PHOTOGRAPHS, ANSWERS))
    (tmp_path / ".out.partial").mkdir()  # of a process that was killed
    (tmp_path / ".out.partial" / "old.jpg").touch()
    write = Path.write_bytes

    def full(self, content):
        if self.name == "000004.jpg":
            raise OSError(28, "No space left on device", str(self))
        return write(self, content)

    with monkeypatch.context() as patched, pytest.raises(OSError, match="No space left"):
        patched.setattr(Path, "write_bytes", full)
        unpack(path, tmp_path / "out")
    assert sorted(each.name for each in tmp_path.iterdir()) == ["x.bin"]
    with claimed(tmp_path / ".out.lock"), pytest.raises(InputError, match="another process is unpacking into"):
        unpack(path, tmp_path / "out")
    assert len(list(unpack(path, tmp_path / "out").parent.iterdir())) == 10
