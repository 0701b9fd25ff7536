"""The code in README.md and docs/: every fenced block says in its first line how it is checked.

    ```bash run        carried out by the test suite, within seconds
    ```bash slow       carried out by `make docs-check`; the test suite checks its options
    ```bash options    carried out by nobody, since it takes hours or data that are not here; the suite checks its options
    ```python run      carried out by the test suite: the blocks of a page are one program
    ```yaml settings   read as settings on top of the defaults
    ```yaml leaderboard   read as the file that leaderboard.py takes
    ```text            files, figures and pictures: nothing to check

`needs=PATH` behind it: carried out only where PATH is. Options are checked by the scripts' own parsers, and the settings as
training checks them before it starts. `python -m docs.check` carries out all blocks marked run or slow, page by page.
"""

import argparse
import contextlib
import io
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import combinations
from pathlib import Path
from unittest import mock

import numpy as np
from PIL import Image

from common.errors import InputError, listing, run_script
from datasets import READERS
from datasets.batches.augment import STEPS
from docs.commands import start
from docs.pages import PAGES, ROOT, Faulty, blocks
from losses import LOSSES
from models.backbones import BACKBONES
from models.heads import HEADS
from recipes import PRETEXT_RECIPES, TRAIN_RECIPES

REGISTRIES = (LOSSES, BACKBONES, HEADS, STEPS, READERS, PRETEXT_RECIPES, TRAIN_RECIPES)
PEOPLE = ("anna", "bert", "carla", "daniel", "emma", "felix", "greta", "hugo", "ida", "jakob")


def stage(folder: Path) -> Path:
    """Make `folder` look like the repository in which some things were done before: a folder of people's photographs
    (patterns, in fact) in faces/, a list of two pairs in pairs.csv, one of all pairs with answers in answered.csv, and the
    weights of a tiny network, trained in seconds, in results/train/weights/twin.pt. Return `folder`."""
    tracked = subprocess.run(["git", "-C", ROOT, "ls-files", "-z"], capture_output=True, text=True, check=True).stdout
    for name in {path.split("/")[0] for path in tracked.split("\0") if path} - {"results", "data"}:
        if (ROOT / name).exists():
            (folder / name).symlink_to(ROOT / name)
    shutil.copytree(ROOT / "results", folder / "results", ignore=shutil.ignore_patterns("*.pt", "*.onnx", "*.snapshot"))
    (folder / "data").mkdir()
    for data in (ROOT / "data", ROOT.parent / "shared" / "data"):
        for path in data.iterdir() if data.is_dir() else ():
            if not (folder / "data" / path.name).exists():
                (folder / "data" / path.name).symlink_to(path)
    draw_faces(folder / "faces")
    names = sorted(path.relative_to(folder / "faces").as_posix() for path in (folder / "faces").rglob("*.jpg"))
    rows = [f"{one},{other},{int(one.split('/')[0] == other.split('/')[0])}\n" for one, other in combinations(names, 2)]
    (folder / "answered.csv").write_text("image1,image2,same\n" + "".join(rows), encoding="utf-8")
    (folder / "pairs.csv").write_text("image1,image2\nanna/1.jpg,anna/2.jpg\nanna/1.jpg,bert/1.jpg\n", encoding="utf-8")
    options = {
        "name": "twin",
        "threads": 1,
        "data.reader": "folder",
        "data.root": "faces",
        "model.backbone": "small",
        "model.embedding_size": 32,
        "model.image_size": 32,
        "train.recipe": "{name: metric, steps: 4}",
        "train.epochs": 2,
        "train.save_every": 2,
    }
    with contextlib.chdir(folder), contextlib.redirect_stdout(io.StringIO()):
        start("train", [f"--{name}={value}" for name, value in options.items()])
    return folder


