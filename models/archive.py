"""Nested plain values and tensors as one file: sealed against damage, and read without trusting whoever wrote it.

The file is what torch.save writes, a zip archive, whose comment is the SHA-256 of all bytes before that digest. It stays a
zip archive that torch.load reads. The seal tells of damage, not of forgery: whoever changes a file on purpose can seal it
anew, so that what is inside is looked at before memory is taken for it.
"""

import hashlib
import io
import os
import pickletools
import re
import struct
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

import torch

from common.errors import InputError
from common.files import write_whole

FORMAT = 2
"""Of weight files, of snapshots and of what is exported from weights. Format 1 had no seal."""
MARK = b"sha256:"
DIGITS = 64  # of a SHA-256 in hexadecimal
NO_COMMENT = b"\0\0"  # how an archive without comment ends: with its length, two bytes
END = b"PK\x05\x06"  # how the record that ends an archive begins
END_SIZE = 22  # of that record, in bytes
PIECE = 2**20  # bytes read at once
NAMED = re.compile(r"collections OrderedDict|torch\._utils _rebuild_tensor_v2|torch \w+Storage")
"""All that save_tensors refers to by name. The unpickler of torch.load knows more, such as bytearrays of any length."""


def save_tensors(path: Path, content: Mapping[str, Any]) -> Path:
    """Write nested plain values and tensors as one sealed file, whole or not at all; equal content gives equal bytes."""
    buffer = io.BytesIO()  # a named file would put its temporary name into the archive and so change the bytes
    torch.save(content, buffer)
    archive = buffer.getvalue()
    sealed = archive.removesuffix(NO_COMMENT) + struct.pack("<H", len(MARK) + DIGITS) + MARK
    return write_whole(path, sealed + hashlib.sha256(sealed).hexdigest().encode())


def load_tensors(path: str | Path, what: str) -> Any:
    """Read what save_tensors wrote, with tensors on the CPU; nothing in the file is executed.

    what: the file should be, for the errors. Raises InputError for a file that is absent, damaged or not sealed, and for
    one that takes more memory than its size.
    """
    try:
        with open(path, "rb") as file:
            _check_seal(file, path, what)
            _check_harmless(file, path, what)
            file.seek(0)
            return torch.load(file, map_location="cpu", weights_only=True)
    except OSError as error:
        raise InputError(f"{str(path)!r} cannot be read ({error.strerror or error}); it should be {what}") from error
    except InputError:
        raise
    except Exception as error:  # the unpickler meets arbitrary bytes here and may raise anything
        raise InputError(f"{str(path)!r} is corrupt or not {what}") from error


def _check_seal(file: BinaryIO, path: str | Path, what: str) -> None:
    """Raise InputError unless the file ends with the digest of all before it."""
    left = max(0, file.seek(0, os.SEEK_END) - DIGITS)
    file.seek(0)
    digest = hashlib.sha256()
    while left and (piece := file.read(min(left, PIECE))):
        digest.update(piece)
        left -= len(piece)
    end = file.read()
    if end == digest.hexdigest().encode():
        return
    if end[-END_SIZE:].startswith(END) and end.endswith(NO_COMMENT):
        raise InputError(
            f"{str(path)!r} has no seal, as files of format 1 or of other programs have none; this version reads format"
            f" {FORMAT}: it should be {what}"
        )
    raise InputError(f"{str(path)!r} is damaged or not {what}: it does not end with the digest of its content")


def _check_harmless(file: BinaryIO, path: str | Path, what: str) -> None:
    """Raise InputError if reading the archive would take more memory than the file has bytes, or name what it should not."""
    size = file.seek(0, os.SEEK_END)
    with zipfile.ZipFile(file) as archive:
        entries = archive.infolist()
        unpacked = sum(entry.file_size for entry in entries)  # entries may be compressed, or share their bytes
        if unpacked > size:
            raise InputError(f"{str(path)!r} is not {what}: it has {size:,} bytes and would unpack to {unpacked:,}")
        for entry in entries:
            if not entry.filename.endswith("/data.pkl"):
                continue
            for operation, argument, _ in pickletools.genops(archive.read(entry)):
                if operation.name == "GLOBAL" and not NAMED.fullmatch(argument):
                    raise InputError(f"{str(path)!r} is corrupt or not {what}: it asks for {argument!r:.100}")
