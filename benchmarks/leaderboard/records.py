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
FACTS = {"key": str, "digest": str, "state": str}


def records_path(folder: Path) -> Path:
    return folder / "rows.json"


def read_records(folder: Path) -> dict[str, Record]:
    """The records in a leaderboard's folder by row; none if there is no file. Raises InputError for a file of another form."""
    path = records_path(folder)
    try:
        rows = json.loads(path.read_text(encoding="utf-8")) if path.exists() else []
        for row in rows:
            if not all(isinstance(row[name], kind) for name, kind in FACTS.items()):
                raise ValueError
        return {row["key"]: row for row in rows}
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise InputError(f"{str(path)!r} is not a leaderboard's; remove it or choose other --results") from error


def write_records(folder: Path, experiment: Experiment, records: Mapping[str, Record]) -> Path:
    """Write the records in the order of the experiment's rows; those of rows that it no longer has are dropped."""
    return write_json(records_path(folder), [records[row.key] for row in experiment.rows if row.key in records])


def outdated(experiment: Experiment, records: Mapping[str, Record], retry: bool = False) -> list[str]:
    """Keys of the rows that are still to be trained: those without a record, or whose settings have changed since; with
    `retry` also those that failed."""
    wanted = []
    for row in experiment.rows:
        record = records.get(row.key)
        if not record or record["digest"] != row.digest(experiment.budget) or retry and record["state"] == "failed":
            wanted.append(row.key)
    return wanted


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
        if not all(isinstance(figures, dict) for figures in timings["networks"].values()):
            raise ValueError
        return timings
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise InputError(f"{str(path)!r} is not a leaderboard's; remove it or choose other --results") from error


def write_timings(folder: Path, timings: Mapping[str, Any]) -> Path:
    return write_json(folder / "timings.json", timings)
