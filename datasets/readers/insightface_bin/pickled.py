"""What a pickle of photographs and answers says, found out without unpickling it: nothing that it names is ever called.

`pickletools.genops` takes the file apart into operations, and this carries out the few that build lists, tuples, bytes and
numbers. Python 2 wrote bytes as strings; Python 3 writes bytes in old protocols as text to be encoded; NumPy writes arrays
(what cv2.imencode gives) and single numbers as calls. Each call that such files contain has a counterpart in CALLS, which
makes plain data from plain data; any other name is refused.
"""

import math
import mmap
import pickletools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, cast

from common.errors import InputError, brief

MOST_BYTES = 2 << 30  # of a file; the published ones have about 0.1 GB
MOST_PAIRS = 100_000  # the published ones have 6,000 to 14,000
MOST_OPERATIONS = 100 * MOST_PAIRS  # an array takes some 40


class Refused(ValueError):
    """Why a pickle is not what it should be."""


@dataclass(frozen=True)
class Name:
    """The name of a class or a function, not the thing itself."""

    name: str


@dataclass
class Kind:
    """A NumPy type, such as u1 (bytes) or b1 (truth values)."""

    code: str


@dataclass
class Array:
    """A NumPy array: what its elements are, how many there are, and their bytes."""

    code: str = ""
    count: int = 0
    content: bytes = b""


MARK = object()


def read_photographs_and_answers(path: Path) -> tuple[list[bytes], list[bool]]:
    """The encoded photographs [2 P] and the answers [P] of a .bin file; pair k is the photographs 2 k and 2 k + 1.

    Raises InputError if the file holds anything else, is damaged or is beyond the bounds.
    """
    try:
        with open(path, "rb") as file:
            size = file.seek(0, 2)
            if not 0 < size <= MOST_BYTES:
                raise Refused(f"it has {size:,} bytes; it should have 1 to {MOST_BYTES:,}")
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
                return _photographs_and_answers(_Machine(size).run(content))
    except OSError as error:
        raise InputError(f"{str(path)!r} cannot be read: {error.strerror or error}") from error
    except Refused as error:
        raise InputError(
            f"{str(path)!r} is not one of InsightFace's test sets (a list of photographs and a list of answers): {error}"
        ) from error


def _photographs_and_answers(value: Any) -> tuple[list[bytes], list[bool]]:
    if not isinstance(value, (list, tuple)) or len(value) != 2:
        raise Refused(f"it holds {_shown(value)}")
    photographs, answers = value
    if isinstance(answers, Array):
        answers = _answers_of(answers)
    if not isinstance(photographs, (list, tuple)) or not isinstance(answers, (list, tuple)):
        raise Refused(f"it holds {_shown(photographs)} and {_shown(answers)}")
    if not answers or len(answers) > MOST_PAIRS or len(photographs) != 2 * len(answers):
        raise Refused(
            f"it has {len(photographs):,} photographs for {len(answers):,} answers; it should have two for each, and 1 to"
            f" {MOST_PAIRS:,} answers"
        )
    return [_photograph(each, k) for k, each in enumerate(photographs)], [_answer(each, k) for k, each in enumerate(answers)]


def _photograph(value: Any, place: int) -> bytes:
    if isinstance(value, Array) and value.code in ("u1", "i1"):
        value = value.content
    if not isinstance(value, bytes):
        raise Refused(f"photograph {place + 1:,} is {_shown(value)}; it should be bytes")
    return value


def _answer(value: Any, place: int) -> bool:
    if isinstance(value, Array) and value.count == 1:
        (value,) = _answers_of(value)
    if isinstance(value, int) and value in (0, 1):
        return bool(value)
    raise Refused(f"answer {place + 1:,} is {_shown(value)}; it should be true or false")


def _answers_of(array: Array) -> list[int]:
    """The elements of an array of truth values or of whole numbers from 0 to 255; the others are refused later."""
    width = int(array.code[1:]) if array.code[:1] in ("b", "u", "i") else 0
    if not width or len(array.content) != width * array.count:
        raise Refused(f"its answers are an array of the type {array.code!r}; they should be true or false")
    return [int.from_bytes(array.content[start : start + width], "little") for start in range(0, len(array.content), width)]


