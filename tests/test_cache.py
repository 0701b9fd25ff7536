"""Decoded photographs are kept between runs: never stale, never half-written, never more than allowed."""

import hashlib
import itertools
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import namedtuple
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import train
from common.cli import read_arguments
from common.config import Config, experiment, make_config, merge, read_config
from common.errors import InputError
from datasets.manifest import BOX, Face, Manifest
from datasets.photographs import cache as cache_module
from datasets.photographs import cutting, decoding, originals
from datasets.photographs import photographs as images
from datasets.photographs.cache import GIB, Cache, open_cache
from datasets.photographs.photographs import Photographs
from tests.tiny import draw_people, tiny_settings

ROOT = Path(__file__).parent.parent
SIDE = 8
COUNT = 5
SIZE = COUNT * SIDE * SIDE * 3


def draw(folder: Path, seed: int = 0) -> Manifest:
    """Five photographs of equal size, of noise."""
    folder.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(seed).integers(0, 256, size=(COUNT, 12, 12, 3), dtype=np.uint8)
    for number, pixels in enumerate(noise):
        Image.fromarray(pixels).save(folder / f"{number}.bmp")
    return Manifest.of([Face(f"{number}.bmp", "1", {}) for number in range(COUNT)], folder)


@pytest.fixture
def faces(tmp_path) -> Manifest:
    return draw(tmp_path / "faces")


@pytest.fixture
def cache(tmp_path) -> Cache:
    return Cache(tmp_path / "cache", gigabytes=1)


@pytest.fixture
def decoded(monkeypatch) -> list:
    """Grows with every photograph that is decoded."""
    calls, original = [], images.read_photograph
    monkeypatch.setattr(images, "read_photograph", lambda *given: calls.append(len(given[0])) or original(*given))
    return calls


@pytest.fixture
def settled(monkeypatch):
    """Photographs that tests have just made count as old ones."""
    monkeypatch.setattr(originals, "SETTLED", 0)


def names(cache: Cache) -> list[str]:
    return sorted(path.suffix for path in cache.folder.iterdir() if path.name != ".lock")


def same(one: Photographs, other: Photographs) -> bool:
    return one.digest == other.digest and one.file_names == other.file_names and (one.pixels == other.pixels).all()


@pytest.mark.parametrize("old", [True, False])
def test_a_second_time_nothing_is_decoded(faces, cache, decoded, monkeypatch, old):
    if old:
        monkeypatch.setattr(originals, "SETTLED", 0)
    plain = Photographs(faces, SIDE, "read")
    first = Photographs(faces, SIDE, "read", cache)
    del decoded[:]
    second = Photographs(faces, SIDE, "read", cache)
    assert not decoded and same(plain, first) and same(plain, second)
    assert first.pixels.dtype == np.uint8 and first.pixels.shape == (COUNT, SIDE, SIDE, 3) == second.pixels.shape
    total = hashlib.sha256()
    for name in faces.file_names:
        total.update(name.encode() + b"\0" + hashlib.sha256((faces.root / name).read_bytes()).digest())
    assert second.digest == total.hexdigest()


def test_nobody_writes_into_an_entry(faces, cache, decoded):
    first = Photographs(faces, SIDE, "read", cache)
    expected = first.pixels.copy()
    first[0][:] = 0
    with pytest.raises(ValueError, match="read-only"):
        first.pixels[0] = 0
    assert (Photographs(faces, SIDE, "read", cache).pixels == expected).all() and len(decoded) == COUNT


def test_no_photographs_are_kept_too(faces, cache):
    nobody = faces.where(np.zeros(COUNT, dtype=bool))
    for place in (None, cache, cache):
        assert Photographs(nobody, SIDE, "read", place).pixels.shape == (0, SIDE, SIDE, 3)


# never stale


