"""What all commands share: how they start, and how they end with a mistake."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

import evaluate
import train
from common.cli import read_arguments
from common.errors import run_script
from tests.started import start

ROOT = Path(__file__).parent.parent
COMMANDS = {
    "verification.compare": ["/nowhere.json"],
    "verification.curves": ["/nowhere.jsonl", "--out=x.png"],
    "verification.identify": ["--model_weight=/nowhere.pt"],
    "verification.templates": ["--model_weight=/nowhere.pt"],
    "datasets.detect": ["--root=/nowhere"],
    "datasets.twin.sample": ["/nowhere"],
    "datasets.twin.sheet": ["--out=x.txt"],
    "datasets.twin.measure": ["--out=x.txt"],
    "datasets.readers.kface": ["--root=/nowhere", "--out=/nowhere/out"],
    "datasets.readers.insightface_bin": ["/nowhere.bin", "--out=/nowhere/out"],
    "benchmarks.leaderboard.budget": ["/nowhere.yaml"],
    "benchmarks.masked": ["--config=/nowhere.yaml"],
    "benchmarks.resources": ["score", "0"],
    "docs.check": ["/nowhere.md"],
    "examples.own_photographs": ["--root=/nowhere"],
}


def run(*words: str, **environment: str) -> subprocess.CompletedProcess:
    environment = {**os.environ, **environment}
    return subprocess.run([sys.executable, *words], cwd=ROOT, env=environment, capture_output=True, timeout=120)


@pytest.mark.parametrize("module", COMMANDS)
def test_a_mistake_is_one_sentence_without_warnings(module):
    done = run("-m", module, *COMMANDS[module])
    assert done.returncode == 2 and len(done.stderr.decode().strip().splitlines()) == 1, done.stderr.decode()
    assert b"Traceback" not in done.stderr and b"Warning" not in done.stderr and not done.stdout


def test_every_command_is_known_here():
    """Each file that can be started goes through run_script."""
    ours = [path for path in ROOT.rglob("*.py") if not any(part.startswith(".") for part in path.relative_to(ROOT).parts)]
    started = [path for path in ours if path.parent.name != "tests"]
    started = [path for path in started if '__name__ == "__main__"' in path.read_text(encoding="utf-8")]
    assert started
    for path in started:
        last = path.read_text(encoding="utf-8").partition('if __name__ == "__main__":\n')[2]
        assert last.startswith("    run_script(main"), path
    modules = {path.relative_to(ROOT).with_suffix("").as_posix().replace("/", ".").removesuffix(".__main__") for path in started}
    assert {name for name in modules if "." in name} == {*COMMANDS, "datasets.twin"}


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_a_korean_path_is_escaped_where_the_output_cannot_write_it(tmp_path, encoding):
    figures = tmp_path / "얼굴_metrics.json"
    figures.write_text('{"accuracy": 0.5}')
    done = run("-m", "verification.compare", str(figures), PYTHONIOENCODING=encoding)
    assert done.returncode == 0 and b"| \\uc5bc\\uad74 | 50.00% |" in done.stdout
    done = run("-m", "verification.compare", str(tmp_path / "없음.json"), PYTHONIOENCODING=encoding)
    assert done.returncode == 2 and b"\\uc5c6\\uc74c.json" in done.stderr and b"Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), "No space left on device; make room where the results"),
        (OSError(errno.ENOSPC, "No space left on device", "x.csv"), "No space left on device: x.csv"),
        (OSError(errno.EIO, "Input/output error"), "Input/output error; the system does not say which file"),
        (OSError("odd"), "odd; the system does not say which file"),
        (OSError(), "OSError; the system does not say which file"),
        (OSError(errno.EACCES, "Permission denied", "a\nb"), r"Permission denied: 'a\nb'"),
    ],
)
def test_what_the_system_refuses_is_told(capsys, error, message):
    def story():
        raise error

    with pytest.raises(SystemExit) as stop:
        run_script(story)
    assert stop.value.code == 2 and message in capsys.readouterr().err


def test_the_help_shows_only_what_there_is(capsys):
    for script, options in ((evaluate, {"resume": False, "overwrite": True}), (train, {"resume": True, "overwrite": True})):
        with pytest.raises(SystemExit):
            read_arguments("x", script.SHORT, ["--help"], without=script.WITHOUT)
        shown = capsys.readouterr().out
        assert {option: f"--{option} [true|false]" in shown for option in options} == options


LOADED = """
import sys
import torch
import run
from common.devices import compute_deterministically

compute_deterministically(1)
assert torch.are_deterministic_algorithms_enabled() and not torch.is_deterministic_algorithms_warn_only_enabled()
print(sorted({"torch._dynamo", "torch._inductor", "sympy", "sklearn", "matplotlib", "onnx", "onnxruntime"} & set(sys.modules)))
"""


def test_a_start_loads_nothing_that_only_some_work_needs(tmp_path):
    """The compiler of the tensor library, for one, takes seconds, and nothing here compiles."""
    (tmp_path / "loaded.py").write_text(LOADED)
    assert start(str(tmp_path / "loaded.py"), [], tmp_path / "said").ended() == (0, "[]\n")


STARTED = """
import os, runpy, sys

class Gate:
    def find_spec(self, name, *_):
        if name == "torch":
            sys.exit(0 if os.environ.get("OMP_WAIT_POLICY") == "PASSIVE" else 3)

sys.meta_path.insert(0, Gate())
sys.argv = sys.argv[1:]
(runpy.run_path if sys.argv[0].endswith(".py") else runpy.run_module)(sys.argv[0], run_name="__main__")
"""


NEEDED = {"benchmarks.resources": ["score", "10"], "leaderboard.py": ["configs/leaderboard/smoke.yaml", "--steps=train"]}


@pytest.mark.parametrize("command", ["train.py", "evaluate.py", "benchmark.py", *NEEDED])
def test_waiting_threads_sleep_wherever_the_tensor_library_is_loaded_first(command):
    """Spinning ones make two threads ten times slower than one beside a busy process."""
    environment = {name: value for name, value in os.environ.items() if name != "OMP_WAIT_POLICY"}
    words = [sys.executable, "-c", STARTED, command, *NEEDED.get(command, [])]
    done = subprocess.run(words, cwd=ROOT, env=environment, capture_output=True, timeout=120)
    assert done.returncode == 0, done.stderr.decode()
