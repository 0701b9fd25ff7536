"""Names from a config turned into objects, with an answer for every wrong name."""

import inspect
import json
from collections.abc import Callable, Mapping
from typing import Any

from pydantic import TypeAdapter, ValidationError

from common.errors import InputError, listing


class Registry(dict):
    """A literal dict from name to constructor; a wrong name or option raises an error that lists the right ones."""

    def __init__(self, kind: str, entries: Mapping[str, Callable]):
        super().__init__(entries)
        self.kind = kind

    def __missing__(self, name: str):
        raise InputError(f"unknown {self.kind} {name!r}; known: {listing(sorted(self), most=99)}")

    def build(self, name: str, options: Mapping[str, Any] | None = None, **given: Any) -> Any:
        """Call entry `name` with the user's `options` and with those of the program's `given` that it asks for.

        Hyper-parameters come from the constructor's signature, so an option that the entry does not have is an error
        and never silently dropped.
        """
        constructor = self[name]
        accepted = inspect.signature(constructor).parameters
        options = dict(options or {})
        unknown = sorted(set(options) - (set(accepted) - set(given)))
        if unknown:
            choices = [option for option in accepted if option not in given]
            raise InputError(
                f"{self.kind} {name!r} has no option {listing(unknown)}; it takes: {listing(choices, most=99) or 'none'}"
            )
        needed = [option for option, parameter in accepted.items() if parameter.default is parameter.empty]
        missing = [option for option in needed if option not in options and option not in given]
        if missing:
            raise InputError(f"{self.kind} {name!r} needs the option {listing(missing)}")
        for option, value in options.items():
            _check_type(f"{self.kind} {name!r}: option {option}", accepted[option].annotation, value)
        try:
            return constructor(**options, **{key: value for key, value in given.items() if key in accepted})
        except ValueError as error:
            if not options:  # then it is no fault of the user's
                raise
            raise InputError(f"{self.kind} {name!r} cannot be built with {options}: {error}") from error


def _check_type(what: str, annotation: Any, value: Any) -> None:
    """Raise InputError if `value` is not what the constructor's annotation asks for."""
    try:
        TypeAdapter(annotation).validate_json(json.dumps(value), strict=True)
    except ValidationError as error:
        message = error.errors(include_url=False)[0]["msg"]
        raise InputError(f"{what} is {value!r}, which is wrong: {message[0].lower()}{message[1:]}") from error
