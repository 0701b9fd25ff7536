"""The sample that comes with the repository: a small generated set in one zip, unpacked on first use and checked on each."""

import hashlib
import io
import os
import shutil
import zipfile
import zlib
from pathlib import Path

from common.errors import InputError, listing
from common.files import escapes, locked, write_whole

SAMPLE = Path(__file__).with_name("sample.zip")
SAMPLE_DIGEST = "6e8e78929cac8ecd426981c330e0573f29ea1510ac483fb11518e707d1c25771"
UNPACKED = Path(__file__).resolve().parents[2] / "data" / "twin"
MARKER = "UNPACKED.txt"
MARK = "This folder was unpacked by the reader twin and is renewed, with all that is in it, when it differs from its zip:"


def unpacked_sample() -> Path:
    """The folder of the sample, whole. Raises InputError."""
    return unpack(SAMPLE, SAMPLE_DIGEST, UNPACKED)


def unpack(archive: Path, digest: str, folder: Path) -> Path:
    """Make `folder` hold exactly the files of `archive`, whose SHA-256 must be `digest`; return `folder`.

    A folder that holds them already is left alone; one that was unpacked here before and differs in any file is replaced
    in two renames; anything else that stands in the place is refused. Several processes may do this at once. Raises
    InputError.
    """
    content = _read(archive, digest)
    files = _entries(content, archive)
    marker = f"{MARK}\n{archive.name}, SHA-256 {digest}\n".encode()
    if _holds(folder, files, marker):
        return folder
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with locked(folder.with_name(f".{folder.name}.lock")):
            if not _holds(folder, files, marker):  # else another process was faster
                _renew(folder, content, marker)
    except (OSError, shutil.Error) as error:
        raise InputError(
            f"{str(archive)!r} cannot be unpacked into {str(folder)!r} ({error}); make room there, or give the folder of a set "
            f"of your own as --data.root"
        ) from error
    return folder


def _read(archive: Path, digest: str) -> bytes:
    try:
        content = archive.read_bytes()
    except OSError as error:
        raise InputError(
            f"the sample {str(archive)!r} cannot be read ({error.strerror}); fetch it with the repository again, or give the "
            f"folder of a set made by 'python -m datasets.twin' as --data.root"
        ) from error
    found = hashlib.sha256(content).hexdigest()
    if found != digest:
        raise InputError(f"{str(archive)!r} has the SHA-256 {found} and should have {digest}; fetch it with the repository again")
    return content


def _entries(content: bytes, archive: Path) -> dict[str, tuple[int, int]]:
    """Size and CRC-32 of each file in the zip; InputError if its names are not plain files below one folder."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as packed:
            entries = packed.infolist()
    except zipfile.BadZipFile as error:
        raise InputError(f"{str(archive)!r} is not a zip file: {error}") from error
    names = [entry.filename for entry in entries]
    wrong = [name for name in names if escapes(name) or "\\" in name or ":" in name or ".." in name or name.endswith("/")]
    if wrong or len(set(names)) < len(names) or MARKER in names:
        raise InputError(
            f"{str(archive)!r} has names that are not plain files of one folder, each once: {listing(wrong) or 'repeated'}"
        )
    return {entry.filename: (entry.file_size, entry.CRC) for entry in entries}


def _holds(folder: Path, files: dict[str, tuple[int, int]], marker: bytes) -> bool:
    """Whether `folder` holds these files, byte for byte as far as a CRC-32 can tell, the marker and no other file."""
    expected = files | {MARKER: (len(marker), zlib.crc32(marker))}
    present = [Path(place, name) for place, _, names in os.walk(folder) for name in names]
    if {path.relative_to(folder).as_posix() for path in present} != expected.keys():
        return False
    return all(_is(path, *expected[path.relative_to(folder).as_posix()]) for path in present)


def _is(path: Path, size: int, checksum: int) -> bool:
    try:
        content = path.read_bytes()
    except OSError:
        return False
    return not path.is_symlink() and len(content) == size and zlib.crc32(content) == checksum


def _renew(folder: Path, content: bytes, marker: bytes) -> None:
    """Put a new folder in the place of the old one; whoever calls this holds the lock."""
    partial, old = (folder.with_name(f".{folder.name}.{kind}") for kind in ("partial", "old"))
    for left in (partial, old):  # by a process that was killed here
        if left.is_dir():
            shutil.rmtree(left)
    _check_ours(folder)
    with zipfile.ZipFile(io.BytesIO(content)) as packed:
        for entry in packed.infolist():
            path = partial / entry.filename
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(packed.read(entry))
    write_whole(partial / MARKER, marker)
    if folder.exists():
        os.rename(folder, old)
    os.rename(partial, folder)
    shutil.rmtree(old, ignore_errors=True)  # what is left of it goes when the folder is renewed again


def _check_ours(folder: Path) -> None:
    """Refuse to touch what was not unpacked by this program."""
    if not os.path.lexists(folder):
        return
    marked = folder / MARKER
    ours = marked.is_file() and marked.read_bytes().startswith(MARK.encode())
    empty = folder.is_dir() and not any(folder.iterdir())
    if folder.is_symlink() or not (ours or empty):
        raise InputError(
            f"{str(folder)!r} stands where the sample is to be unpacked and was not made by that; move it away, or give it as "
            f"--data.root"
        )
