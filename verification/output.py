"""The files of one evaluation in `<results>/test`, which belong together: all are of one evaluation, never of two.

<run>_preds.csv       the submission
<run>_scores.csv      one score per pair and, where the weight file can tell, the probability of the same person
<run>_metrics.json    figures, and three pictures <run>_{roc,scores,angles}.png, of pairs whose answers are known
"""

import csv
import json
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from common.config import Config
from common.errors import InputError
from common.files import locked
from datasets.manifest import Pairs

SUBMISSION = "preds.csv"
ENDINGS = ("scores.csv", "metrics.json", "roc.png", "scores.png", "angles.png", SUBMISSION)


def output_folder(config: Config) -> Path:
    """Where the files of an evaluation go."""
    return Path(config.results) / "test"


def submission_path(config: Config) -> Path:
    return output_folder(config) / f"{config.name}_{SUBMISSION}"


def check_output(config: Config, pairs: Pairs) -> None:
    """Tell what would keep an evaluation of `pairs` from being written at its end; makes the folder if it is not there.

    Raises InputError if a calibration is asked for, which is no evaluation, if the folder cannot be made or written to, or if
    a submission of this name answers other pairs and `overwrite` is not set. The same pairs may be evaluated again under their
    name, with whatever weights, rule or flip.
    """
    if config.evaluate.calibrate:
        raise InputError(f"evaluate.calibrate is {config.evaluate.calibrate!r}, which is for evaluate.py alone; leave it out")
    check_folder(config, ENDINGS)
    submission = submission_path(config)
    if submission.exists() and not config.overwrite and not answers(submission, pairs):
        raise InputError(
            f"{str(submission)!r} answers other pairs than these; choose another --name or --results, or replace it with "
            "--overwrite"
        )


def check_folder(config: Config, endings: Sequence[str]) -> None:
    """Tell what would keep `<run>_<ending>` from being written to the folder of results, which is made if it is not there.

    Raises InputError if the folder cannot be made or written to, or if a folder has the name of a file.
    """
    folder = output_folder(config)
    files = [folder / f"{config.name}_{ending}" for ending in endings]
    stem, _, suffix = max(endings, key=len).rpartition(".")
    longest = folder / f".{config.name}_{stem}.{'0' * 12}.partial.{suffix}"  # a name for the time of writing
    try:
        for path in (*reversed(folder.parents), folder):
            if os.path.lexists(path) and not path.is_dir():
                raise InputError(f"{str(path)!r} should be a folder of results and is none; choose another --results")
        folder.mkdir(parents=True, exist_ok=True)
        occupied = [path for path in (*files, longest) if path.is_dir()]
    except OSError as error:  # no permission, no space, a name that is too long
        raise InputError(f"results cannot be written to {str(folder)!r}: {error.strerror}: {error.filename}") from error
    if occupied:
        raise InputError(f"{str(occupied[0])!r} should be a file of results and is a folder; choose another --name or --results")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise InputError(f"results cannot be written to {str(folder)!r}, where you may not write; choose another --results")


def check_lists(config: Config, result: str, digest: str) -> None:
    """Refuse to replace `<run>_<result>`, a JSON file with a lists_digest, by one of other lists unless `overwrite` is set.

    The same lists may be evaluated again under their name. Raises InputError.
    """
    path = output_folder(config) / f"{config.name}_{result}"
    if config.overwrite or not path.exists():
        return
    try:
        earlier = json.loads(path.read_text(encoding="utf-8"))["lists_digest"]
    except (ValueError, TypeError, KeyError, RecursionError):  # no such file
        earlier = None
    if earlier != digest:
        raise InputError(
            f"{str(path)!r} is of other lists than these; choose another --name or --results, or replace it with --overwrite"
        )


def answers(submission: Path, pairs: Pairs) -> bool:
    """Whether the submission has a row for each of these pairs, in their order."""
    try:
        with open(submission, encoding="utf-8", newline="") as opened:
            rows = csv.reader(opened)
            next(rows, None)
            return [row[:2] for row in rows] == pairs.table[["first", "second"]].values.tolist()
    except (ValueError, csv.Error):  # bytes that are no text, no table
        return False


@contextmanager
def written_together(folder: Path, run: str, endings: Sequence[str] = ENDINGS) -> Iterator[Path]:
    """A hidden folder to write the files of an evaluation into, `<run>_<ending>`; after the body they take their places.

    Until then, and for good if the body raises, the files of an earlier evaluation stay as they are. Those of them that
    have no successor are removed. In the exchange, some renames long, the earlier file of the last ending (the submission)
    goes first and the new one comes last: a process killed in between leaves none beside files that do not belong to it. What
    it leaves in the hidden folder is removed by the next evaluation of this name. Evaluations that write to `folder` at the
    same time wait for one another.
    """
    hidden = folder / f".{run}.partial"
    with locked(folder / ".lock"):
        shutil.rmtree(hidden, ignore_errors=True)  # of a process that was killed: a living one would hold the lock
        hidden.mkdir()
        try:
            yield hidden
            (folder / f"{run}_{endings[-1]}").unlink(missing_ok=True)
            for name in (f"{run}_{ending}" for ending in endings):
                if (hidden / name).exists():
                    os.replace(hidden / name, folder / name)
                else:
                    (folder / name).unlink(missing_ok=True)
        finally:
            shutil.rmtree(hidden, ignore_errors=True)
