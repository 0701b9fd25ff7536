"""The code in README.md and docs/: every fenced block says in its first line how it is checked.

    ```bash run        carried out by the test suite, within seconds
    ```bash slow       carried out by `make docs-check`; the test suite checks its options
    ```bash options    carried out by nobody, since it takes hours or data that are not here; the suite checks its options
    ```python run      carried out by the test suite: the blocks of a page are one program
    ```yaml settings   read as settings on top of the defaults
    ```yaml leaderboard  read as the file that leaderboard.py takes
    ```text            files, figures and pictures: nothing to check

`needs=PATH` behind it: carried out only where PATH is. Options are checked by the scripts' own parsers, and the settings as
training checks them before it starts. `python -m docs.check` carries out all blocks marked run or slow, page by page.
"""

import argparse
import contextlib
import functools
import io
import json
import os
import re
import runpy
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple, NoReturn
from unittest import mock

import numpy as np
from PIL import Image

import common.cli
import common.errors
from benchmarks.leaderboard.budget import stages
from benchmarks.leaderboard.experiment import read_experiment
from common.config import Config, experiment, make_config, merge, read_config
from common.errors import InputError, listing, run_script
from common.plain import load_yaml
from datasets import READERS
from datasets.batches.augment import STEPS
from datasets.manifest import Manifest
from leaderboard import selected
from losses import LOSSES
from models.backbones import BACKBONES
from models.heads import HEADS
from recipes import PRETEXT_RECIPES, TRAIN_RECIPES
from training.checks import check_settings

ROOT = Path(__file__).resolve().parent.parent
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "results" / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
CLASSES = {
    ("bash", "run"),
    ("bash", "slow"),
    ("bash", "options"),
    ("python", "run"),
    ("yaml", "settings"),
    ("yaml", "leaderboard"),
}
CLASSES |= {("text", "")}
PLAIN_TOOLS = {"cat", "cd", "cp", "echo", "git", "head", "ls", "mkdir", "mv", "printf", "rm"}
REGISTRIES = (LOSSES, BACKBONES, HEADS, STEPS, READERS, PRETEXT_RECIPES, TRAIN_RECIPES)
TRAINING = {"run": ("pretext", "train"), "train": ("train",), "train_pretext": ("pretext",)}  # scripts and their stages
PEOPLE = ("anna", "bert", "carla", "daniel", "emma", "felix", "greta", "hugo", "ida", "jakob")


class Block(NamedTuple):
    """A fenced block: the page, the number of its first line of code, language, class, the path it needs, its code."""

    page: Path
    line: int
    language: str
    checked: str
    needs: str
    code: str

    @property
    def place(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"


class Faulty(Exception):
    """A block, command or link of the documentation that is wrong."""


def blocks(page: Path) -> list[Block]:
    """The fenced blocks of a page in order. Raises Faulty for a block without a class and for code without a fence."""
    found: list[Block] = []
    start, words, lines = 0, [""], [""]  # of the block that is open: its first line (0: none is open), its class, its code
    for number, line in enumerate(page.read_text(encoding="utf-8").splitlines(), 1):
        fence = re.fullmatch(r"```(.*)", line)
        if fence and not start:
            start, words, lines = number + 1, fence[1].split(), []
        elif fence:
            needs = "".join(word.removeprefix("needs=") for word in words if word.startswith("needs="))
            language, checked = [*[word for word in words if not word.startswith("needs=")], "", ""][:2]
            block = Block(page, start, language, checked, needs, "\n".join(lines) + "\n")
            if (language, checked) not in CLASSES:
                raise Faulty(f"{block.place}: a block of class {language!r} {checked!r}; docs/check.py lists the classes")
            found.append(block)
            start = 0
        elif start:
            lines.append(line)
        elif re.match(r"\s+(python|pip|make|torchrun)\s", line):
            raise Faulty(f"{page.relative_to(ROOT)}:{number}: a command that stands in no fenced block")
    if start:
        raise Faulty(f"{page.relative_to(ROOT)}: a fenced block is not closed")
    return found


def prose(page: Path) -> str:
    """The text of a page without its fenced blocks."""
    return re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)