def _shown(value: Any) -> str:
    """What a value is, in few words however large it is."""
    if isinstance(value, (list, tuple, bytes)):
        return f"{'bytes' if isinstance(value, bytes) else 'a list'} of length {len(value):,}"
    return {Array: "an array", Kind: "a type of numbers", object: "a mark"}.get(type(value)) or brief(value)


# The calls that such files contain


def _encode(text: Any, encoding: Any) -> bytes:
    if not isinstance(text, str) or encoding not in ("latin1", "latin-1"):
        raise Refused(f"it encodes {_shown(text)} as {_shown(encoding)}")
    return text.encode("latin-1")


def _bytes() -> bytes:
    return b""


def _reconstruct(kind: Any, shape: Any, code: Any) -> Array:
    if kind != Name("numpy.ndarray"):
        raise Refused(f"it makes an array of {_shown(kind)}")
    return Array()


def _dtype(code: Any, align: Any, copy: Any) -> Kind:
    code = code.decode("latin-1") if isinstance(code, bytes) else code
    if not isinstance(code, str) or code not in ("b1", "u1", "i1", "i4", "i8"):
        raise Refused(f"it has numbers of the type {_shown(code)}")
    return Kind(code)


def _scalar(kind: Any, content: Any) -> Array:
    return _array(kind, (), content)


def _frombuffer(content: Any, kind: Any, shape: Any, order: Any) -> Array:
    return _array(kind, shape, content)


def _array(kind: Any, shape: Any, content: Any) -> Array:
    sizes = shape if isinstance(shape, tuple) else (shape,)
    if not isinstance(kind, Kind) or not all(isinstance(size, int) and 0 <= size <= MOST_BYTES for size in sizes):
        raise Refused(f"it has an array of {_shown(kind)} in the shape {_shown(shape)}")
    count = math.prod(sizes[:8])
    if len(sizes) > 8 or not isinstance(content, bytes) or len(content) != count * int(kind.code[1:]):
        raise Refused(f"it has an array in the shape {_shown(shape)} with other bytes")
    return Array(kind.code, count, content)


CALLS: dict[str, Callable[..., Any]] = {
    "_codecs.encode": _encode,
    "__builtin__.bytes": _bytes,
    "builtins.bytes": _bytes,
    "numpy.dtype": _dtype,
    **{f"numpy.{core}.multiarray._reconstruct": _reconstruct for core in ("core", "_core")},
    **{f"numpy.{core}.multiarray.scalar": _scalar for core in ("core", "_core")},
    **{f"numpy.{core}.numeric._frombuffer": _frombuffer for core in ("core", "_core")},
}
NAMES = {*CALLS, "numpy.ndarray"}


