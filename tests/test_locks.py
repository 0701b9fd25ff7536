"""Two processes never train the same run, and a lock ends with its process."""

import fcntl
import os
import signal
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest

import run as solution
import train
from common.errors import InputError
from common.files import claimed, locked
from tests.short_run import carry_out, files, short_config, without_data
from training.locks import reserved_runs

ROOT = Path(__file__).parent.parent
HOLD = """
import os, sys
from pathlib import Path
from common.files import claimed
path = Path(sys.argv[1])
path.parent.mkdir(parents=True, exist_ok=True)
with claimed(path):
    worker = "fork" in sys.argv and os.fork() == 0  # one that outlives its parent
    if worker or "fork" not in sys.argv:  # the worker says so, once it has let go of its copy of the lock
        print("held", flush=True)
    sys.stdin.read()
    if worker:
        os._exit(0)
"""


@contextmanager
def other_process(lock: Path, *options: str):
    """A process that holds a lock."""
    command = [sys.executable, "-c", HOLD, str(lock), *options]
    process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout.readline() == "held\n"
        yield process
    finally:
        process.stdin.close()
        process.wait()
        process.stdout.close()


def lock_of(results: Path, name: str) -> Path:
    return results / "train" / "weights" / f".{name}.lock"


def test_a_run_is_for_one_process(tmp_path):
    config = short_config(tmp_path)
    partial = tmp_path / "train" / "weights" / ".short.unfinished.1.partial.pt"
    with other_process(lock_of(tmp_path, "short")) as holder:
        partial.touch()  # its own
        with pytest.raises(InputError, match="another process is training 'short' in '.*'; wait for its end, or choose"):
            carry_out(config)
        assert partial.exists()
        carry_out(short_config(tmp_path, name="other"))  # other runs are free
        holder.send_signal(signal.SIGKILL)
        holder.wait()
        carry_out(config)
    assert not partial.exists()
    left = {name for name in files(tmp_path) if "other" not in name}
    assert left == {"train/weights/short.pt", "train/weights/short.json", "train/logs/short.jsonl"}


def test_every_stage_says_so_before_it_reads_a_photograph(tmp_path):
    """The folder of photographs does not even exist."""
    config = short_config(tmp_path, data={"reader": "folder", "root": "/nowhere"})
    with other_process(lock_of(tmp_path, "short")):
        with pytest.raises(InputError, match="another process is training 'short'"):
            train.train(config)
    with other_process(lock_of(tmp_path, "short-pretext")), pytest.raises(InputError, match="training 'short-pretext'"):
        solution.train_pretext(config)


def test_a_whole_run_holds_both_stages_from_its_beginning(tmp_path, monkeypatch):
    without_data(monkeypatch, solution)
    config = short_config(tmp_path)
    for name in ("short", "short-pretext"):
        with other_process(lock_of(tmp_path, name)), pytest.raises(InputError, match=f"another process is training '{name}'"):
            solution.run(config)
    held = []

    def look(config):
        held.extend(path.name for path in lock_of(tmp_path, "short").parent.iterdir())
        return tmp_path

    for stage in ("train_pretext", "train", "evaluate"):
        monkeypatch.setattr(solution, stage, look)
    solution.run(config)
    assert sorted(held) == 3 * [".short-pretext.lock"] + 3 * [".short.lock"]


def test_a_lock_ends_with_the_body_however_it_ends_and_leaves_nothing(tmp_path):
    config = short_config(tmp_path / "new" / "results")
    for _ in range(2):
        with pytest.raises(RuntimeError), reserved_runs(config, "pretext", "train"):
            with reserved_runs(config, "train"):  # of the same process
                pass
            assert lock_of(tmp_path / "new" / "results", "short").exists()
            raise RuntimeError
        assert not list(tmp_path.iterdir())


def test_workers_do_not_keep_the_lock_of_a_killed_process(tmp_path):
    path = tmp_path / "a.lock"
    with other_process(path, "fork") as holder:
        with pytest.raises(BlockingIOError) as error, claimed(path):
            pass
        assert error.value.filename == str(path)
        holder.send_signal(signal.SIGKILL)
        holder.wait()
        with claimed(path):  # while the forked process still waits for the end of its input
            pass


def test_a_lock_whose_file_was_just_removed_is_taken_anew(tmp_path, monkeypatch):
    """Between opening the file and locking it whoever held it may have removed it."""
    path = tmp_path / "a.lock"
    lock, removed = fcntl.flock, []

    def remove_first(handle, how):
        lock(handle, how)
        if not removed:
            path.unlink()
            removed.append(path)

    monkeypatch.setattr(fcntl, "flock", remove_first)
    with claimed(path):
        assert os.path.exists(path)
        monkeypatch.undo()
        with pytest.raises(BlockingIOError), locked(path, wait=False):
            pass
    assert removed and not path.exists()