def rewrite(path: Path) -> None:
    """Other bytes of the same number, under the old time of modification."""
    before = path.stat()
    content = bytearray(path.read_bytes())
    content[-20] ^= 255
    path.write_bytes(content)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def replace(path: Path) -> None:
    """Another file of the same size and time takes the place."""
    before, other = path.stat(), path.with_name("other")
    shutil.copy(path.with_name("4.bmp"), other)
    os.utime(other, ns=(before.st_atime_ns, before.st_mtime_ns))
    os.replace(other, path)


def exchange(path: Path) -> None:
    """Two photographs change places."""
    path.rename(path.with_name("other"))
    path.with_name("4.bmp").rename(path)
    path.with_name("other").rename(path.with_name("4.bmp"))


def link(path: Path) -> None:
    """A link to another photograph takes the place."""
    path.unlink()
    path.symlink_to("4.bmp")


@pytest.mark.parametrize("change", [rewrite, replace, exchange, link, Path.touch])
def test_a_change_of_a_photograph_is_seen(faces, cache, decoded, settled, change):
    first = Photographs(faces, SIDE, "read", cache)
    time.sleep(0.02)  # longer than a tick of the file system's clock
    change(faces.root / "2.bmp")
    del decoded[:]
    second = Photographs(faces, SIDE, "read", cache)
    assert len(decoded) == COUNT and same(second, Photographs(faces, SIDE, "read"))
    assert (second.digest == first.digest) == (change is Path.touch)


@pytest.mark.parametrize("change", [rewrite, replace, exchange])
def test_a_change_within_one_tick_of_the_clock_is_seen(faces, cache, decoded, monkeypatch, change):
    """As a file system with a coarse clock would have it: all stamps stay the same."""
    now = time.time_ns()
    monkeypatch.setattr(originals, "_stamp", lambda path: ("same", now))
    first = Photographs(faces, SIDE, "read", cache)
    change(faces.root / "2.bmp")
    del decoded[:]
    second = Photographs(faces, SIDE, "read", cache)
    assert len(decoded) == COUNT and first.digest != second.digest and same(second, Photographs(faces, SIDE, "read"))


def test_who_trusts_no_stamp_can_have_all_bytes_compared(faces, cache, decoded, monkeypatch):
    monkeypatch.setattr(originals, "_stamp", lambda path: ("same", 0))
    first = Photographs(faces, SIDE, "read", cache)
    rewrite(faces.root / "2.bmp")
    assert Photographs(faces, SIDE, "read", cache).digest == first.digest  # a file system without times of change
    del decoded[:]
    distrusted = Cache(cache.folder, 1, check=True)
    second = Photographs(faces, SIDE, "read", distrusted)
    assert len(decoded) == COUNT and first.digest != second.digest and same(second, Photographs(faces, SIDE, "read"))
    del decoded[:]
    assert same(second, Photographs(faces, SIDE, "read", distrusted)) and not decoded


def test_another_side_box_order_or_decoder_is_another_entry(faces, cache, decoded, settled, monkeypatch):
    boxed = Manifest(faces.table.assign(**dict(zip(BOX, (0.0, 0.0, 6.0, 6.0)))), faces.root)
    moved = Manifest(faces.table.assign(**dict(zip(BOX, (1.0, 0.0, 7.0, 6.0)))), faces.root)
    unknown = Manifest(faces.table.assign(**dict.fromkeys(BOX, np.nan)), faces.root)
    backwards = faces.of_files(faces.file_names[::-1])
    variants = [(faces, SIDE), (faces, SIDE + 1), (boxed, SIDE), (moved, SIDE), (unknown, SIDE), (backwards, SIDE)]
    for number, (variant, side) in enumerate([*variants, *variants]):
        del decoded[:]
        assert same(Photographs(variant, side, "read", cache), Photographs(variant, side, "read"))
        assert len(decoded) == COUNT * (2 if number < len(variants) else 1)
    for name, version in ((images, "DECODER"), (cache_module, "FORMAT")):
        monkeypatch.setattr(name, version, "another")
        del decoded[:]
        assert same(Photographs(faces, SIDE, "read", cache), Photographs(faces, SIDE, "read")) and len(decoded) == 2 * COUNT