class _Machine:
    """The stack and the memo of a pickle under way. size: of the file; what calls make in all may not have more bytes."""

    def __init__(self, size: int):
        self._left = size
        self._stack: list[Any] = []
        self._memo: dict[int, Any] = {}

    def run(self, content: mmap.mmap) -> Any:
        """The value that the pickle stands for. Raises Refused."""
        try:
            for count, (operation, argument, place) in enumerate(pickletools.genops(cast(IO[bytes], content))):
                if count == MOST_OPERATIONS:
                    raise Refused(f"it has more than {MOST_OPERATIONS:,} operations")
                step = STEPS.get(operation.name)
                if not step:
                    raise Refused(f"the operation {operation.name} at byte {place:,} has no place in it")
                step(self, argument)
            return self._stack[-1]
        except (ValueError, TypeError, IndexError, KeyError, EOFError, OverflowError, RecursionError, MemoryError) as error:
            if isinstance(error, Refused):
                raise
            raise Refused(f"it is damaged or no pickle ({brief(str(error))})") from error

    def push(self, value: Any) -> None:
        self._stack.append(value)

    def since_mark(self) -> list[Any]:
        """What stands above the last mark, taken off together with it."""
        place = len(self._stack)
        while self._stack[place - 1] is not MARK:  # IndexError where there is none
            place -= 1
        values = self._stack[place:]
        del self._stack[place - 1 :]
        return values

    def tuple_of(self, count: int) -> None:
        values = [self._stack.pop() for _ in range(count)]
        self.push(tuple(reversed(values)))

    def extend(self, values: list[Any]) -> None:
        target = self._stack[-1]
        if not isinstance(target, list):
            raise Refused(f"it appends to {_shown(target)}")
        target.extend(values)

    def remember(self, place: int | None = None) -> None:
        self._memo[len(self._memo) if place is None else place] = self._stack[-1]

    def recall(self, place: int) -> None:
        self.push(self._memo[place])

    def name(self, module: Any, name: Any) -> None:
        full = f"{module}.{name}"
        if full not in NAMES:
            raise Refused(f"it names {brief(full)}, which such a file has no use for; nothing of it was carried out")
        self.push(Name(full))

    def call(self) -> None:
        arguments, function = self._stack.pop(), self._stack.pop()
        if not isinstance(function, Name) or function.name not in CALLS or not isinstance(arguments, tuple):
            raise Refused(f"it calls {_shown(function)}")
        made = CALLS[function.name](*arguments)
        if isinstance(made, bytes):
            self._left -= len(made)
            if self._left < 0:
                raise Refused("it makes more bytes than it has")
        self.push(made)

    def build(self) -> None:
        """Set the state of a NumPy type, which must be of little-endian or single bytes, or of an array."""
        state, target = self._stack.pop(), self._stack[-1]
        if isinstance(target, Kind) and isinstance(state, tuple) and len(state) > 1 and state[1] in ("|", "<", b"|", b"<"):
            return
        if not isinstance(target, Array) or not isinstance(state, tuple) or len(state) != 5:
            raise Refused(f"it sets the state of {_shown(target)}")
        made = _array(state[2], state[1], state[4])
        target.code, target.count, target.content = made.code, made.count, made.content


def _no_step(machine: _Machine, argument: Any) -> None:
    pass


def _latin(machine: _Machine, text: str) -> None:
    machine.push(text.encode("latin-1"))  # genops shows the bytes of a string of Python 2 as this


def _push(machine: _Machine, value: Any) -> None:
    machine.push(bytes(value) if isinstance(value, bytearray) else value)


STEPS: dict[str, Callable[[_Machine, Any], None]] = {
    **{name: _no_step for name in ("PROTO", "FRAME", "STOP")},
    **{name: _latin for name in ("BINSTRING", "SHORT_BINSTRING")},
    **{name: _push for name in ("BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8", "BINUNICODE", "SHORT_BINUNICODE")},
    **{name: _push for name in ("INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1")},
    "NONE": lambda machine, _: machine.push(None),
    "NEWTRUE": lambda machine, _: machine.push(True),
    "NEWFALSE": lambda machine, _: machine.push(False),
    "MARK": lambda machine, _: machine.push(MARK),
    "EMPTY_LIST": lambda machine, _: machine.push([]),
    "EMPTY_TUPLE": lambda machine, _: machine.push(()),
    "LIST": lambda machine, _: machine.push(machine.since_mark()),
    "TUPLE": lambda machine, _: machine.push(tuple(machine.since_mark())),
    "TUPLE1": lambda machine, _: machine.tuple_of(1),
    "TUPLE2": lambda machine, _: machine.tuple_of(2),
    "TUPLE3": lambda machine, _: machine.tuple_of(3),
    "APPEND": lambda machine, _: machine.extend([machine._stack.pop()]),
    "APPENDS": lambda machine, _: machine.extend(machine.since_mark()),
    "MEMOIZE": lambda machine, _: machine.remember(),
    **{name: _Machine.remember for name in ("PUT", "BINPUT", "LONG_BINPUT")},
    **{name: _Machine.recall for name in ("GET", "BINGET", "LONG_BINGET")},
    "GLOBAL": lambda machine, words: machine.name(*words.split(" ", 1)),
    "STACK_GLOBAL": lambda machine, _: machine.name(*[machine._stack.pop() for _ in range(2)][::-1]),
    "REDUCE": lambda machine, _: machine.call(),
    "BUILD": lambda machine, _: machine.build(),
}