def inline_commands(page: Path) -> list[str]:
    """Code in the running text that is a command or an option with a section, such as `--data.workers=2`."""
    spans = re.findall(r"`([^`\n]+)`", prose(page))
    return [
        span for span in spans if span.startswith(("python ", "make ", "torchrun ")) or re.match(r"--[a-z_]+\.[a-z_.]+", span)
    ]


def check_links(page: Path) -> None:
    """Raise Faulty for a link or a picture that leads to no file and to no heading of this repository."""
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(page)):
        path, _, heading = target.partition("#")
        if path.startswith(("http:", "https:")):
            continue
        file = page.parent / path if path else page
        if not file.exists():
            raise Faulty(f"{page.relative_to(ROOT)} links to {target}, which does not exist")
        if heading and heading not in headings(file):
            raise Faulty(f"{page.relative_to(ROOT)} links to {target}, and no heading there is called so")


def headings(page: Path) -> set[str]:
    """The names by which a page's headings can be linked to."""
    titles = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


# Options


def check_options(code: str, place: str) -> None:
    """Check every command of a shell block without carrying it out. Raises Faulty."""
    for line in code.replace("\\\n", " ").splitlines():
        words: list[str] = []
        for word in [*shlex.split(line, comments=True), "&&"]:
            if word not in ("&&", "|"):
                words.append(word)
            elif words:
                try:
                    check_command(words)
                except (Faulty, InputError) as error:
                    raise Faulty(f"{place}: {shlex.join(words)}: {error}") from error
                words = []


def check_command(words: Sequence[str]) -> None:
    """Check one command: its program, and the options with the program's own parser. Raises Faulty or InputError."""
    words = list(words)
    while re.match(r"[A-Z_]+=", words[0]):
        words.pop(0)
    program, arguments = words[0], words[1:]
    if program in PLAIN_TOOLS:
        return
    if program == "make":
        targets = re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), flags=re.MULTILINE)
        absent = [target for target in arguments if target not in targets]
    elif program == "pip":
        absent = [name for flag, name in zip(arguments, arguments[1:]) if flag == "-r" and not (ROOT / name).is_file()]
    elif program == "torchrun":
        script = next(place for place, word in enumerate(arguments) if word.endswith(".py"))
        return check_script(arguments[script].removesuffix(".py"), arguments[script + 1 :])
    elif program == "python" and arguments[0] == "-m":
        return check_script(arguments[1], arguments[2:])
    elif program == "python" and arguments[0].endswith(".py"):
        return check_script(arguments[0].removesuffix(".py").replace("/", "."), arguments[1:])
    else:
        raise Faulty("no program that docs/check.py knows how to check")
    if absent:
        raise Faulty(f"there is no {', '.join(absent)}")


class Parsed(BaseException):
    """Raised in place of going on with what the command line asks for; no handler of faults catches it."""

    def __init__(self, arguments: object):
        super().__init__("parsed")
        self.arguments = arguments


def check_program(module: str) -> None:
    """Raise Faulty if there is no such script or module to run."""
    place = ROOT / module.replace(".", "/")
    if not place.with_suffix(".py").is_file() and not (place / "__main__.py").is_file():
        raise Faulty(f"there is no {module}")


def check_script(module: str, arguments: Sequence[str], thoroughly: bool = True) -> None:
    """Let a script parse `arguments` and stop it there; `thoroughly`, check the settings that they make. Raises Faulty or
    InputError."""
    check_program(module)
    parsers: dict[str, Callable[..., Any]] = {
        "read_arguments": common.cli.read_arguments,
        "parse_args": argparse.ArgumentParser.parse_args,
    }

    def stop(name: str) -> Callable[..., NoReturn]:
        def parse(*given: Any, **named: Any) -> NoReturn:
            raise Parsed(parsers[name](*given, **named))

        return parse

    said = io.StringIO()
    try:
        with (
            mock.patch.object(common.cli, "read_arguments", stop("read_arguments")),
            mock.patch.object(argparse.ArgumentParser, "parse_args", stop("parse_args")),
            contextlib.redirect_stderr(said),
            contextlib.chdir(ROOT),
        ):
            start(module, arguments)
    except Parsed as parsed:
        if thoroughly and isinstance(parsed.arguments, common.cli.Arguments):
            check_parsed(module, parsed.arguments)
        elif thoroughly and module == "leaderboard":
            selected(read_experiment(ROOT / parsed.arguments.experiment), parsed.arguments.only)  # type: ignore[attr-defined]
    except SystemExit as ended:
        if ended.code:
            raise Faulty(" ".join(said.getvalue().split())) from ended


