"""The synthetic set around its renderer: tables, folders, restarts and processes, with flat colours in place of faces."""

import functools
import hashlib
import itertools
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from common.errors import InputError
from datasets.readers.competition import ANGLES, EXPRESSIONS, Competition
from datasets.twin import plan as planning
from datasets.twin.__main__ import OPTIONS, main
from datasets.twin.generate import generate, open_studio
from datasets.twin.reader import Twin
from datasets.twin.receipt import RECEIPT
from datasets.twin.sheet import MOST_BYTES, lay_out, make_sheet
from datasets.twin.shots import ACCESSORIES, LIGHTS, PLAIN, Shot, draw_shots, face_id, file_name
from datasets.twin.workers import Job, Order, take
from tests.flat_studio import ClosedStudio, DyingStudio, FlatStudio, FullDiskStudio

ROOT = Path(__file__).parents[1]
SMALL = {"identities": 10, "image_size": 16, "test_share": 0.3, "validate_share": 0.2, "validate_pairs": 90, "test_pairs": 180}


def small(out: Path, studio=FlatStudio, **settings) -> Path:
    return generate(out, **(SMALL | settings), studio=studio)


def contents(folder: Path) -> dict[str, str]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    return small(tmp_path_factory.mktemp("twin") / "whole")


# shots


def test_shots_cover_expressions_cameras_and_takes_once():
    shots = draw_shots(3, seed=5, takes=2)
    assert {(shot.expression, shot.camera, shot.take) for shot in shots} == set(itertools.product(EXPRESSIONS, ANGLES, (1, 2)))
    assert len(shots) == 54 and shots[:27] == draw_shots(3, seed=5) != draw_shots(4, seed=5) != draw_shots(4, seed=6)
    assert all(shot.session in {PLAIN, *ACCESSORIES} and shot.light in LIGHTS for shot in shots)


def test_sessions_and_lights_have_their_shares():
    shots = [shot for person in range(200) for shot in draw_shots(person, seed=0, plain_share=0.76)]
    sessions = Counter(shot.session for shot in shots)
    assert abs(sessions[PLAIN] / len(shots) - 0.76) < 0.02
    assert all(abs(sessions[accessory] / len(shots) - 0.06) < 0.012 for accessory in ACCESSORIES)
    lights = Counter(shot.light for shot in shots)
    assert len(lights) == 30 and all(abs(count / len(shots) - 1 / 30) < 0.01 for count in lights.values())
    assert {shot.session for shot in draw_shots(0, seed=0, plain_share=1)} == {PLAIN}
    assert PLAIN not in {shot.session for shot in draw_shots(0, seed=0, plain_share=0)}


def test_file_names_tell_the_conditions():
    assert file_name(12, Shot("S004", "L30", "E02", "C13", 3)) == "00012_S004_L30_E02_C13_3.jpg"
    with pytest.raises(InputError, match="plain_share is 1.5"):
        draw_shots(0, seed=0, plain_share=1.5)


# the set


