"""What has been measured: rows.json, which grows row by row, so that a stopped leaderboard goes on where it was, and
timings.json with what the networks cost in use."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from benchmarks.leaderboard.experiment import Experiment
from common.errors import InputError
from common.files import write_json

Record = dict[str, Any]
FIGURES = ("accuracy", "auc", "eer", "tar_at_far_1e-2", "tar_at_far_1e-3")
FACTS = {"key": str, "digest": str, "state": str, "seed": int}
SUMMED_UP = ("accuracy", "parameters", "multiply_adds", "images", "seconds", "pairs", "image_size")
"""Numbers that the record of every finished row has."""


def records_path(folder: Path) -> Path:
    return folder / "rows.json"


def read_records(folder: Path) -> dict[str, Record]:
    """The records in a leaderboard's folder by row; none if there is no file. Raises InputError for a file of another form."""
    path = records_path(folder)
    try:
        rows = json.loads(path.read_text(encoding="utf-8")) if path.exists() else []
        if not all(_is_record(row) for row in rows):
            raise ValueError
        return {row["key"]: row for row in rows}
    except (OSError, ValueError, LookupError, TypeError, RecursionError) as error:
        raise InputError(f"{str(path)!r} is not a leaderboard's; remove it or choose other --results") from error


def _is_record(row: Record) -> bool:
    if not all(isinstance(row[name], kind) for name, kind in FACTS.items()):
        return False
    if row["state"] == "failed":
        return isinstance(row["reason"], str)
    return all(isinstance(row[name], (int, float)) for name in SUMMED_UP)


def write_records(folder: Path, experiment: Experiment, records: Mapping[str, Record]) -> Path:
    """Write the records in the order of the experiment's rows, then those of rows that it has no longer: a network that is
    taken out and put back is not trained again."""
    keys = dict.fromkeys([*(row.key for row in experiment.rows), *records])
    return write_json(records_path(folder), [records[key] for key in keys if key in records])


def current(experiment: Experiment, records: Mapping[str, Record]) -> dict[str, Record]:
    """The records of the experiment's rows that were made with their present settings."""
    rows = [row for row in experiment.rows if row.key in records]
    return {row.key: records[row.key] for row in rows if records[row.key]["digest"] == row.digest(experiment.budget)}


def outdated(experiment: Experiment, records: Mapping[str, Record], retry: bool = False) -> list[str]:
    """Keys of the rows that are still to be trained: those without a record, or whose settings have changed since; with
    `retry` also those that failed."""
    valid = current(experiment, records)
    return [row.key for row in experiment.rows if row.key not in valid or retry and valid[row.key]["state"] == "failed"]


def finished(records: Iterable[Record]) -> list[Record]:
    return [record for record in records if record["state"] == "done"]


def read_timings(folder: Path) -> dict[str, Any]:
    """What `benchmarks.leaderboard.serving.time_networks` returned; nothing of no network if there is no file. Raises
    InputError for a file of another form."""
    path = folder / "timings.json"
    if not path.exists():
        return {"facts": {}, "networks": {}}
    try:
        timings = json.loads(path.read_text(encoding="utf-8"))
        if not all(isinstance(figures["model"], str) for figures in timings["networks"].values()):
            raise ValueError
        return timings
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise InputError(f"{str(path)!r} is not a leaderboard's; remove it or choose other --results") from error


def write_timings(folder: Path, timings: Mapping[str, Any]) -> Path:
    return write_json(folder / "timings.json", timings)
