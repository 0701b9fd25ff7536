"""ONNX files that say what they are, sealed against damage, and read without trusting whoever wrote them."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from google.protobuf.message import DecodeError, Message
from onnx import GraphProto, ModelProto, NodeProto, TensorProto

from common.errors import InputError
from common.files import write_whole
from models.weights import FORMAT, check_about

KIND = "embedder"
INPUT = {"colours": "RGB", "layout": "batch, colour, row, column", "scale": 1 / 127.5, "offset": -1.0}
"""How pixels from 0 to 255 become the network's input: pixel * scale + offset. `network_input` computes this."""
STANDARD = ("", "ai.onnx")  # both are names of the domain of ONNX's own operators


def write_model(path: Path, graph: bytes, about: Mapping[str, Any]) -> Path:
    """Write a model, byte-identical for equal content.

    graph: a serialised ModelProto, whose own metadata are dropped. about: plain values as in a weight file, with
    `parameters` and `input`. Raises InputError if they cannot be written as JSON.
    """
    model = ModelProto.FromString(graph)
    del model.metadata_props[:]
    try:
        entries = {"format": str(FORMAT), "kind": KIND, "about": json.dumps(about)}
    except (TypeError, ValueError, RecursionError) as error:
        raise InputError(f"the weight file's description cannot be written as JSON ({error})") from error
    for key, value in entries.items():
        model.metadata_props.add(key=key, value=value)
    body = model.SerializeToString(deterministic=True)
    return write_whole(path, body + _seal(body))


def read_model(path: str | Path) -> dict[str, Any]:
    """Read what `write_model` wrote: {"format", "kind", "about", "graph"}, the last as bytes for onnxruntime.

    Raises InputError for an absent, damaged or foreign file and for one that asks for more than standard operators on
    the weights inside it: other files, operators or functions from elsewhere, graphs in graphs (loops, branches).
    """
    try:
        content = Path(path).read_bytes()
    except OSError as error:
        raise InputError(
            f"{str(path)!r} cannot be read ({error.strerror or error}); it should be a file written by export.py"
        ) from error
    body = content[: -len(_seal(b""))]
    if content != body + _seal(body):
        raise InputError(f"{str(path)!r} is corrupt or not an ONNX file written by export.py")
    try:
        model = ModelProto.FromString(content)
        entries = {entry.key: entry.value for entry in model.metadata_props}
        about = json.loads(entries["about"])
        number, kind = int(entries["format"]), entries["kind"]
    except (DecodeError, KeyError, ValueError, RecursionError) as error:
        raise InputError(f"{str(path)!r} is corrupt: it lacks format, kind or about, or they cannot be read") from error
    if number != FORMAT:
        raise InputError(f"{str(path)!r} has format {number}; this version reads format {FORMAT}")
    if kind != KIND:
        raise InputError(f"{str(path)!r} holds a {kind!r} model; expected {KIND}")
    check_about(about, path)
    if type(about.get("parameters")) is not int:
        raise InputError(f"{str(path)!r} is corrupt: its description does not say how many parameters it has")
    if about.get("input") != INPUT:
        raise InputError(f"{str(path)!r} is made for other input than this version computes: {about.get('input')!r:.200}")
    _check_harmless(model, path)
    return {"format": number, "kind": kind, "about": about, "graph": content}


def _seal(body: bytes) -> bytes:
    """The end of the file: one more metadata entry, with the digest of all before it.

    Protobuf lets fields be appended to a finished message, so that the file stays valid ONNX. ONNX itself has no checksum,
    and a bit that flips in a weight would change scores without a word.
    """
    end = ModelProto()
    end.metadata_props.add(key="sha256", value=hashlib.sha256(body).hexdigest())
    return end.SerializeToString()


def _check_harmless(model: ModelProto, path: str | Path) -> None:
    """Raise InputError if the graph reaches for anything beyond itself."""
    for part in _messages(model):
        if isinstance(part, TensorProto) and (part.data_location != TensorProto.DEFAULT or part.external_data):
            raise InputError(f"{str(path)!r} keeps weights in other files, which is not allowed")
        if isinstance(part, NodeProto) and part.domain not in STANDARD:
            raise InputError(f"{str(path)!r} uses an operator of the domain {part.domain!r:.80}; only ONNX's own are allowed")
        if isinstance(part, GraphProto) and part is not model.graph:
            raise InputError(f"{str(path)!r} has a graph inside a graph (a loop or a branch), which is not allowed")
    if model.functions or model.training_info:
        raise InputError(f"{str(path)!r} brings functions or training of its own, which is not allowed")


def _messages(message: Message) -> Iterator[Message]:
    """The message and all that it holds, however deep."""
    yield message
    for field, value in message.ListFields():
        if field.message_type is not None:
            for part in [value] if isinstance(value, Message) else value:
                yield from _messages(part)
