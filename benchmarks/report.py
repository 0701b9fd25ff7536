"""The report: results/benchmark.json with every figure, results/benchmark.md to read.

A part that is measured anew replaces its earlier figures and leaves the other parts as they are; each says what it was
measured with.
"""

import json
import os
import platform
from collections.abc import Iterable
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from benchmarks.timing import Section
from common.devices import gains_from_bf16
from common.errors import InputError
from common.files import write_json, write_whole
from training.receipts import git_commit

PACKAGES = ("torch", "efficientnet-pytorch", "numpy", "pillow", "opencv-python-headless", "onnxruntime")


def environment(command: str) -> dict[str, Any]:
    """What the figures depend on beside the code."""
    return {
        "command": command,
        "processor": _processor(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "trains faster in bfloat16": gains_from_bf16(torch.device("cpu")),
        "system": f"{platform.system()} {platform.machine()}, Python {platform.python_version()}",
        "versions": {name: version(name) for name in PACKAGES},
        "git_commit": git_commit(),
    }


Parts = dict[str, dict[str, Any]]  # name -> {"facts": of `environment`, "sections": Sections as plain values}


def write(folder: Path, name: str, facts: dict[str, Any], sections: Iterable[Section]) -> Path:
    """Write the part `name` into both files and return the path of the page. Raises InputError for a report of no such form."""
    path = folder / "benchmark.json"
    parts = read(path) | {name: {"facts": facts, "sections": [asdict(section) for section in sections]}}
    write_json(path, parts)
    return write_whole(folder / "benchmark.md", markdown(parts))


def read(path: Path) -> Parts:
    """The parts of an earlier report; none if there is no report."""
    try:
        parts = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
        markdown(parts)
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise InputError(f"{str(path)!r} is not a report of benchmark.py; remove it or choose other --results") from error
    return parts


def markdown(parts: Parts) -> str:
    """The report as a page."""
    lines = ["# Benchmark", "", "Candidates take turns; figures are medians of the rounds, 'range' the slowest and fastest."]
    for part in parts.values():
        facts = part["facts"]
        versions = ", ".join(f"{name} {number}" for name, number in facts["versions"].items())
        machine = f"{facts['processor']}, {facts['cores']} cores, {facts['threads']} threads; {facts['system']}"
        for section in part["sections"]:
            lines += ["", f"## {section['title']}", "", section["what"], "", *_table(section["rows"])]
            for remark in section["remarks"]:
                lines += ["", remark]
        lines += [
            "",
            f"`{facts['command']}` on {machine}; {versions}; commit {facts['git_commit']}.",
        ]
    return "\n".join(lines) + "\n"


def _table(rows: list[dict[str, Any]]) -> list[str]:
    """A Markdown table: first column to the left, figures to the right."""
    columns = list(rows[0])
    lines = [f"| {' | '.join(columns)} |", f"|---|{'---:|' * (len(columns) - 1)}"]
    return lines + [f"| {' | '.join(_cell(row.get(column)) for column in columns)} |" for row in rows]


def _cell(value: Any) -> str:
    if isinstance(value, int) or isinstance(value, float) and value >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}" if isinstance(value, float) else "" if value is None else str(value)


def _processor() -> str:
    """The processor's name where the system tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine())
