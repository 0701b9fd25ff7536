"""What takes a process of its own, so that its peak memory is its own: long lists, and the memory of training.

python -m benchmarks.resources JOB SIZE prints one JSON line: seconds, MiB before and MiB at the peak.
"""

import argparse
import atexit
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.timing import Section
from common.errors import InputError, run_script

ROOT = Path(__file__).parent.parent
EMBEDDED, DIMENSIONS = 7_000, 512

Job = Callable[[int], Callable[[], Any]]  # size -> what is measured, when all it needs is there


def score_list(size: int) -> Callable[[], Any]:
    """Scores of `size` pairs of 7,000 embedded photographs."""
    from datasets.manifest import Pairs
    from verification.scores import score_pairs

    random = np.random.default_rng(0)
    names = [f"{number}.jpg" for number in range(EMBEDDED)]
    vectors = random.normal(size=(EMBEDDED, DIMENSIONS)).astype(np.float32)
    first, second = (np.array(names, dtype=object)[random.integers(EMBEDDED, size=size)] for _ in range(2))
    pairs = Pairs.of(first, second, [None] * size, ROOT)
    return lambda: score_pairs(vectors, names, pairs, "cosine")


def read_list(size: int) -> Callable[[], Any]:
    """A competition of `size` training photographs, read and split into people who train and people who validate."""
    from datasets.pairs.split import split_identities
    from datasets.readers.competition import Competition

    folder = tempfile.TemporaryDirectory()
    atexit.register(folder.cleanup)  # removing a million files takes longer than reading about them
    train = Path(folder.name) / "train"
    train.mkdir()
    names = [f"p_E0{1 + row % 3}_C7_{row}.jpg" for row in range(size)]
    for name in names:
        (train / name).touch()
    rows = [f"{row // 20},{name}" for row, name in enumerate(names)]
    (train / "train_meta.csv").write_text("\n".join(["face_id,file_name", *rows]))

    def read() -> None:
        faces = Competition(folder.name).faces("train")
        parts = split_identities(faces.identities, {"validate": 0.1}, seed=0)
        for people in parts.values():
            faces.of_identities(people)

    return read


def train_ours(size: int) -> Callable[[], Any]:
    """Three training steps of batch `size` at 112 pixels."""
    return _train("ours", size)


def train_reference(size: int) -> Callable[[], Any]:
    """The same as the reference does it."""
    return _train("reference", size)


def _train(name: str, size: int) -> Callable[[], Any]:
    from benchmarks.training import reading

    return reading(name, 112, size // 16, batches=3)


JOBS: dict[str, Job] = {"score": score_list, "read": read_list, "train-ours": train_ours, "train-reference": train_reference}


def measure(job: str, size: int) -> dict[str, float]:
    """Run a job in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.resources", job, str(size)]
    output = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    return json.loads(output.splitlines()[-1])


def resources_section(pairs: int, rows: int, batch: int) -> Section:
    """Long lists and memory."""
    titles = {
        f"{pairs:,} pairs of {EMBEDDED:,} embedded photographs scored": measure("score", pairs),
        f"manifest of {rows:,} photographs read and split": measure("read", rows),
        f"3 training steps, 112 pixels, batch {batch}, ours": measure("train-ours", batch),
        f"3 training steps, 112 pixels, batch {batch}, reference": measure("train-reference", batch),
    }
    table = [{"what": title, **figures} for title, figures in titles.items()]
    what = "Each in a process of its own. 'MiB before': resident when all that the work needs was there; 'MiB at peak': the most."
    return Section("Long lists and memory", what, table)


def _peak() -> float:
    """MiB. On Linux from /proc, as getrusage there starts with the peak of the process that started this one."""
    status = Path("/proc/self/status")
    if status.exists():
        return next(int(line.split()[1]) / 2**10 for line in status.read_text().splitlines() if line.startswith("VmHWM"))
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.resources", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("job", metavar="JOB", choices=JOBS, help=f"of: {', '.join(JOBS)}")
    parser.add_argument("size", metavar="SIZE", type=int, help="pairs, photographs or images of a batch")
    options = parser.parse_args()
    least = 32 if options.job.startswith("train") else 1
    if options.size < least:
        raise InputError(f"SIZE is {options.size}; it should be at least {least}")
    run = JOBS[options.job](options.size)
    before, start = _peak(), time.perf_counter()
    run()
    figures = {"seconds": time.perf_counter() - start, "MiB before": before, "MiB at peak": _peak()}
    print(json.dumps(figures))


if __name__ == "__main__":
    run_script(main)
