"""Plain values: what a YAML file, a command line or a weight file may hold as settings, and nothing else.

A plain value is null, a truth value, a whole number of 64 bits, a finite number, a text, or a list or table of these. A
file may be a stranger's: it is read without ever constructing an object, and within bounds of time and memory.
"""

import json
import math
import re
from pathlib import Path
from typing import Any

import yaml

from common.errors import InputError, brief

MOST_VALUES = 100_000
MOST_LEVELS = 20
MOST_BYTES = 1 << 20  # of a file
TAGS = ("null", "bool", "int", "float", "str", "seq", "map")


class NotPlain(ValueError):
    """A value that is not plain, and where it stands: keys and positions, outermost first."""

    def __init__(self, place: tuple[str | int, ...], value: Any, reason: str):
        super().__init__(f"{brief(value)}, which is wrong: {reason}")
        self.place = place


def check_plain(values: Any) -> None:
    """Raise NotPlain for the first part of `values` that is not plain, or for too many or too deeply nested ones."""
    waiting: list[tuple[tuple[str | int, ...], Any]] = [((), values)]
    seen = 0
    while waiting:
        place, value = waiting.pop()
        seen += 1
        if seen > MOST_VALUES:
            raise NotPlain(place[:1], value, f"there should be at most {MOST_VALUES:,} values in all")
        if len(place) > MOST_LEVELS:
            raise NotPlain(place[:1], value, f"it should be nested at most {MOST_LEVELS} deep")
        if reason := _fault(value):
            raise NotPlain(place, value, reason)
        if isinstance(value, dict):
            if odd := [key for key in value if not isinstance(key, str) or _fault(key)]:
                raise NotPlain(place, value, f"the name {brief(odd[0])} in it should be text")
            waiting += [((*place, key), each) for key, each in reversed(value.items())]
        elif isinstance(value, (list, tuple)):
            waiting += [((*place, index), value[index]) for index in reversed(range(len(value)))]


def _fault(value: Any) -> str:
    """What is wrong with a value by itself; empty if nothing is."""
    if isinstance(value, str):
        if "\0" in value:
            return "text should not hold the character NUL"
        if any("\ud800" <= character <= "\udfff" for character in value):  # so do bytes of the command line arrive
            return "text should be UTF-8"
    elif isinstance(value, float):
        if not math.isfinite(value):
            return "a number should be finite"
    elif isinstance(value, int):
        if value.bit_length() > 64:
            return "a whole number should have at most 64 bits"
    elif value is not None and not isinstance(value, (dict, list, tuple)):
        return f"a setting should be a plain value, and this is a {type(value).__name__}"
    return ""


class KeyTwice(yaml.constructor.ConstructorError):
    """A key stands twice in one mapping, which YAML forbids; which of its values is meant nobody knows."""


class PlainLoader(yaml.SafeLoader):
    """YAML as people write it: 1e-3 is a number, too (YAML 1.1 asks for 1.0e-3), and 2026-01-01 is a text."""

    def get_single_node(self) -> yaml.Node | None:
        root = super().get_single_node()
        if root is not None and _values_in(root, {}) > MOST_VALUES:
            raise yaml.constructor.ConstructorError(
                None, None, f"its anchors and aliases stand for more than {MOST_VALUES:,} values"
            )
        return root

    def fetch_flow_collection_start(self, token: type[yaml.Token]) -> None:
        if self.flow_level >= MOST_LEVELS:  # told here, since the scanner takes seconds for thousands of brackets
            raise yaml.scanner.ScannerError(None, None, f"it is nested more than {MOST_LEVELS} deep", self.get_mark())
        super().fetch_flow_collection_start(token)

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        """The mapping as it is written, before `<<` lays another under it."""
        node = super().compose_mapping_node(anchor)
        lines: dict[tuple[str, str], int] = {}
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode):  # no other is a name
                line, name = key.start_mark.line + 1, (key.tag, key.value)
                if name in lines:
                    places = f"lines {lines[name]} and {line}" if line > lines[name] else f"line {line}"
                    raise KeyTwice(None, None, f"the key {brief(key.value)} stands twice in one mapping, in {places}; keep one")
                lines[name] = line
        return node

    def construct_plain(self, node: yaml.Node) -> Any:
        """What a scalar says; a value that does not fit its tag, such as `!!int foo`, is told with its line."""
        try:
            return SAFE[node.tag](self, node)
        except (ValueError, LookupError, OverflowError) as error:
            kind = node.tag.rpartition(":")[2]
            raise yaml.constructor.ConstructorError(
                None, None, f"{brief(node.value)} is not of the kind {kind!r}", node.start_mark
            ) from error


