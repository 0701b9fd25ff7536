"""Weight files and snapshots tell of any damage, and take no more memory than they have bytes."""

import errno
import hashlib
import io
import resource
import struct
import zipfile
from collections import Counter, OrderedDict
from pathlib import Path

import pytest
import torch

from common.errors import InputError, run_script
from common.files import write_whole
from models.archive import FORMAT, load_tensors, save_tensors
from models.weights import load_weights, save_weights

STATE = {"layer.weight": torch.arange(12.0).view(3, 4), "layer.steps": torch.tensor(7), "empty": torch.ones(0, 5)}


@pytest.fixture
def sealed(tmp_path) -> Path:
    return save_weights(tmp_path / "w.pt", "embedder", STATE, {"run": "사람"})


def reseal(path: Path, archive: bytes) -> None:
    """Write an archive as if it were ours: without its seal, then sealed anew."""
    mark = b"sha256:"
    body = archive[:-2] + struct.pack("<H", len(mark) + 64) + mark
    path.write_bytes(body + hashlib.sha256(body).hexdigest().encode())


def test_a_flipped_bit_anywhere_is_told(sealed):
    """Header, pickle, tensors, directory, and all of the seal."""
    whole = sealed.read_bytes()
    for place in (*range(0, len(whole), 3), *range(len(whole) - 100, len(whole))):
        damaged = bytearray(whole)
        damaged[place] ^= 1 << place % 8
        sealed.write_bytes(damaged)
        with pytest.raises(InputError, match="w.pt' is damaged"):
            load_weights(sealed)


def test_a_cut_anywhere_is_told(sealed):
    whole = sealed.read_bytes()
    shorter = [whole[:length] for length in (*range(0, len(whole), 5), *range(len(whole) - 80, len(whole)))]
    for content in (*shorter, whole + b"\0", whole + b"\n", whole + whole):
        sealed.write_bytes(content)
        with pytest.raises(InputError, match="w.pt' is damaged"):
            load_weights(sealed)


def test_a_sealed_file_is_still_an_archive_of_torch(sealed):
    content = torch.load(sealed, weights_only=True)
    assert content["format"] == FORMAT and torch.equal(content["state"]["layer.weight"], STATE["layer.weight"])
    with zipfile.ZipFile(sealed) as archive:
        assert archive.testzip() is None and archive.comment.startswith(b"sha256:")


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16, torch.float64, torch.int8, torch.bool])
def test_every_dtype_comes_back(tmp_path, dtype):
    state = {"a": torch.arange(6).to(dtype), "b": torch.nn.Parameter(torch.ones(2, 3).t()).detach()}
    found = load_weights(save_weights(tmp_path / "w.pt", "classifier", state, {}), ("classifier",))["state"]
    assert found["a"].dtype == dtype and all(torch.equal(found[name], state[name]) for name in state)


def test_files_of_the_older_format_are_named_as_such(tmp_path):
    torch.save({"format": 1, "kind": "embedder", "about": {}, "state": {}}, tmp_path / "w.pt")
    with pytest.raises(InputError, match=r"w.pt' has no seal, as files of format 1 .* reads format 2: it should be a weight"):
        load_weights(tmp_path / "w.pt")


def test_a_compressed_archive_may_not_grow(tmp_path):
    """Ten megabytes of zeros in some kilobytes."""
    buffer, compressed = io.BytesIO(), io.BytesIO()
    torch.save({"state": torch.zeros(10**7, dtype=torch.uint8)}, buffer)
    with zipfile.ZipFile(buffer) as source, zipfile.ZipFile(compressed, "w", zipfile.ZIP_DEFLATED) as packed:
        for entry in source.infolist():
            packed.writestr(entry.filename, source.read(entry))
    reseal(tmp_path / "w.pt", compressed.getvalue())
    with pytest.raises(InputError, match=r"w.pt' is not a thing: it has [\d,]+ bytes and would unpack to 10,0"):
        load_tensors(tmp_path / "w.pt", "a thing")


class Zeros:
    def __reduce__(self):
        return bytearray, (10**12,)


@pytest.mark.parametrize(
    "value, named",
    [
        (Zeros(), "bytearray"),
        (Counter(a=1), "Counter"),
        (torch.ones(2).to_sparse(), "sparse"),
        (torch.nested.nested_tensor([torch.ones(2), torch.ones(3)], layout=torch.jagged), "nested|rebuild|Tensor"),
        (torch.ones(3, device="meta"), "meta"),
    ],
)
def test_only_dense_tensors_and_plain_values_are_read(tmp_path, value, named):
    """The unpickler of torch.load would build all of these, the first with a terabyte of zeros."""
    save_tensors(tmp_path / "w.pt", {"state": OrderedDict(a=value)})
    with pytest.raises(InputError, match=f"w.pt' is corrupt or not a thing: it asks for '.*({named})"):
        load_tensors(tmp_path / "w.pt", "a thing")


def test_identities_are_names(tmp_path):
    for wrong in ("a", [1], {"a": 1}):
        path = save_weights(tmp_path / "w.pt", "classifier", {}, {"identities": wrong})
        with pytest.raises(InputError, match="its identities are not a list of names"):
            load_weights(path, ("classifier",))


def test_a_full_disk_names_the_file(tmp_path, capsys):
    """A limit on the size of files stands for the disk: it, too, lets write() fail without saying where."""
    path = tmp_path / "weights" / "w.pt"
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    try:
        with pytest.raises(SystemExit) as stop:
            run_script(lambda: save_tensors(path, {"a": torch.ones(10_000)}))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert stop.value.code == 2 and capsys.readouterr().err.strip().endswith(f": File too large: {path}")
    assert not list(path.parent.iterdir())


@pytest.mark.parametrize("failing", ["os.fsync", "os.replace"])
def test_whatever_step_of_a_write_fails_names_the_file(tmp_path, monkeypatch, failing):
    def full(*arguments):
        raise OSError(errno.ENOSPC, "No space left on device", *map(str, arguments[:1] if failing == "os.replace" else ()))

    monkeypatch.setattr(failing, full)
    with pytest.raises(OSError) as error:
        write_whole(tmp_path / "a.json", "{}")
    assert (error.value.filename, error.value.filename2) == (str(tmp_path / "a.json"), None)
