"""The rows of a leaderboard over their seeds, best first, as CSV and Markdown."""

import csv
import dataclasses
import io
from collections.abc import Mapping
from dataclasses import dataclass
from statistics import mean, stdev
from typing import Any

from benchmarks.leaderboard.experiment import Experiment, Row
from benchmarks.leaderboard.records import Record, current, finished
from common.errors import listing


@dataclass(frozen=True)
class Entry:
    """A network with a method. Shares are in [0, 1]; figures are means over the seeds, `_sd` their standard deviations (ddof
    1; None for one seed); None where nothing was measured. reason: why a seed failed, or how many are still to come."""

    network: str
    method: str
    seeds: int
    accuracy: float | None = None
    accuracy_sd: float | None = None
    auc: float | None = None
    auc_sd: float | None = None
    eer: float | None = None
    parameters: int | None = None
    multiply_adds: int | None = None
    ms: float | None = None
    megabytes: float | None = None
    images: int | None = None
    seconds: float | None = None
    reason: str = ""


def entries(experiment: Experiment, records: Mapping[str, Record], timings: Mapping[str, Any]) -> list[Entry]:
    """An entry for each network and method of the experiment, by accuracy; those without one last, in the file's order.

    Records and timings of other settings than the present ones do not count.
    """
    valid = current(experiment, records)
    timed = {figures["model"]: figures for figures in timings["networks"].values()}
    groups: dict[tuple[str, str], list[Row]] = {}
    for row in experiment.rows:
        groups.setdefault((row.network, row.method), []).append(row)
    made = [_entry(rows, valid, timed.get(rows[0].model_digest, {})) for rows in groups.values()]
    return sorted(made, key=lambda entry: -1.0 if entry.accuracy is None else entry.accuracy, reverse=True)


def _entry(rows: list[Row], valid: Mapping[str, Record], timing: Mapping[str, Any]) -> Entry:
    """rows: one of each seed."""
    records = [valid[row.key] for row in rows if row.key in valid]
    done = finished(records)
    failed: dict[str, list[int]] = {}
    for record in records:
        if record["state"] == "failed":
            failed.setdefault(record["reason"], []).append(record["seed"])
    reasons = [f"seed {listing(seeds, most=99)}: {reason}" for reason, seeds in failed.items()]
    if waiting := len(rows) - len(records):
        reasons.append(f"{waiting} of {len(rows)} seeds are still to be trained")
    if "reason" in timing:
        reasons.append(timing["reason"])
    entry = Entry(rows[0].network, rows[0].method, len(done), reason="; ".join(reasons))
    entry = dataclasses.replace(entry, ms=timing.get("ms"), megabytes=timing.get("megabytes"))
    if not done:
        return entry
    columns = {name: [record[name] for record in done] for name in ("accuracy", "auc", "eer", "seconds", "images")}
    figures = {name: mean(values) for name, values in columns.items() if None not in values}
    figures |= {f"{name}_sd": stdev(columns[name]) for name in ("accuracy", "auc") if name in figures and len(done) > 1}
    figures["images"] = round(figures["images"])
    return dataclasses.replace(entry, **figures, parameters=done[0]["parameters"], multiply_adds=done[0]["multiply_adds"])


def as_csv(table: list[Entry]) -> str:
    """Every figure as it is: shares in [0, 1], counts, milliseconds, megabytes, seconds."""
    names = [field.name for field in dataclasses.fields(Entry)]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(names)
    for entry in table:
        writer.writerow(["" if (value := getattr(entry, name)) is None else _exact(value) for name in names])
    return text.getvalue()


def _exact(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)


COLUMNS = {
    "network": "network",
    "method": "method",
    "accuracy": "accuracy %",
    "auc": "AUC %",
    "eer": "EER %",
    "parameters": "parameters, M",
    "multiply_adds": "MACs, M",
    "ms": "ms an image",
    "megabytes": "MB",
    "seconds": "training, s",
}


def cells(entry: Entry) -> dict[str, str]:
    """The text of each of COLUMNS."""
    return {
        "network": entry.network,
        "method": entry.method,
        "accuracy": _percent(entry.accuracy, entry.accuracy_sd),
        "auc": _percent(entry.auc, entry.auc_sd),
        "eer": _percent(entry.eer, None),
        "parameters": "" if entry.parameters is None else f"{entry.parameters / 1e6:.2f}",
        "multiply_adds": "" if entry.multiply_adds is None else f"{entry.multiply_adds / 1e6:,.0f}",
        "ms": "" if entry.ms is None else f"{entry.ms:.2f}",
        "megabytes": "" if entry.megabytes is None else f"{entry.megabytes:.1f}",
        "seconds": "" if entry.seconds is None else f"{entry.seconds:,.0f}",
    }


def _percent(share: float | None, deviation: float | None) -> str:
    if share is None:
        return ""
    return f"{100 * share:.2f}" if deviation is None else f"{100 * share:.2f} ± {100 * deviation:.2f}"


def explanation(
    experiment: Experiment, table: list[Entry], records: Mapping[str, Record], timings: Mapping[str, Any]
) -> list[str]:
    """Sentences on what the figures are."""
    budget = experiment.budget
    spent = f"{budget.images:,} images seen" if budget.images is not None else f"{budget.seconds:,.0f} seconds of training"
    seeds = len({row.seed for row in experiment.rows})
    done = finished(current(experiment, records).values())
    pairs = sorted({record["pairs"] for record in done})
    sides = sorted({record["image_size"] for record in done})
    sentences = [
        f"Every row: the same training photographs, {spent}, {seeds} seed{'s' if seeds > 1 else ''};"
        f" ± is the standard deviation over the seeds.",
    ]
    rule = experiment.rows[0].config.evaluate.rule
    if done:
        threshold = "found on validation people" if rule == "calibrated" else f"of the rule {rule}"
        sentences.append(
            f"Accuracy, at the threshold {threshold}, AUC and EER are those of"
            f" {' or '.join(f'{count:,}' for count in pairs)} test pairs, images of {' or '.join(map(str, sides))} pixels."
        )
    if facts := timings["facts"]:
        sentences.append(
            f"ms an image: the exported file in onnxruntime {facts['versions']['onnxruntime']}, float32, one image at a time, one"
            f" thread of {facts['processor']}; median of rounds in which the networks took turns. MB: that file."
        )
    if left := sum(entry.seeds == 0 for entry in table):
        sentences.append(f"{left} of {len(table)} rows have no figures yet.")
    return sentences


def as_markdown(title: str, sentences: list[str], command: str, table: list[Entry]) -> str:
    lines = [f"# {title}", "", *sentences, "", f"Command: `{command}`", ""]
    lines += [f"| {' | '.join(COLUMNS.values())} |", f"|---|---|{'---:|' * (len(COLUMNS) - 2)}"]
    lines += [f"| {' | '.join(cells(entry).values())} |" for entry in table]
    if notes := [f"- {entry.network} with {entry.method}: {entry.reason}" for entry in table if entry.reason]:
        lines += ["", *notes]
    return "\n".join(lines) + "\n"
