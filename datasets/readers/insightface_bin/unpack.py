"""A .bin file as a folder: each photograph once, as a file of its own, and pairs.csv."""

import hashlib
import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path

from common.errors import InputError
from common.files import claimed
from datasets.readers.insightface_bin.pickled import read_photographs_and_answers

SUFFIXES = {b"\xff\xd8\xff": ".jpg", b"\x89PNG\r\n\x1a\n": ".png", b"BM": ".bmp"}
"""How the photographs' bytes begin, and how their files are called."""
RECEIPT = "unpacked.json"


def unpack(file: str | Path, out: str | Path) -> Path:
    """Unpack a .bin file into the new or empty folder `out`; returns its pairs.csv, with the columns image1, image2, same.

    Pairs keep their order, by which folds are made. A photograph that stands in several pairs is written once, so that it is
    embedded once; its name is its first place in the file. The folder appears whole or not at all, with a receipt that has
    the SHA-256 of the file. One that holds the same already, to the byte, is left as it is. Raises InputError.
    """
    file, out = Path(file), Path(out)
    files = _files(file)
    if _holds(out, files):
        return out / "pairs.csv"
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InputError(
            f"{str(out)!r} is not empty and does not hold what is in {str(file)!r}; give a new or empty folder as --out"
        )
    out.parent.mkdir(parents=True, exist_ok=True)
    partial = out.with_name(f".{out.name}.partial")
    try:
        with claimed(out.with_name(f".{out.name}.lock")):
            shutil.rmtree(partial, ignore_errors=True)  # of a process that was killed: a living one would hold the lock
            try:
                partial.mkdir()
                for name, content in files.items():
                    (partial / name).write_bytes(content)
                if out.is_dir():
                    out.rmdir()  # on Windows a rename does not replace an empty folder
                os.rename(partial, out)
            finally:
                shutil.rmtree(partial, ignore_errors=True)
    except BlockingIOError as error:
        raise InputError(f"another process is unpacking into {str(out)!r}; wait for it or choose another folder") from error
    return out / "pairs.csv"


def _files(file: Path) -> dict[str, bytes]:
    """All that the folder will hold, by name."""
    photographs, answers = read_photographs_and_answers(file)
    names: dict[bytes, str] = {}  # of each photograph, by what is in it
    for place, photograph in enumerate(photographs):
        if photograph not in names:
            names[photograph] = f"{place:06d}{_suffix(photograph, place, file)}"
    listed = [names[photograph] for photograph in photographs]
    rows = [f"{first},{second},{same:d}\n" for first, second, same in zip(listed[::2], listed[1::2], answers)]
    with open(file, "rb") as opened:
        digest = hashlib.file_digest(opened, "sha256").hexdigest()
    receipt = {"file": file.name, "sha256": digest, "photographs": len(names), "pairs": len(answers), "same": sum(answers)}
    texts = {"pairs.csv": "".join(["image1,image2,same\n", *rows]), RECEIPT: json.dumps(receipt, indent=2) + "\n"}
    return {name: content for content, name in names.items()} | {name: text.encode() for name, text in texts.items()}


def _suffix(photograph: bytes, place: int, file: Path) -> str:
    for beginning, suffix in SUFFIXES.items():
        if photograph.startswith(beginning):
            return suffix
    raise InputError(
        f"{str(file)!r}: photograph {place + 1:,} is no JPEG, PNG or BMP; it is {len(photograph):,} bytes that begin with"
        f" {photograph[:8]!r}"
    )


def _holds(folder: Path, files: Mapping[str, bytes]) -> bool:
    """Whether the folder has these files and no others."""
    if not folder.is_dir() or {path.name for path in folder.iterdir()} != files.keys():
        return False
    return all((folder / name).is_file() and (folder / name).read_bytes() == content for name, content in files.items())
