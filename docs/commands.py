"""Whether the commands and settings on a page would be accepted, told by the scripts' own parsers and checks before any work."""

import argparse
import contextlib
import dataclasses
import functools
import io
import json
import re
import runpy
import shlex
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn
from unittest import mock

import common.cli
import common.errors
from benchmarks.leaderboard.budget import stages
from benchmarks.leaderboard.experiment import read_experiment
from common.config import Config, ModelConfig, experiment, make_config, merge, read_config
from common.errors import InputError
from common.plain import load_yaml
from datasets import READERS
from datasets.manifest import Manifest
from docs.pages import ROOT, Block, Faulty
from leaderboard import selected
from losses import build_objective
from models.embedder import build_embedder
from models.weights import save_weights
from training.checks import check_settings

PLAIN_TOOLS = {"cat", "cd", "cp", "echo", "git", "head", "ls", "mkdir", "mv", "printf", "rm"}
TRAINING = {"run": ("pretext", "train"), "train": ("train",), "train_pretext": ("pretext",)}  # scripts and their stages


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
        raise Faulty("no program that docs/commands.py knows how to check")
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
        elif thoroughly and module == "leaderboard" and isinstance(parsed.arguments, argparse.Namespace):
            selected(read_experiment(ROOT / parsed.arguments.experiment), parsed.arguments.only)
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


def check_config(config: Config, sections: Sequence[str]) -> None:
    """Check the reader and the settings of some stages, on people who do not exist. Raises InputError."""
    READERS.check(config.data.reader, ("root",))
    settings = {**experiment(config), "data": {}, "name": "any"}
    settings["train"]["pretrained_weight"] = config.train.pretrained_weight  # which a recipe may ask for
    try_stages(json.dumps(settings), tuple(sections))


@functools.cache
def try_stages(settings: str, sections: Sequence[str]) -> None:
    """Let training check the settings, given as JSON, which builds networks; the pages use few different ones."""
    people = [f"{number:03d}" for number in range(300) for _ in range(9)]
    attributes = {"angle": [f"C{number % 9}" for number in range(len(people))]}
    faces = Manifest.of_columns([f"{number}.jpg" for number in range(len(people))], people, attributes, ROOT)
    with contextlib.redirect_stdout(io.StringIO()), tempfile.TemporaryDirectory() as folder:
        check_settings(with_stand_in(make_config(json.loads(settings)), faces, Path(folder)), faces, *sections)


def with_stand_in(config: Config, faces: Manifest, folder: Path) -> Config:
    """The settings with a small network, whose files are made in `folder`, in the place of each teacher that they name."""
    recipe = config.train.recipe
    if not recipe.get("teacher"):
        return config
    model = ModelConfig(backbone="small", embedding_size=16, image_size=32)
    embedder, objective = build_embedder(model), build_objective(["softmax"], 16, len(faces.identities))
    about = {"config": {"model": dataclasses.asdict(model), "train": {"terms": ["softmax"]}}}
    save_weights(folder / "teacher.pt", "embedder", embedder.state_dict(), about)
    state = {f"network.{name}": value for name, value in embedder.state_dict().items()}
    state |= {f"objective.{name}": value for name, value in objective.state_dict().items()}
    save_weights(folder / "teacher.classifier.pt", "classifier", state, {**about, "identities": faces.identities})
    teacher = str(folder / "teacher.pt")
    teachers = [teacher] * len(recipe["teacher"]) if isinstance(recipe["teacher"], list) else teacher
    return dataclasses.replace(config, train=dataclasses.replace(config.train, recipe=recipe | {"teacher": teachers}))


def check_leaderboard(code: str) -> None:
    """Raise InputError for a leaderboard that cannot be read, or one of whose rows could not be trained on any photographs."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "leaderboard.yaml"
        path.write_text(code, encoding="utf-8")
        for row in read_experiment(path).rows:
            check_config(row.config, stages(row.config))


def check_yaml(block: Block) -> None:
    """Read a block of YAML as settings that lie on the default ones, or as a leaderboard. Raises Faulty."""
    try:
        if block.checked == "leaderboard":
            check_leaderboard(block.code)
            return
        settings = experiment(read_config([common.cli.DEFAULT_CONFIG]))
        check_config(make_config(merge(settings, load_yaml(block.code))), ("pretext", "train"))
    except InputError as error:
        raise Faulty(f"{block.place}: {error}") from error


def start(module: str, arguments: Sequence[str]) -> None:
    """Run a module as the main program, so that a fault of the input stays the exception that it is."""
    with (
        mock.patch.object(sys, "argv", [f"{module}.py", *arguments]),
        mock.patch.object(common.errors, "run_script", lambda main, *rest, **named: main()),
    ):
        runpy.run_module(module, run_name="__main__", alter_sys=False)
