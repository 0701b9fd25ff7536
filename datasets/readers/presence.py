"""Whether the photographs that a list names are there, inside its root: a million names in a few seconds."""

import os
from collections import Counter
from collections.abc import Iterable
from itertools import islice
from pathlib import Path

from common.errors import InputError, listing
from common.files import escapes

LISTED = 10  # entries of a folder looked at for each name wanted from it: a few names do not list a million others


def check_files(root: Path, file_names: Iterable[str], source: str) -> None:
    """Refuse file names that are no text, leave `root` or name no file; `source` is where they came from.

    Every faulty name is counted and the first few are shown. Symbolic links are followed and must end inside the root.
    Folders are listed once; only what no listing shows is looked at by itself.
    """
    names = list(file_names)
    check_text(names, source)
    real_root = os.path.realpath(root)
    unlisted = _unlisted(names, root, real_root)
    dangling = [name for name in unlisted if not escapes(name) and _is_dangling(os.path.join(root, name))]
    if dangling:
        raise InputError(
            f"{source}: {len(dangling):,} of {len(names):,} photographs in {str(root)!r} are dangling links, which lead to no"
            f" file: {listing(dangling)}"
        )
    outside = [name for name in unlisted if _leaves(name, root, real_root)]
    if outside:
        raise InputError(
            f"{source}: {len(outside):,} file names lead out of the data root {str(root)!r}, which is not allowed: "
            f"{listing(outside)}"
        )
    missing = [name for name in unlisted if not os.path.isfile(os.path.join(root, name))]
    if missing:
        raise InputError(
            f"{source}: {len(missing):,} of {len(names):,} photographs are missing in {str(root)!r}: {listing(missing)}"
        )


def check_text(names: Iterable[str], source: str) -> None:
    """Refuse names of files or folders that are no text: what another encoding than UTF-8 wrote, and those with a NUL."""
    names = list(names)
    garbled = [] if _is_text("".join(names)) else [name for name in names if not _is_text(name)]
    if garbled:
        raise InputError(f"{source}: {len(garbled):,} file names are not UTF-8 text without NUL: {listing(map(ascii, garbled))}")


def _unlisted(names: list[str], root: Path, real_root: str) -> list[str]:
    """The names that listing their folders does not show to be plain files inside the root: links, and all that is wrong."""
    wanted = Counter(name.rpartition("/")[0] for name in names)
    plain: dict[str, set[str]] = {}
    for folder, count in wanted.items():
        path = os.path.join(root, folder)
        plain[folder] = _plain_files(path, LISTED * count) if _inside(path, real_root) else set()

    def listed(name: str) -> bool:
        folder, _, file = name.rpartition("/")
        return file in plain[folder] and not escapes(name)

    return [name for name in names if not listed(name)]


def _plain_files(folder: str, most: int) -> set[str]:
    """Names of the regular files, no links, among the first `most` entries of a folder; none if it cannot be listed."""
    try:
        with os.scandir(folder) as entries:
            return {entry.name for entry in islice(entries, most) if entry.is_file(follow_symlinks=False)}
    except OSError:
        return set()


def _leaves(name: str, root: Path, real_root: str) -> bool:
    """Whether a name leads out of the root, by itself or by a link on its way."""
    return escapes(name) or not _inside(os.path.join(root, name), real_root)


def _is_dangling(path: str) -> bool:
    return os.path.islink(path) and not os.path.exists(path)


def _inside(path: str, real_root: str) -> bool:
    return os.path.commonpath([os.path.realpath(path), real_root]) == real_root


def _is_text(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:  # the name of a file on disk in another encoding
        return False
    return "\0" not in name
