"""Names from a config turned into objects, with an answer for every wrong name and option.

A choice is said in one way everywhere: a bare name, or a mapping {name: ..., option: value, ...}. Its options are the
parameters of the constructor that the name stands for, and are checked against its signature: an annotation may be a type
with a range, such as pydantic's PositiveInt or `Annotated[float, Field(ge=0, lt=1)]`.
"""

import inspect
import json
from collections.abc import Callable, Mapping
from typing import Any

from pydantic import TypeAdapter, ValidationError

from common.errors import InputError, brief, listing
from common.plain import NotPlain, check_plain

ChoiceLike = str | Mapping[str, Any]


def name_and_options(choice: ChoiceLike) -> tuple[str, dict[str, Any]]:
    """("adam", {}) of "adam"; ("adam", {"beta1": 0.5}) of {"name": "adam", "beta1": 0.5}. Raises ValueError."""
    if isinstance(choice, str):
        choice = {"name": choice}
    if not isinstance(choice, Mapping) or not isinstance(choice.get("name"), str) or not choice["name"]:
        raise ValueError("it should be a name, or {name: ..., option: value, ...}")
    return choice["name"], {key: value for key, value in choice.items() if key != "name"}


class Registry(dict[str, Callable[..., Any]]):
    """A literal dict from name to constructor; a wrong name or option raises an error that lists the right ones."""

    def __init__(self, kind: str, entries: Mapping[str, Callable[..., Any]]):
        super().__init__(entries)
        self.kind = kind

    def __missing__(self, name: str) -> Callable[..., Any]:
        raise InputError(f"unknown {self.kind} {brief(name)}; known: {listing(sorted(self), most=99)}")

    def build(self, choice: ChoiceLike, **given: Any) -> Any:
        """Call the chosen entry with the user's options and with those of the program's `given` that it asks for.

        Options come from the constructor's signature, so one that the entry does not have is an error and is never
        silently dropped. Raises InputError.
        """
        name, options = self.check(choice, given)
        constructor = self[name]
        accepted = _parameters(constructor)
        try:
            return constructor(**options, **{key: value for key, value in given.items() if key in accepted})
        except ValueError as error:
            if not options:  # then it is no fault of the user's
                raise
            raise InputError(f"{self.kind} {name!r} cannot be built with {brief(options)}: {error}") from error

    def check(self, choice: ChoiceLike, given: Mapping[str, Any] | tuple[str, ...] = ()) -> tuple[str, dict[str, Any]]:
        """Name and options of a choice whose name, option names and option types are right; nothing is built.

        given: names of the parameters that the program will provide; they are no options of the user's. Raises InputError.
        """
        try:
            name, options = name_and_options(choice)
        except ValueError as error:
            raise InputError(f"{self.kind} is {brief(choice)}; {error}") from error
        accepted = _parameters(self[name])
        choices = [option for option in accepted if option not in given]
        unknown = sorted(set(options) - set(choices), key=str)
        if unknown:
            raise InputError(
                f"{self.kind} {name!r} has no option {listing(unknown)}; it takes: {listing(choices, most=99) or 'none'}"
            )
        needed = [option for option in choices if accepted[option].default is inspect.Parameter.empty]
        missing = [option for option in needed if option not in options]
        if missing:
            raise InputError(f"{self.kind} {name!r} needs the option {listing(missing)}")
        for option, value in options.items():
            _check_type(f"{self.kind} {name!r}: option {option}", accepted[option].annotation, value)
        return name, options


def _parameters(constructor: Callable[..., Any]) -> Mapping[str, inspect.Parameter]:
    return inspect.signature(constructor).parameters


def _check_type(what: str, annotation: Any, value: Any) -> None:
    """Raise InputError if `value` is not plain, or not what the constructor's annotation asks for, its range included."""
    try:
        check_plain(value)
        TypeAdapter(annotation).validate_json(json.dumps(value), strict=True)
    except NotPlain as error:
        raise InputError(f"{what} is {error}") from error
    except ValidationError as error:
        message = error.errors(include_url=False)[0]["msg"]
        raise InputError(f"{what} is {brief(value)}, which is wrong: {message[0].lower()}{message[1:]}") from error