def draw_faces(folder: Path, photographs: int = 4, side: int = 48) -> None:
    """folder/<person>/<number>.jpg: a random pattern for each person, shifted and noisy in each photograph."""
    random = np.random.default_rng(0)
    for person in PEOPLE:
        (folder / person).mkdir(parents=True)
        pattern = np.kron(random.uniform(0, 255, size=(5, 5, 3)), np.ones((side // 4, side // 4, 1)))
        for number in range(1, photographs + 1):
            y, x = random.integers(8, size=2)
            pixels = pattern[y : y + side, x : x + side] + random.normal(0, 10, size=(side, side, 3))
            Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(folder / person / f"{number}.jpg", quality=90)


Runner = Callable[[str, Path], None]
"""Carries out the code of a shell block in a folder. Raises Faulty."""


def with_bash(code: str, folder: Path) -> None:
    """Carry out a shell block as a user would, with this interpreter as `python`. Raises Faulty."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    environment = {**os.environ, "PATH": path, "PYTHONPATH": str(ROOT)}
    program = ["bash", "-euo", "pipefail", "-c", code]
    done = subprocess.run(program, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode:
        raise Faulty(f"ended with {done.returncode}: {code.strip()}\n{done.stdout[-3000:]}")


def without_starting(code: str, folder: Path) -> None:
    """The same in seconds: Python programs run within this process, which has loaded the libraries. Raises Faulty."""
    for line in code.replace("\\\n", " ").splitlines():
        words = shlex.split(line, comments=True)
        if words[:1] != ["python"]:
            with_bash(line, folder)
            continue
        module = words[2] if words[1] == "-m" else words[1].removesuffix(".py").replace("/", ".")
        said = io.StringIO()
        try:
            with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said), contextlib.chdir(folder):
                start(module, words[3 if words[1] == "-m" else 2 :])
        except (InputError, SystemExit) as error:
            raise Faulty(f"ended with {error}: {line.strip()}\n{said.getvalue()[-3000:]}") from error


def carry_out_python(page: Path, folder: Path) -> None:
    """Carry out the Python blocks of a page as one program, whose lines have the numbers that they have on the page."""
    lines: list[str] = []
    for block in blocks(page):
        if block.language == "python":
            lines += [""] * (block.line - 1 - len(lines)) + block.code.splitlines()
    program = compile("\n".join(lines), str(page), "exec")
    with contextlib.ExitStack() as stack:
        for registry in REGISTRIES:  # what the page adds to them goes with it
            stack.enter_context(mock.patch.dict(registry))
        stack.enter_context(contextlib.chdir(folder))
        stack.enter_context(contextlib.redirect_stdout(io.StringIO()))
        exec(program, {"__name__": page.stem})


def carry_out_page(page: Path, folder: Path, classes: Sequence[str], runner: Runner) -> Iterator[str]:
    """Carry out the shell blocks of these classes, then the Python blocks; yield what was done, or skipped. Raises Faulty."""
    for block in blocks(page):
        if block.language != "bash" or block.checked not in classes:
            continue
        if block.needs and not (folder / block.needs).exists():
            yield f"{block.place}: SKIPPED, there is no {block.needs}"
            continue
        started = time.monotonic()
        try:
            runner(block.code, folder)
        except Faulty as error:
            raise Faulty(f"{block.place} {error}") from error
        yield f"{block.place}: {time.monotonic() - started:.0f} s"
    carry_out_python(page, folder)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pages", nargs="*", type=lambda name: Path(name).resolve(), default=PAGES, help="default: all pages")
    pages = parser.parse_args().pages
    absent = [str(page) for page in pages if not page.is_file()]
    if absent:
        raise InputError(f"there is no page {listing(absent)}; pages are {listing(PAGES, most=99)}")
    failed = 0
    for page in pages:
        with tempfile.TemporaryDirectory() as folder:
            try:
                for line in carry_out_page(page, stage(Path(folder)), ("run", "slow"), with_bash):
                    print(line, flush=True)
            except Exception as error:  # the other pages are tried all the same
                failed += 1
                print(f"FAILED {page.name}: {error}", flush=True)
    if failed:
        sys.exit(f"{failed} pages failed")


if __name__ == "__main__":
    run_script(main, go_on="the same command starts anew")
