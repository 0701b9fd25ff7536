"""The faces of all photographs below a folder: found in several threads, noted as they are found, written at the end."""

import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import cv2

from common.errors import InputError, listing
from common.files import existing_folder, locked, write_whole
from common.progress import progress, say
from datasets.detect.detector import LEAST_SCORE, Detector
from datasets.detect.find import SCORE, SIDE, find_faces
from datasets.detect.journal import Found, Journal, stamp
from datasets.detect.sheet import SUFFIXES as PICTURES
from datasets.detect.sheet import make_sheet
from datasets.detect.tables import all_faces_csv, boxes_csv, check_csv
from datasets.photographs.photographs import in_order
from datasets.readers.folder import SUFFIXES
from datasets.readers.presence import check_files

SIDES = range(64, 2049)  # pixels


def search(
    root: str | Path,
    out: str | Path,
    detector: Callable[[], Detector],
    score: float = SCORE,
    side: int = SIDE,
    every: bool = False,
    sheet: str | Path = "",
) -> list[Found]:
    """Find the faces of all photographs below `root` and write the CSV `out`, as `datasets.detect.tables` says; return what was
    found, by file name.

    detector: opens it, which is done once all else is checked. score, side: as in `find_faces`. every: write every face, too.
    sheet: a contact sheet to draw, a .jpg or .png. What does not depend on the detector does not depend on the number of threads
    either. Stopped or killed, the same call goes on where it was; a photograph that changed meanwhile is looked at again.
    Raises InputError if there is nothing to look at, nothing that can be read, or something in the way.
    """
    folder, out = existing_folder(root, "a folder with photographs in it or below it"), Path(out)
    _check(folder, out, score, side, sheet)
    names = photographs_below(folder)
    finder = detector()
    settings = {"root": str(folder.resolve()), "detector": finder.name, "score": score, "side": side}
    path = out.with_name(f".{out.name}.partial")
    out.parent.mkdir(parents=True, exist_ok=True)
    try:
        with locked(path, wait=False) as file:
            _check_absent(out)  # another process may just have written it
            found = _find(folder, names, finder, score, side, Journal(path, file, settings))
            if all(photograph.fault for photograph in found):
                raise InputError(
                    f"none of the {len(names):,} photographs in {str(folder)!r} can be read: {listing(map(_fault, found))}"
                )
            if sheet:
                write_whole(sheet, make_sheet(folder, found, Path(sheet).suffix.lower()))
            if every:
                write_whole(beside(out, "all"), all_faces_csv(found))
            write_whole(beside(out, "check"), check_csv(found))
            write_whole(out, boxes_csv(found))
            path.unlink()
    except BlockingIOError as error:
        raise InputError(f"another process is writing {str(out)!r}; wait for it or choose another file with --out") from error
    return found


def beside(out: Path, what: str) -> Path:
    """A file that belongs to `out`: faces-check.csv to faces.csv."""
    return out.with_name(f"{out.stem}-{what}{out.suffix}")


def photographs_below(folder: Path) -> list[str]:
    """Names, relative to the folder, of all photographs in it and below it, sorted; nothing hidden, and no linked folder, which
    is told in a line. Raises InputError for a folder that cannot be listed, and for links that lead out of it or nowhere."""

    def refuse(error: OSError) -> None:
        raise InputError(f"{str(error.filename)!r} cannot be listed: {error.strerror}") from error

    names, linked = [], []
    for place, folders, files in os.walk(folder, onerror=refuse):
        folders[:] = [name for name in folders if not name.startswith(".")]
        within = Path(place).relative_to(folder)
        linked += [(within / name).as_posix() for name in folders if os.path.islink(os.path.join(place, name))]
        names += [(within / name).as_posix() for name in files if not name.startswith(".") and name.lower().endswith(SUFFIXES)]
    if linked:
        say(f"{len(linked):,} linked folders in {str(folder)!r} are left out: {listing(sorted(linked))}")
    if not names:
        raise InputError(f"{str(folder)!r} has no photographs in it or below it; they end in {listing(SUFFIXES, most=20)}")
    names.sort()
    check_files(folder, names, repr(str(folder)))
    return names


def summary(found: Sequence[Found]) -> list[str]:
    """Lines on how many faces the photographs have, and the names of those to look at."""
    counts = Counter("fault" if photograph.fault else min(len(photograph.faces), 2) for photograph in found)
    lines = [f"{len(found):,} photographs: {counts[1]:,} with one face"]
    for kind, text in ((0, "without a face"), (2, "with several faces, of which the largest is used"), ("fault", "unreadable")):
        if counts[kind]:
            of_kind = [f for f in found if ("fault" if f.fault else min(len(f.faces), 2)) == kind]
            lines.append(f"{counts[kind]:,} {text}: {listing(map(_fault, of_kind))}")
    return lines


def _fault(photograph: Found) -> str:
    return f"{photograph.file_name} ({photograph.fault})" if photograph.fault else photograph.file_name


def _check(folder: Path, out: Path, score: float, side: int, sheet: str | Path) -> None:
    """Raise InputError for options that cannot be meant, and for files that would get in the way of others."""
    if not LEAST_SCORE <= score < 1:
        raise InputError(f"score is {score}; it should be at least {LEAST_SCORE} and below 1")
    if side not in SIDES:
        raise InputError(f"side is {side}; it should be {SIDES[0]} to {SIDES[-1]} pixels")
    if out.suffix.lower() != ".csv":
        raise InputError(f"{str(out)!r} should end in .csv")
    if sheet and Path(sheet).suffix.lower() not in PICTURES:
        raise InputError(f"{str(sheet)!r} should end in one of {', '.join(PICTURES)}")
    if sheet and Path(sheet).resolve().is_relative_to(folder.resolve()):
        raise InputError(f"the sheet {str(sheet)!r} would be one more photograph of {str(folder)!r}; write it elsewhere")
    _check_absent(out)


def _check_absent(out: Path) -> None:
    if out.exists():
        raise InputError(f"{str(out)!r} is there already; move it away, or name another file with --out")


def _find(folder: Path, names: Sequence[str], detector: Detector, score: float, side: int, journal: Journal) -> list[Found]:
    """What is found in each photograph, in order; noted in the journal unless it is known from there."""

    def look(index: int) -> Found:
        name = names[index]
        state = ""
        try:
            state = stamp(folder / name)
            known = journal.known.get(name)
            if known and known.stamp == state:
                return known
            return Found(name, state, find_faces((folder / name).read_bytes(), detector, score, side))
        except (OSError, ValueError) as error:
            return Found(name, state, [], " ".join(str(error).split()) or type(error).__name__)

    found = []
    if journal.known:
        say(f"going on: {len(journal.known):,} of {len(names):,} photographs were looked at before")
    with _one_thread_each(), ThreadPoolExecutor(os.cpu_count()) as pool:
        for photograph in progress(in_order(pool, look, len(names)), "find faces", total=len(names), unit="photo"):
            if photograph is not journal.known.get(photograph.file_name):
                journal.add(photograph)
            found.append(photograph)
    return found


@contextmanager
def _one_thread_each() -> Iterator[None]:
    """OpenCV's functions start no threads of their own: there are as many photographs at work as processors."""
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        yield
    finally:
        cv2.setNumThreads(threads)