def test_the_competition_reads_the_set(whole):
    reader = Competition(str(whole))
    train = reader.faces("train")
    assert len(train.identities) == 5 and train.table["face_id"].value_counts().tolist() == [27] * 5
    assert set(train.table["angle"]) == set(ANGLES) and set(train.table["expression"]) == set(EXPRESSIONS)
    people = {"train": set(train.identities)}
    for split, count in (("validate", 90), ("test", 180)):
        pairs = reader.pairs(split)
        owner = {name: name.split("_")[0] for name in pairs.file_names}
        rows = list(zip(pairs.table["first"], pairs.table["second"]))
        assert pairs.same.tolist() == [owner[first] == owner[second] for first, second in rows]
        assert len(pairs) == count and pairs.same.sum() == count // 2
        cameras = [tuple(sorted(name.split("_")[4] for name in row)) for row in rows]
        for same in (True, False):  # evenly over the 45 unordered pairs of cameras
            found = Counter(pair for pair, answer in zip(cameras, pairs.same) if answer == same)
            assert sorted(found.values()) == [count // 90] * 45
        people[split] = set(owner.values())
        assert {path.name for path in (whole / split).glob("*.jpg")} == set(pairs.file_names)
    assert {path.name for path in (whole / "train").glob("*.jpg")} == set(train.file_names)
    assert [len(part) for part in people.values()] == [5, 2, 3]
    assert set.union(*people.values()) == {face_id(person) for person in range(10)}


def test_a_photograph_shows_what_its_name_tells(whole):
    studio = FlatStudio(0, 16)
    paths = sorted(whole.rglob("*.jpg"))
    for path in paths[:: len(paths) // 20]:
        person, *conditions, take = path.stem.split("_")
        expected = studio.photograph(int(person), Shot(*conditions, int(take)))
        with Image.open(path) as image:
            assert image.format == "JPEG" and image.size == (16, 16)
            assert np.abs(np.asarray(image).astype(int) - expected).max() <= 6


def test_people_are_the_same_in_a_larger_population():
    few, many = (planning.Plan.of(planning.Settings(n, 0, 16, 1, 0.76, 0.2, 0.2, 90, 90, 80)) for n in (10, 30))
    names = {name for split in many.names.values() for name in split}
    trained = set(few.names["train"])
    everybody = {file_name(person, shot) for person in range(30) for shot in draw_shots(person, seed=0)}
    assert trained <= everybody and names <= everybody


def test_the_same_bytes_whatever_the_workers(whole, tmp_path):
    assert contents(small(tmp_path / "two", workers=2)) == contents(whole)
    assert contents(small(tmp_path / "other", seed=1)).keys() != contents(whole).keys()


def test_jobs_are_drawn_only_as_workers_become_free(tmp_path):
    drawn = []

    def jobs():
        for person in range(40):
            drawn.append(person)
            yield Job(person, draw_shots(person, seed=0)[:3], tmp_path)

    taken = take(jobs(), Order(FlatStudio, 0, 16, 80), workers=2)
    for photographs in range(1, 61):
        next(taken)
        assert len(drawn) <= photographs // 3 + 4
    taken.close()
    assert 60 <= len(list(tmp_path.glob("*.jpg"))) < 120


# restarts


class Interrupted(Exception):
    pass


class StoppingStudio(FlatStudio):
    """Stops after some photographs, and counts them."""

    taken, most = 0, 10**9

    def photograph(self, person, shot):
        if StoppingStudio.taken >= StoppingStudio.most:
            raise Interrupted
        StoppingStudio.taken += 1
        return super().photograph(person, shot)


@pytest.mark.parametrize("most", [1, 100, 135])
def test_a_restart_renders_only_what_is_missing(whole, tmp_path, monkeypatch, most):
    monkeypatch.setattr(StoppingStudio, "taken", 0)
    monkeypatch.setattr(StoppingStudio, "most", most)
    with pytest.raises(Interrupted):
        small(tmp_path / "set", StoppingStudio)
    assert not list(tmp_path.rglob("*.csv")) and (tmp_path / "set" / RECEIPT).is_file()
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.jpg")}
    assert len(before) == most
    (tmp_path / "set" / "train" / ".00001_S001.123.partial.jpg").touch()  # as write_whole leaves it when it is killed
    monkeypatch.setattr(StoppingStudio, "most", 10**9)
    small(tmp_path / "set", StoppingStudio)
    assert StoppingStudio.taken == len(list(whole.rglob("*.jpg")))
    assert contents(tmp_path / "set") == contents(whole)
    assert all(path.stat().st_mtime_ns == then for path, then in before.items())


def test_a_finished_set_is_left_alone_and_mended(whole, tmp_path, capsys, monkeypatch):
    out = small(tmp_path / "set")
    capsys.readouterr()
    assert small(out, ClosedStudio) == out
    assert "already holds this whole set; nothing is left to render" in capsys.readouterr().out
    monkeypatch.setattr("importlib.metadata.version", lambda name: "9.9")  # a whole set is whole with any packages
    assert small(out, ClosedStudio) == out
    next(out.rglob("*.jpg")).unlink()
    with pytest.raises(InputError, match=r"begun with other versions of the packages \(.*numpy was .*, is 9.9"):
        small(out)
    monkeypatch.undo()
    assert contents(small(out)) == contents(whole)


def start(out: Path, workers: int) -> subprocess.Popen:
    """Render in a process that heeds SIGINT, even where the tests run in a shell's background, whose children ignore it."""
    code = (
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler);"
        "from datasets.twin.generate import generate; from tests.flat_studio import SlowStudio;"
        f"generate({str(out)!r}, **{SMALL!r}, workers={workers}, studio=SlowStudio)"
    )
    command = [sys.executable, "-c", f"from common.errors import run_script\ndef story():\n  {code}\nrun_script(story, 'go on')"]
    return subprocess.Popen(command, cwd=ROOT, start_new_session=True, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL)


def wait_for(condition, seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.01)


def is_gone(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return True
    return False


@pytest.mark.parametrize(("blow", "whom"), [(signal.SIGKILL, "main"), (signal.SIGINT, "main"), (signal.SIGINT, "all")])
def test_whoever_is_killed_leaves_no_orphans_and_can_be_gone_on_with(whole, tmp_path, blow, whom):
    out = tmp_path / "set"
    process = start(out, workers=2)
    wait_for(lambda: len(list(out.rglob("[0-9]*.jpg"))) >= 20)  # whole ones: the name of a half-written one begins with a dot
    (os.killpg if whom == "all" else os.kill)(process.pid, blow)
    _, errors = process.communicate(timeout=30)
    wait_for(lambda: is_gone(process.pid))
    if blow == signal.SIGINT:
        assert process.returncode == 130 and b"Traceback" not in errors and errors.decode().endswith("stopped; go on\n")
    left = len(list(out.rglob("[0-9]*.jpg")))
    assert 20 <= left < len(list(whole.rglob("[0-9]*.jpg"))) and not list(out.rglob("*.csv"))
    with pytest.raises(InputError, match="is unfinished"):
        Twin(str(out))
    assert contents(small(out)) == contents(whole)


def test_two_do_not_render_into_one_folder(tmp_path):
    out = tmp_path / "set"
    process = start(out, workers=1)
    try:
        wait_for(lambda: len(list(out.rglob("[0-9]*.jpg"))) >= 3)
        with pytest.raises(InputError, match="another process is rendering into"):
            small(out)
    finally:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("workers", [1, 2])
def test_faults_of_a_studio_reach_the_user(tmp_path, workers):
    with pytest.raises(InputError, match="^the studio is closed$"):
        small(tmp_path / "closed", ClosedStudio, workers=workers)
    assert contents(tmp_path / "closed").keys() == {RECEIPT}
    small(tmp_path / "closed", workers=workers, seed=3)  # nothing was rendered yet, so other settings are welcome
    with pytest.raises(OSError, match="No space left"):
        small(tmp_path / "full", FullDiskStudio, workers=workers)


def test_a_worker_that_dies_is_told_of(whole, tmp_path):
    with pytest.raises(InputError, match=r"a rendering process ended with code -9 .*the same command goes on"):
        small(tmp_path / "set", DyingStudio, workers=2)
    assert contents(small(tmp_path / "set", workers=2)) == contents(whole)


# refusals


def test_folders_that_hold_something_else_are_refused(whole, tmp_path):
    full = tmp_path / "full"
    full.mkdir()
    (full / "precious").touch()
    other = small(tmp_path / "other")
    before = contents(tmp_path)
    for out, settings, message in [
        (full, {}, f"is not empty and has no {RECEIPT} in it"),
        (full / "precious", {}, "is a file"),
        (other, {"seed": 1, "quality": 70}, r"holds a set of other settings \(seed was 0, is 1, quality was 83, is 70\)"),
    ]:
        with pytest.raises(InputError, match=message):
            small(out, **settings)
    assert contents(tmp_path) == before
    for receipt in ("", "[]", "{}", '{"settings": 1, "packages": {}}'):
        (other / RECEIPT).write_text(receipt)
        with pytest.raises(InputError, match=f"{RECEIPT}' is not the receipt of a set"):
            small(other)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"identities": 0}, "identities is 0; it should be 1 to 100,000"),
        ({"identities": 5}, "5 people cannot be split"),
        ({"image_size": 8}, "image_size is 8; it should be 16 to 2,048"),
        ({"takes": 0}, "takes is 0"),
        ({"takes": 10**9}, "and takes 1,000,000,000 make"),
        ({"identities": 100_000, "takes": 2}, "make 5,400,000 photographs; at most 5,000,000 can be planned"),
        ({"test_pairs": 10**12}, "pairs is 1,000,000,000,000; it should be 2 or more"),
        ({"quality": 96}, "quality is 96; it should be 1 to 95"),
        ({"plain_share": -0.1}, "plain_share is -0.1"),
        ({"validate_share": 0.0}, "validate_share is 0.0 and test_share 0.3"),
        ({"test_share": float("nan")}, "test_share is nan"),
        ({"test_pairs": 1}, "pairs is 1"),
        ({"seed": -1}, "the seed is -1"),
        ({"workers": 0}, "workers is 0"),
    ],
)
def test_wrong_settings_are_refused_before_anything_is_written(tmp_path, wrong, message):
    with pytest.raises(InputError, match=re.escape(message)):
        small(tmp_path / "set", **wrong)
    assert not (tmp_path / "set").exists()