def check_parsed(module: str, arguments: common.cli.Arguments) -> None:
    """Check the settings that a script's arguments make, as far as that goes without the data. Raises InputError."""
    with contextlib.chdir(ROOT):
        if module in TRAINING:
            config = common.cli.chosen_config(arguments)
        else:
            config = read_config(arguments.configs, with_reader(arguments.overrides))
    check_config(config, TRAINING.get(module, ()))


def with_reader(overrides: dict[str, Any]) -> dict[str, Any]:
    """Settings laid on those of a weight file, which names the reader: where they give its options alone, with the first reader
    that has these options."""
    reader = overrides.get("data", {}).get("reader")
    if not isinstance(reader, dict) or "name" in reader:
        return overrides
    for name in READERS:
        with contextlib.suppress(InputError):
            READERS.check({"name": name, **reader}, ("root",))
            return {**overrides, "data": {**overrides["data"], "reader": {"name": name, **reader}}}
    return overrides


def check_config(config: Config, stages: Sequence[str]) -> None:
    """Check the reader and the settings of some stages, on people who do not exist. Raises InputError."""
    READERS.check(config.data.reader, ("root",))
    try_stages(json.dumps({**experiment(config), "data": {}, "name": "any"}), tuple(stages))


@functools.cache
def try_stages(settings: str, stages: Sequence[str]) -> None:
    """Let training check the settings, given as JSON, which builds networks; the pages use few different ones."""
    people = [f"{number:03d}" for number in range(100) for _ in range(9)]
    attributes = {"angle": [f"C{number % 9}" for number in range(len(people))]}
    faces = Manifest.of_columns([f"{number}.jpg" for number in range(len(people))], people, attributes, ROOT)
    with contextlib.redirect_stdout(io.StringIO()):
        check_settings(make_config(json.loads(settings)), faces, *stages)


def check_yaml(block: Block) -> None:
    """Read a block of YAML as settings that lie on the default ones, or as a leaderboard, whose rows could be trained. Raises
    Faulty."""
    try:
        if block.checked == "leaderboard":
            check_leaderboard(block.code)
            return
        settings = experiment(read_config([common.cli.DEFAULT_CONFIG]))
        check_config(make_config(merge(settings, load_yaml(block.code))), ("pretext", "train"))
    except InputError as error:
        raise Faulty(f"{block.place}: {error}") from error


def check_leaderboard(code: str) -> None:
    """Raise InputError for a leaderboard that cannot be read, or one of whose rows could not be trained on any photographs."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "leaderboard.yaml"
        path.write_text(code, encoding="utf-8")
        for row in read_experiment(path).rows:
            check_config(row.config, stages(row.config))


# Carrying out


def stage(folder: Path) -> Path:
    """Make `folder` look like the repository in which some things were done before: a folder of people's photographs
    (patterns, in fact) in faces/, a list of two pairs in pairs.csv, and the weights of a tiny network, trained in
    seconds, in results/train/weights/twin.pt. Return `folder`."""
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


def start(module: str, arguments: Sequence[str]) -> None:
    """Run a module as the main program, so that a fault of the input stays the exception that it is."""
    with (
        mock.patch.object(sys, "argv", [f"{module}.py", *arguments]),
        mock.patch.object(common.errors, "run_script", lambda main, *rest, **named: main()),
    ):
        runpy.run_module(module, run_name="__main__", alter_sys=False)


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
