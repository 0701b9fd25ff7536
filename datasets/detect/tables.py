"""What a search writes: the CSV for `data.boxes`, the photographs to look at, and every face.

faces.csv           file_name, left, top, right, bottom, right_eye_x, ...: the largest face; empty cells where none was found
faces-check.csv     file_name, faces, remark: photographs without a face, with several, or that cannot be read
faces-all.csv       file_name, face (1: the largest), score, then as faces.csv: a row for each face
"""

from collections.abc import Iterable, Sequence

from datasets.detect.find import DECIMALS, LANDMARKS, Face
from datasets.detect.journal import Found
from datasets.manifest import BOX

PLACES = (*BOX, *(f"{name}_{axis}" for name in LANDMARKS for axis in "xy"))


def boxes_csv(found: Iterable[Found]) -> str:
    """The largest face of every photograph that could be read, as `datasets.readers.boxes` reads it."""
    rows = [(photograph.file_name, *_places(photograph.faces[:1])) for photograph in found if not photograph.fault]
    return _csv(("file_name", *PLACES), rows)


def all_faces_csv(found: Iterable[Found]) -> str:
    """Every face of every photograph."""
    rows = [
        (photograph.file_name, number, f"{face.score:.3f}", *_places([face]))
        for photograph in found
        for number, face in enumerate(photograph.faces, 1)
    ]
    return _csv(("file_name", "face", "score", *PLACES), rows)


def check_csv(found: Iterable[Found]) -> str:
    """The photographs that have not exactly one face, and why they are here."""
    rows = [
        (photograph.file_name, "" if photograph.fault else len(photograph.faces), remark(photograph))
        for photograph in found
        if remark(photograph)
    ]
    return _csv(("file_name", "faces", "remark"), rows)


def remark(photograph: Found) -> str:
    """What should be looked at; empty for a photograph with one face."""
    if photograph.fault:
        return f"cannot be read: {photograph.fault}"
    count = len(photograph.faces)
    return "" if count == 1 else f"{count} faces, of which the largest is used" if count else "no face"


def _places(faces: Sequence[Face]) -> list[str]:
    """The cells of PLACES for one face or for none."""
    if not faces:
        return [""] * len(PLACES)
    numbers = [*faces[0].box, *(place for point in faces[0].points for place in point)]
    return [f"{number:.{DECIMALS}f}" for number in numbers]


def _csv(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    return "".join(",".join(map(_cell, row)) + "\n" for row in (header, *rows))


def _cell(value: object) -> str:
    """A cell, quoted where needed: a name may hold a carriage return, which Python's csv module leaves bare."""
    text = str(value)
    return '"' + text.replace('"', '""') + '"' if any(sign in text for sign in ',"\r\n') else text