def test_the_command_line(tmp_path, capsys, monkeypatch):
    given = {}

    @functools.wraps(generate)
    def note(**options):
        given.update(options)
        return Path(options["out"])

    monkeypatch.setattr("datasets.twin.__main__.generate", note)
    main(["--out", "x", "--identities", "1000", "--plain_share", "0.5"])
    assert given["identities"] == 1000 and given["plain_share"] == 0.5 and given["takes"] == 1
    assert given.keys() == {"out", *OPTIONS}
    assert "--data.reader twin --data.root x" in capsys.readouterr().out


def test_the_command_ends_with_one_line_and_code_2(tmp_path):
    (tmp_path / "precious").touch()
    for options in (["--out", str(tmp_path)], ["--out", str(tmp_path / "new"), "--identities", "3"]):
        done = subprocess.run([sys.executable, "-m", "datasets.twin", *options], cwd=ROOT, capture_output=True, text=True)
        assert done.returncode == 2 and done.stderr.strip().startswith("twin: ")
        assert len(done.stderr.strip().splitlines()) == 1
    with pytest.raises(SystemExit) as stopped:
        main(["--out", "x", "--identities", "many"])
    assert stopped.value.code == 2


def test_absent_packages_are_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "datasets.twin.studio", None)
    with pytest.raises(ImportError):  # a fault of this program stays a traceback
        open_studio(0, 16)
    monkeypatch.delitem(sys.modules, "datasets.twin.studio")
    for name in [name for name in sys.modules if name.startswith("datasets.twin.render")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "anny", None)
    monkeypatch.setitem(sys.modules, "warp", None)
    with pytest.raises(InputError, match="pip install -r requirements-twin.txt"):
        open_studio(0, 16)