def test_the_decoders_versions_are_known():
    assert "OpenCV 5" in images.DECODER or "OpenCV 4" in images.DECODER
    assert f"pil {Image.__version__}" in images.DECODER
    assert all(hashlib.sha256(Path(module.__file__).read_bytes()).hexdigest() in images.DECODER for module in (cutting, decoding))


def test_a_photograph_that_is_gone_is_named_and_not_remembered(faces, cache):
    Photographs(faces, SIDE, "read", cache)
    (faces.root / "3.bmp").unlink()
    for _ in range(2):
        with pytest.raises(InputError, match=r"1 of 5 photographs .*3\.bmp"):
            Photographs(faces, SIDE, "read", cache)
    assert names(cache) == [".entry"]


# never half-written


def entry_of(cache: Cache) -> Path:
    (path,) = cache.folder.glob("*.entry")
    return path


def damage(content: bytes, how: str) -> bytes:
    about = json.loads(content[SIZE:])
    return {
        "empty": b"",
        "cut in the pixels": content[: SIZE // 2],
        "cut before the end": content[:SIZE],
        "cut in the end": content[:-30],
        "longer": content + bytes(5000),
        "foreign": bytes(len(content)),
        "foreign text": b"x" * SIZE + b"[" * 3000,
        "a number": content[:SIZE] + b"3",
        "another key": content[:SIZE] + json.dumps(about | {"key": "0" * 64}).encode(),
        "another size": content[1:],
        "no times": content[:SIZE] + json.dumps({key: about[key] for key in about if key != "taken"}).encode(),
        "times to come": content[:SIZE] + json.dumps(about | {"taken": 10**30}).encode(),
        "no digest": content[:SIZE] + json.dumps(about | {"digest": None}).encode(),
        "text for numbers": content[:SIZE] + json.dumps(about | {"taken": "0", "digest": 1}).encode(),
    }[how]


DAMAGES = ["empty", "cut in the pixels", "cut before the end", "cut in the end", "longer", "foreign", "foreign text", "a number"]
DAMAGES += ["another key", "another size", "no times", "times to come", "no digest", "text for numbers"]


@pytest.mark.parametrize("how", DAMAGES)
def test_a_damaged_entry_is_written_anew(faces, cache, decoded, how):
    first = Photographs(faces, SIDE, "read")
    Photographs(faces, SIDE, "read", cache)
    path = entry_of(cache)
    path.write_bytes(damage(path.read_bytes(), how))
    del decoded[:]
    assert same(Photographs(faces, SIDE, "read", cache), first) and len(decoded) == COUNT
    assert same(Photographs(faces, SIDE, "read", cache), first) and len(decoded) == COUNT


def test_changed_pixels_are_found_by_who_checks(faces, cache, decoded):
    first = Photographs(faces, SIDE, "read")
    Photographs(faces, SIDE, "read", cache)
    content = bytearray(entry_of(cache).read_bytes())
    content[3] ^= 1
    entry_of(cache).write_bytes(content)
    del decoded[:]
    assert same(Photographs(faces, SIDE, "read", Cache(cache.folder, 1, check=True)), first) and len(decoded) == COUNT


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, OSError(28, "No space left on device")])
def test_an_interrupted_step_leaves_nothing(faces, cache, monkeypatch, error):
    def dying(*arguments):
        yield from list(original(*arguments))[:2]
        raise error

    original = images.decode_all
    monkeypatch.setattr(images, "decode_all", dying)
    expected, sentence = (InputError, "cache.*No space left on device") if isinstance(error, OSError) else (error, None)
    with pytest.raises(expected, match=sentence):
        Photographs(faces, SIDE, "read", cache)
    assert names(cache) == []