def _values_in(node: yaml.Node, known: dict[int, int]) -> int:
    """How many values a node stands for once its aliases are written out; too many if it contains itself.

    known: what was counted already, by the node's identity.
    """
    if id(node) not in known:
        known[id(node)] = MOST_VALUES + 1  # while its parts are counted
        parts = node.value if isinstance(node, yaml.CollectionNode) else []
        if isinstance(node, yaml.MappingNode):
            parts = [part for pair in parts for part in pair]
        known[id(node)] = min(MOST_VALUES + 1, 1 + sum([_values_in(part, known) for part in parts]))
    return known[id(node)]


SAFE = {f"tag:yaml.org,2002:{tag}": yaml.SafeLoader.yaml_constructors[f"tag:yaml.org,2002:{tag}"] for tag in TAGS}
PlainLoader.yaml_constructors = (  # no other tag, so that nothing but plain values is ever made
    SAFE
    | {tag: PlainLoader.construct_plain for tag in SAFE if not tag.endswith((":seq", ":map"))}
    | {None: yaml.SafeLoader.construct_undefined}
)
PlainLoader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if not tag.endswith(":timestamp")]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
PlainLoader.add_implicit_resolver("tag:yaml.org,2002:float", re.compile(r"[-+]?\d+(\.\d*)?[eE][-+]?\d+$"), "-+0123456789")


def load_yaml(text: str) -> Any:
    """The plain values in a YAML text. Raises yaml.YAMLError for whatever else it is."""
    try:
        return yaml.load(text, Loader=PlainLoader)  # a subclass of the safe loader: no tag constructs an object
    except RecursionError as error:
        raise yaml.YAMLError("it is nested too deeply") from error


def read_yaml(path: str | Path) -> dict[str, Any]:
    """The mapping in a YAML file; InputError if the file cannot be read or is not one mapping of plain values."""
    what = f"config {brief(str(path))}"
    try:
        with open(path, "rb") as file:
            content = file.read(MOST_BYTES + 1)
    except OSError as error:
        raise InputError(f"{what} cannot be read ({error.strerror}); shipped ones are in configs/") from error
    except ValueError as error:  # a NUL in the path
        raise InputError(f"{what} cannot be read ({error}); shipped ones are in configs/") from error
    if len(content) > MOST_BYTES:
        raise InputError(f"{what} should be a YAML file of at most {MOST_BYTES:,} bytes")
    try:
        values = load_yaml(content.decode("utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InputError(f"{what} is not valid YAML: {' '.join(str(error).split())}") from error
    if not isinstance(values, dict):
        raise InputError(f"{what} should be a mapping of settings, such as 'seed: 1'")
    return values


def parse_value(text: str) -> Any:
    """A value from the command line as JSON or YAML would read it: 1e-3, true, null, [30, 80], {name: adam}; else the text.

    Raises InputError for a mapping with one key twice.
    """
    if not text.strip():
        return text  # which YAML would take for null
    for load in (_load_json, load_yaml):
        try:
            return load(text)
        except KeyTwice as error:
            raise InputError(f"command line: {brief(text)}: {error}") from error
        except (ValueError, RecursionError, yaml.YAMLError):  # of numbers with thousands of digits, too
            continue
    return text


def _load_json(text: str) -> Any:
    """The values in a JSON text. Raises ValueError, also for an object with one key twice."""
    return json.loads(text, object_pairs_hook=_each_once)


def _each_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) < len(pairs):
        raise ValueError("a key stands twice in one object")
    return values