def test_the_receipt_is_readable(whole):
    receipt = json.loads((whole / RECEIPT).read_text())
    assert receipt["settings"] == SMALL | {"seed": 0, "takes": 1, "plain_share": 0.76, "quality": 83}
    assert receipt["packages"]["numpy"] == np.__version__


# the contact sheet


@pytest.mark.parametrize("suffix", ["png", "jpg"])
def test_the_sheet_is_a_small_picture(tmp_path, suffix):
    out = make_sheet(tmp_path / f"sheet.{suffix}", people=2, seed=1, image_size=32, studio=FlatStudio)
    with Image.open(out) as image:
        assert image.width > 9 * 32 and image.height > 6 * 32
    assert out.stat().st_size <= MOST_BYTES


def test_the_sheet_shows_every_photograph_where_it_belongs():
    photographs = np.random.default_rng(0).integers(0, 256, (2, 3, 9, 16, 16, 3), dtype=np.uint8)
    sheet = np.asarray(lay_out(photographs))
    windows = np.lib.stride_tricks.sliding_window_view(sheet, (16, 16, 3)).reshape(*np.array(sheet.shape[:2]) - 15, -1)
    corners = np.array([np.argwhere((windows == one.ravel()).all(axis=-1))[0] for one in photographs.reshape(-1, 16, 16, 3)])
    corners = corners.reshape(2, 3, 9, 2)
    assert (np.diff(corners[..., 1], axis=2) == 18).all() and (np.diff(corners[..., 0], axis=1) == 18).all()
    assert (np.diff(corners[..., 0], axis=0) == 3 * 18 - 2 + 12).all()


def test_the_sheet_refuses(tmp_path):
    with pytest.raises(InputError, match="should end in one of .png"):
        make_sheet(tmp_path / "sheet.gif", studio=FlatStudio)
    with pytest.raises(InputError, match="people is 0"):
        make_sheet(tmp_path / "sheet.png", people=0, studio=FlatStudio)
