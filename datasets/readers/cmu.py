"""CMU Face Images (Mitchell, UCI Machine Learning Repository, CC BY 4.0): 20 people in 32 conditions each.

    [faces/]<user>/<user>_<pose>_<expression>_<eyes>[_<scale>].pgm

No scale is 128 x 120 pixels, `_2` is 64 x 60 and `_4` is 32 x 30. Files that end in `.bad` are marked as glitched.
"""

from pathlib import PurePosixPath

from common.errors import InputError, listing
from common.files import existing_folder
from datasets.manifest import Face, Manifest
from datasets.pairs.split import SplitReader
from datasets.readers.folder import visible
from datasets.readers.presence import check_files

VALUES = {
    "pose": ("left", "right", "straight", "up"),
    "expression": ("neutral", "happy", "sad", "angry"),
    "eyes": ("open", "sunglasses"),
}
MIRRORS = {"pose": {"left": "right", "right": "left"}}
SCALES = {"2": 2, "4": 4}  # how many times smaller than 128 x 120


class CMU(SplitReader):
    """Reader of CMU Face Images, with people dealt out to train, validate and test and pairs drawn from a seed.

    Attributes: pose, expression and eyes. Each photograph is read once, at the largest scale present, and glitched ones
    are left out. Where a copy holds only half-size files for some expressions, sharpness tells about the expression:
    judge an attribute stage on such a copy with care. Raises InputError for a name of any other form.
    """

    def __init__(self, root: str, validate_share: float = 0.2, test_share: float = 0.2, pairs: int = 1000, split_seed: int = 0):
        folder = existing_folder(root, "the folder of CMU Face Images, with faces/ in it or the people's folders")
        folder = folder / "faces" if (folder / "faces").is_dir() else folder
        users = visible(folder, folders=True)
        known = _largest([f"{user}/{name}" for user in users for name in visible(folder / user, (".pgm",))])
        if not known:
            raise InputError(f"{str(folder)!r} has no photographs <user>/<user>_<pose>_<expression>_<eyes>.pgm in it")
        check_files(folder, known, repr(str(folder)))
        manifest = Manifest.of([Face(name, name.split("/")[0], told) for name, told in known.items()], folder, MIRRORS)
        super().__init__(manifest, validate_share, test_share, pairs, split_seed, cover="pose")


def _largest(names: list[str]) -> dict[str, dict[str, str]]:
    """Of each person in each condition the largest photograph, sorted, with its attributes; InputError that counts the names
    of a wrong form."""
    parsed = {name: told for name in names if (told := _parse(name))}
    wrong = [name for name in names if name not in parsed]
    if wrong:
        right = "; ".join(f"{attribute} {', '.join(values)}" for attribute, values in VALUES.items())
        raise InputError(
            f"{len(wrong):,} of {len(names):,} photographs are not named <user>/<user>_<pose>_<expression>_<eyes>[_2|_4].pgm "
            f"({right}): {listing(wrong)}"
        )
    best: dict[tuple[str, ...], str] = {}
    for name in sorted(names, key=lambda name: (parsed[name][1], name)):
        best.setdefault((name.split("/")[0], *parsed[name][0].values()), name)
    return {name: parsed[name][0] for name in sorted(best.values())}


def _parse(name: str) -> tuple[dict[str, str], int] | None:
    """Attributes and scale told by a name `<user>/<file>`; None if it has another form."""
    user, file = name.split("/")
    stem = PurePosixPath(file).stem
    fields = stem.removeprefix(f"{user}_").split("_")
    scale = SCALES.get(fields.pop()) if len(fields) > len(VALUES) else 1
    known = len(fields) == len(VALUES) and all(field in values for field, values in zip(fields, VALUES.values()))
    return (dict(zip(VALUES, fields)), scale) if known and scale and stem.startswith(f"{user}_") else None
