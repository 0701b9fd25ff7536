"""The whole set: tables planned, photographs taken, and at last the tables written."""

import dataclasses
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

from common.errors import InputError, listing
from common.files import locked, write_whole
from common.progress import progress
from datasets.pairs.split import SPLITS
from datasets.twin.plan import TABLES, Plan, Settings
from datasets.twin.receipt import RECEIPT, differences, installed_packages, read_receipt, write_receipt
from datasets.twin.shots import file_name
from datasets.twin.workers import Job, Order, Photographer, take

WHAT = "a new or empty folder, or one in which this very set was begun"


def open_studio(seed: int, image_size: int) -> Photographer:
    """The real studio, which takes seconds. Raises InputError if the packages that it needs are not installed."""
    try:
        from datasets.twin.studio import Studio
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("datasets"):
            raise
        raise InputError(
            f"rendering needs the packages of requirements-twin.txt ({error}); run 'pip install -r requirements-twin.txt'"
        ) from error
    return Studio(seed, image_size)


def generate(
    out: str | Path,
    identities: int = 200,
    seed: int = 0,
    image_size: int = 112,
    takes: int = 1,
    plain_share: float = 0.76,
    validate_share: float = 0.15,
    test_share: float = 0.2,
    validate_pairs: int = 1000,
    test_pairs: int = 2000,
    quality: int = 83,
    workers: int = 1,
    studio: Callable[[int, int], Photographer] = open_studio,
) -> Path:
    """Render a set of synthetic people into `out`, in the layout that datasets.readers.competition reads; return `out`.

    identities: how many people. image_size: side in pixels. takes: photographs of each person under each expression and
    camera. plain_share: share of photographs without glasses, hat or mask. validate_share, test_share: shares of the
    people. validate_pairs, test_pairs: balanced pairs, even over all pairs of cameras; only photographs that stand in
    one are rendered of these people. quality: of the JPEGs. workers: processes. studio: (seed, image_size) -> studio.

    Equal settings give equal bytes, whatever the workers and however often it was interrupted: photographs that are
    already there stay. The tables come last, so that an interrupted set cannot be mistaken for a whole one; the
    settings come first, in twin.json, and only they can be gone on with. Raises InputError.
    """
    settings = Settings(
        identities, seed, image_size, takes, plain_share, validate_share, test_share, validate_pairs, test_pairs, quality
    )
    if workers < 1:
        raise InputError(f"workers is {workers}; it should be 1 or more")
    out, plan = Path(out), Plan.of(settings)
    new = _check_folder(out, settings)
    missing = {split: set(names) - _present(out / split) for split, names in plan.names.items()}
    tables = {out / TABLES[split]: text.encode() for split, text in plan.tables.items()}
    if not any(missing.values()) and all(_holds(path, content) for path, content in tables.items()):
        print(f"{str(out)!r} already holds this whole set; nothing is left to render")
        return out
    if new:
        write_receipt(out, dataclasses.asdict(settings))
    _check_packages(out)
    try:
        with locked(out / RECEIPT, wait=False):
            _sweep(out)
            order = Order(studio, seed, image_size, quality)
            total, left = (sum(map(len, names.values())) for names in (plan.names, missing))
            with (
                progress(None, "render", total=total, initial=total - left, unit="photo") as bar,
                closing(take(_jobs(plan, settings, missing, out), order, workers)) as taken,
            ):
                for _ in taken:
                    bar.update()
            for path, content in tables.items():
                write_whole(path, content)
    except BlockingIOError as error:
        raise InputError(f"another process is rendering into {str(out)!r}; wait for it or choose another folder") from error
    return out


def _jobs(plan: Plan, settings: Settings, missing: dict[str, set[str]], out: Path) -> Iterator[Job]:
    """One job for everybody of whom a photograph is missing."""
    for split in SPLITS:
        for person in plan.people[split]:
            shots = [shot for shot in settings.shots(person) if file_name(person, shot) in missing[split]]
            if shots:
                yield Job(person, shots, out / split)


def _check_folder(out: Path, settings: Settings) -> bool:
    """Whether the set is begun anew here; InputError for a folder of something else or of other settings."""
    if out.exists() and not out.is_dir():
        raise InputError(f"{str(out)!r} is a file; the twin needs {WHAT}")
    if not out.is_dir():
        return True
    begun = any(path.is_file() and path.name != RECEIPT and not _is_partial(path) for path in out.rglob("*"))
    if not (out / RECEIPT).is_file():
        if begun:
            raise InputError(f"{str(out)!r} is not empty and has no {RECEIPT} in it; the twin needs {WHAT}")
        return True
    if not begun:  # nothing was rendered, perhaps because a package was missing: the settings bind nobody
        return True
    changed = differences(read_receipt(out)["settings"], dataclasses.asdict(settings))
    if changed:
        raise InputError(
            f"{str(out)!r} holds a set of other settings ({listing(changed)}); give the settings in its {RECEIPT}, or "
            f"another folder"
        )
    return False


def _check_packages(out: Path) -> None:
    """Refuse to mix photographs of two versions of the renderer's packages in one set."""
    changed = differences(read_receipt(out)["packages"], installed_packages())
    if changed:
        raise InputError(
            f"{str(out)!r} was begun with other versions of the packages ({listing(changed)}), which may render other "
            f"pixels; install those, or choose another folder"
        )


def _present(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()} if folder.is_dir() else set()


def _holds(path: Path, content: bytes) -> bool:
    return path.is_file() and path.read_bytes() == content


def _is_partial(path: Path) -> bool:
    """Whether files.write_whole left this behind when its process was killed."""
    return path.name.startswith(".") and ".partial" in path.name


def _sweep(out: Path) -> None:
    for path in out.rglob(".*.partial*"):
        path.unlink()