@pytest.mark.parametrize("again", [False, True])
def test_a_cache_deleted_while_it_is_filled_ends_no_run(faces, cache, decoded, monkeypatch, capsys, again):
    """again: another process has begun the same entry anew in the meantime, and keeps it."""

    def deleting(*arguments):
        for number, photograph in enumerate(original(*arguments)):
            if number == 2:
                (partial,) = cache.folder.glob("*.partial")
                shutil.rmtree(cache.folder)
                if again:
                    cache.folder.mkdir()
                    partial.write_bytes(b"another's")
            yield photograph

    original = images.decode_all
    with monkeypatch.context() as patched:
        patched.setattr(images, "decode_all", deleting)
        photographs = Photographs(faces, SIDE, "read", cache)
    assert len(decoded) == COUNT and same(photographs, Photographs(faces, SIDE, "read"))
    told = [line for line in capsys.readouterr().err.splitlines() if "not kept" in line]
    assert len(told) == 1 and "was deleted meanwhile" in told[0]
    if again:
        assert next(cache.folder.glob("*.partial")).read_bytes() == b"another's"
    assert same(photographs, Photographs(faces, SIDE, "read", cache)) and names(cache) == [".entry"]
    assert same(photographs, Photographs(faces, SIDE, "read"))


def test_a_cache_deleted_with_a_fault_tells_the_fault(faces, cache, monkeypatch):
    (faces.root / "4.bmp").write_bytes(b"")

    def deleting(*arguments):
        for photograph in original(*arguments):
            shutil.rmtree(cache.folder, ignore_errors=True)
            yield photograph

    original = images.decode_all
    monkeypatch.setattr(images, "decode_all", deleting)
    with pytest.raises(InputError, match=r"1 of 5 photographs .*4\.bmp"):
        Photographs(faces, SIDE, "read", cache)


@pytest.mark.parametrize("times", [1, 99])
def test_a_cache_deleted_between_two_steps_is_begun_anew_or_done_without(faces, cache, monkeypatch, capsys, times):
    def deleting(self):
        if next(calls) < times:
            shutil.rmtree(self.folder)
        return original(self)

    calls, original = itertools.count(), Cache._alone
    monkeypatch.setattr(Cache, "_alone", deleting)
    assert same(Photographs(faces, SIDE, "read", cache), Photographs(faces, SIDE, "read"))
    assert ("deleted again and again" in capsys.readouterr().err) == (times == 99)
    assert times == 99 or names(cache) == [".entry"]


SCRIPT = """
import hashlib, sys, time
from pathlib import Path
from datasets.photographs import photographs as images
from datasets.photographs.cache import Cache
from datasets.manifest import Face, Manifest

decoded, original = [], images.decode_all

def slowly(*arguments):
    for photograph in original(*arguments):
        time.sleep({pause})
        decoded.append(1)
        yield photograph

images.decode_all = slowly
faces = Manifest.of([Face(f"{{number}}.bmp", "1", {{}}) for number in range({count})], Path({root!r}))
photographs = images.Photographs(faces, {side}, "read", Cache({folder!r}, 1))
print(len(decoded), photographs.digest, hashlib.sha256(photographs.pixels.tobytes()).hexdigest(), flush=True)
"""


