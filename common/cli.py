"""The command line of every script: its own short flags, `--config FILE`, and each setting as `--section.field=value`."""

import argparse
import dataclasses
import difflib
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

from common.config import Choice, Choices, Config, check_values, merge, read_config
from common.errors import brief
from common.plain import parse_value
from common.registry import name_and_options
from distributed import processes

CONFIGS = Path(__file__).resolve().parent.parent / "configs"
DEFAULT_CONFIG = CONFIGS / "twin.yaml"
WITHOUT_CONFIG = f"""\
The values in brackets are those of configs/{DEFAULT_CONFIG.name}, which counts without --config. For another reader that is
the file of its name, if there is one: configs/cfp.yaml with --data.reader=cfp. Options of a choice follow its name:
--data.reader.fold=3, --train.optimizer.beta1=0.5, --train.terms.center.weight=0.01; --train.terms.center=null takes it out."""
FROM_THE_WEIGHT_FILE = """\
The values in brackets count where the weight file does not say otherwise: it knows its data and whether to flip, and results
carry its name."""


class Setting(NamedTuple):
    """One field of the config: its dotted name, type, docstring and value."""

    name: str
    type: Any
    text: str
    value: Any


class Arguments(NamedTuple):
    """What the user typed: config files in order, and settings as nested plain values."""

    configs: list[str]
    overrides: dict[str, Any]


class HelpFormatter(argparse.RawDescriptionHelpFormatter):
    """argparse's, which names the value once for all spellings of an option: --lr, --train.lr LR."""

    def _format_action_invocation(self, action: argparse.Action) -> str:
        whole = super()._format_action_invocation(action)
        return ", ".join([*action.option_strings[:-1], whole.rpartition(", ")[2]]) if action.nargs != 0 else whole


class OneSentenceParser(argparse.ArgumentParser):
    """argparse whose errors are one sentence: with this many options its usage would bury them."""

    def error(self, message: str) -> NoReturn:
        processes.end(2, f"{self.prog}: {message}")


def read_arguments(
    description: str,
    short: Mapping[str, str],
    argv: Sequence[str] | None = None,
    without: tuple[str, ...] = (),
    defaults: str = WITHOUT_CONFIG,
) -> Arguments:
    """Parse the command line; `short` gives a flag without section for some settings: {"epochs": "train.epochs"}.

    without: settings and sections that this script has no use for, such as "pretext"; they are no options of it.
    defaults: where settings come from that are not given, for the help. A wrong option ends the program with code 2, as
    argparse does, and names its nearest neighbours. Raises InputError for values that no setting can have.
    """
    parser = OneSentenceParser(
        usage="%(prog)s [--config FILE] [--option VALUE ...]",
        description=description,
        epilog=defaults,
        allow_abbrev=False,
        formatter_class=HelpFormatter,
        argument_default=argparse.SUPPRESS,
    )
    parser.add_argument(
        "--config", action="append", default=[], metavar="FILE", help="YAML file of settings; a later one lies on top"
    )
    flags = {setting: flag for flag, setting in short.items()}
    groups: dict[str, Any] = {}
    settings = [setting for setting in settings_of(read_config([DEFAULT_CONFIG])) if not setting.name.startswith(without)]
    for setting in settings:
        section = setting.name.rpartition(".")[0] or "experiment"
        if section not in groups:
            groups[section] = parser.add_argument_group(section)
        _add_option(groups[section], setting, flags.get(setting.name))
    tables = [setting.name for setting in settings if setting.type in TABLES]
    known, rest = parser.parse_known_args(argv)
    values = vars(known)
    configs = values.pop("config")
    overrides: dict[str, Any] = {}
    for setting, value in [*values.items(), *_table_entries(parser, rest, tables)]:
        layer = nested(setting, value)
        check_values(layer, "command line")
        overrides = merge(overrides, layer)
    return Arguments(configs, overrides)


def chosen_config(arguments: Arguments) -> Config:
    """The settings that the command line asks for. Without --config, those made for the chosen reader lie below: the file of
    its name in configs/ if there is one, else the default. Raises InputError."""
    try:
        reader = name_and_options(arguments.overrides.get("data", {}).get("reader"))[0]
    except ValueError:  # none is chosen, or it is no choice, which will be told below
        reader = ""
    made_for = {path.stem: path for path in CONFIGS.glob("*.yaml")}  # a name from the command line is never a path
    return read_config(arguments.configs or [made_for.get(reader, DEFAULT_CONFIG)], arguments.overrides)


def settings_of(section: Any, prefix: str = "") -> Iterator[Setting]:
    """Every single setting in a config or a section of it, with names such as train.optimizer."""
    for field in dataclasses.fields(section):
        value = getattr(section, field.name)
        if dataclasses.is_dataclass(value):
            yield from settings_of(value, f"{prefix}{field.name}.")
        else:
            yield Setting(prefix + field.name, field.type, _docstring(type(section), field.name), value)


def _docstring(section: type, name: str) -> str:
    """The text under a field, which stands in the class that defines the field, perhaps a base of `section`."""
    for owner in section.__mro__:
        field = getattr(owner, "__pydantic_fields__", {}).get(name)
        if field and field.description:
            return field.description
    raise TypeError(f"{section.__name__}.{name} has no docstring")


def nested(setting: str, value: Any) -> dict[str, Any]:
    """("a.b", 1) -> {"a": {"b": 1}}"""
    for part in reversed(setting.split(".")):
        value = {part: value}
    return value


def as_typed(value: Any) -> str:
    """A value as one would type it: adam, true, {name: adam, beta1: 0.5}, [30, 80]."""
    if isinstance(value, Mapping):
        if list(value) == ["name"]:
            return as_typed(value["name"])
        return "{" + ", ".join(f"{key}: {as_typed(each)}" for key, each in value.items()) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(as_typed(each) for each in value) + "]"
    return value if isinstance(value, str) else json.dumps(value)


TEXTS = (str, str | None)
TABLES = (Choice, Choices, dict[str, Any])


def _add_option(group: Any, setting: Setting, short: str | None) -> None:
    shown = "" if setting.value in (None, "", []) else f" (default: {as_typed(setting.value)})"
    options: dict[str, Any] = {
        "dest": setting.name,
        "help": (setting.text + shown).replace("\n", " ").replace("%", "%%"),
        "type": str if setting.type in TEXTS else parse_value,
        "metavar": setting.name.rpartition(".")[2].upper(),
    }
    if setting.type is bool:
        options |= {"nargs": "?", "const": True, "metavar": "true|false"}
    group.add_argument(*[f"--{name}" for name in (short, setting.name) if name], **options)


def _table_entries(parser: argparse.ArgumentParser, rest: list[str], tables: list[str]) -> Iterator[tuple[str, Any]]:
    """Settings inside a table, such as --train.terms.center.weight=0.01, from what argparse did not know."""
    words = iter(rest)
    for word in words:
        setting, given, value = word.removeprefix("--").partition("=")
        if not word.startswith("--") or not any(setting.startswith(f"{table}.") for table in tables):
            options = [option for action in parser._actions for option in action.option_strings]
            near = difflib.get_close_matches(word.partition("=")[0], options, n=3)
            parser.error(
                f"unknown option {brief(word)}" + (f"; did you mean {' or '.join(near)}?" if near else "; --help lists all")
            )
        if not given:
            value = next(words, "--")
            if value.startswith("--"):
                parser.error(f"option {brief(word)} needs a value")
        yield setting, parse_value(value)