def start(faces: Manifest, cache: Cache, pause: float, then: str = "") -> subprocess.Popen:
    """A process that reads the photographs, pausing before each that it decodes, prints what it got and goes on to `then`."""
    script = SCRIPT.format(pause=pause, count=COUNT, root=str(faces.root), side=SIDE, folder=str(cache.folder)) + then
    return subprocess.Popen([sys.executable, "-c", script], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_of_several_processes_one_decodes_for_all(faces, cache):
    processes = [start(faces, cache, pause=0.3) for _ in range(3)]
    told = [process.communicate() for process in processes]
    assert [process.returncode for process in processes] == [0, 0, 0], told
    expected = Photographs(faces, SIDE, "read")
    pixels = hashlib.sha256(expected.pixels.tobytes()).hexdigest()
    assert sorted(output.split()[0] for output, _ in told) == ["0", "0", str(COUNT)]
    assert all(output.split()[1:] == [expected.digest, pixels] for output, _ in told)
    assert names(cache) == [".entry"]


def kill_while_writing(faces: Manifest, cache: Cache) -> None:
    process = start(faces, cache, pause=30)
    while not (cache.folder.exists() and names(cache)):
        assert process.poll() is None, process.communicate()
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert names(cache) == [".partial"]


def test_what_a_killed_process_left_is_not_used(faces, cache, decoded):
    kill_while_writing(faces, cache)
    assert same(Photographs(faces, SIDE, "read", cache), Photographs(faces, SIDE, "read"))
    assert len(decoded) == 2 * COUNT and names(cache) == [".entry"]


def test_what_a_killed_process_left_is_removed_by_any_other(faces, cache, tmp_path):
    others = draw(tmp_path / "others", seed=1)
    Photographs(others, SIDE, "read", cache)
    shutil.rmtree(cache.folder)
    kill_while_writing(faces, cache)
    Photographs(others, SIDE, "read", cache)
    assert names(cache) == [".entry"]


def test_who_waits_for_a_process_that_is_killed_takes_over(faces, cache):
    first = start(faces, cache, pause=30)
    while not (cache.folder.exists() and names(cache)):
        time.sleep(0.01)
    second = start(faces, cache, pause=0)
    assert "waiting for another process" in second.stderr.readline()
    first.kill()
    output, told = second.communicate()
    first.communicate()
    assert second.returncode == 0 and output.startswith(f"{COUNT} "), told


# never more than allowed


def small(tmp_path: Path, entries: float) -> Cache:
    return Cache(tmp_path / "cache", gigabytes=entries * (SIZE + 600) / GIB)


def test_the_entry_used_longest_ago_gives_way(tmp_path, decoded):
    cache = small(tmp_path, 2)
    first, second, third = (draw(tmp_path / str(seed), seed) for seed in range(3))
    for faces, expected in [
        (first, COUNT),
        (second, COUNT),
        (first, 0),
        (third, COUNT),
        (first, 0),
        (second, COUNT),
        (third, COUNT),
    ]:
        del decoded[:]
        Photographs(faces, SIDE, "read", cache)
        assert len(decoded) == expected
        assert len(names(cache)) <= 2 and sum(path.stat().st_size for path in cache.folder.iterdir()) <= cache.most
        time.sleep(0.02)


def test_an_entry_in_use_stays(tmp_path, decoded):
    cache = small(tmp_path, 1)
    first, second = (draw(tmp_path / str(seed), seed) for seed in range(2))
    held = Photographs(first, SIDE, "read", cache)
    for _ in range(2):  # not kept, since there is no room beside the one in use
        assert same(Photographs(second, SIDE, "read", cache), Photographs(second, SIDE, "read"))
    assert names(cache) == [".entry"]
    del decoded[:]
    assert same(Photographs(first, SIDE, "read", cache), held) and not decoded
    del held
    Photographs(second, SIDE, "read", cache)
    assert names(cache) == [".entry"]
    del decoded[:]
    Photographs(second, SIDE, "read", cache)
    assert not decoded


def test_an_entry_in_use_by_another_process_stays(tmp_path):
    cache = small(tmp_path, 1)
    first, second = (draw(tmp_path / str(seed), seed) for seed in range(2))
    holder = start(first, cache, pause=0, then="time.sleep(60)")
    assert holder.stdout.readline().startswith(f"{COUNT} ")
    entry = entry_of(cache)
    Photographs(second, SIDE, "read", cache)
    assert entry_of(cache) == entry
    holder.kill()
    holder.communicate()
    Photographs(second, SIDE, "read", cache)
    assert entry_of(cache) != entry


def test_more_than_the_cache_may_hold_is_not_kept(faces, tmp_path, capsys):
    cache = small(tmp_path, 1)
    Photographs(faces, SIDE, "read", cache)
    assert same(Photographs(faces, 2 * SIDE, "read", cache), Photographs(faces, 2 * SIDE, "read"))
    assert "more than data.cache_gb leaves room for" in capsys.readouterr().err
    assert names(cache) == [".entry"] and entry_of(cache).stat().st_size < cache.most


def test_a_full_disk_is_told_before_writing(faces, tmp_path, cache, monkeypatch):
    usage = namedtuple("usage", "free")
    old = draw(tmp_path / "old", seed=1)
    Photographs(old, SIDE, "read", cache)
    monkeypatch.setattr(cache_module.shutil, "disk_usage", lambda folder: usage(SIZE - 1 if names(cache) else SIZE))
    Photographs(faces, SIDE, "read", cache)  # in place of the old ones
    assert names(cache) == [".entry"]
    monkeypatch.setattr(cache_module.shutil, "disk_usage", lambda folder: usage(SIZE - 1))
    with pytest.raises(InputError, match=r"should take 0\.0 GiB more, and its disk has 0\.0 GiB free; --data.cache=DIR"):
        Photographs(draw(tmp_path / "new", seed=2), SIDE, "read", cache)
    assert names(cache) == []
    with pytest.raises(InputError, match="set TMPDIR"):
        Photographs(faces, SIDE, "read")


def test_other_files_in_the_folder_stay(tmp_path):
    cache = small(tmp_path, 1)
    cache.folder.mkdir()
    others = ["notes.txt", "photo.jpg", f"{'0' * 64}.entry.bak", f"{'A' * 64}.partial"]
    for name in others:
        (cache.folder / name).write_bytes(bytes(10 * SIZE))
    for number in range(2):
        Photographs(draw(tmp_path / str(number), number), SIDE, "read", cache)
        assert {path.name for path in cache.folder.iterdir()} == {*others, ".lock", entry_of(cache).name}


def test_a_folder_that_cannot_be_is_one_sentence(faces, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="cache folder .*file/cache' cannot be used .*--data.cache=DIR"):
        Photographs(faces, SIDE, "read", Cache(tmp_path / "file" / "cache", 1))


# settings and whole runs


def test_the_cache_is_a_setting_that_changes_no_result(tmp_path, monkeypatch):
    values = {"data": {"cache": str(tmp_path), "cache_gb": 0.5, "cache_check": True}}
    cache = open_cache(make_config(values).data)
    assert (cache.folder, cache.most, cache.check) == (tmp_path, GIB // 2, True)
    assert experiment(make_config(values)) == experiment(Config())
    assert open_cache(make_config({"data": {"cache": ""}}).data) is None
    assert merge(values, {"data": {"reader": "folder"}})["data"]["cache"] == str(tmp_path)
    assert Config().data.cache == os.environ["TRIARCHY_CACHE"]  # the tests' own, see conftest.py
    monkeypatch.setattr(cache_module, "fcntl", None)
    assert open_cache(Config().data) is None


def test_a_run_from_the_cache_gives_the_same_bytes(tmp_path, decoded):
    people = draw_people(tmp_path / "people", people=9, photographs=3)
    written, counts = [], []
    for number, folder in enumerate(["", str(tmp_path / "cache"), str(tmp_path / "cache")]):
        del decoded[:]
        options = tiny_settings(people, tmp_path / str(number), train__epochs=1, data__cache=folder, data__workers=number)
        weights = train.train(read_config([], read_arguments("test", {}, options).overrides))
        receipt = json.loads(weights.with_suffix(".json").read_text())
        written.append((weights.read_bytes(), receipt))
        counts.append(len(decoded))
    assert counts[0] == counts[1] > 0 == counts[2]
    assert written[0] == written[1] == written[2]
    assert not set(receipt["config"]["data"]) & {"cache", "cache_gb", "cache_check"}
