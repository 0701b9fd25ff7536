"""The report: results/benchmark.json with every figure, results/benchmark.md to read."""

import os
import platform
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from benchmarks.contest import Section
from files import write_json, write_whole
from training.run import git_commit

PACKAGES = ("torch", "efficientnet-pytorch", "numpy", "pillow", "opencv-python-headless", "onnxruntime")


def environment(command: str) -> dict[str, Any]:
    """What the figures depend on beside the code."""
    return {
        "command": command,
        "processor": _processor(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "bfloat16 matrix units": bool(torch.cpu.get_capabilities().get("amx_bf16")),
        "system": f"{platform.system()} {platform.machine()}, Python {platform.python_version()}",
        "versions": {name: version(name) for name in PACKAGES},
        "git_commit": git_commit(),
    }


def write(folder: Path, facts: dict[str, Any], sections: list[Section]) -> tuple[Path, Path]:
    """Write both files and return their paths."""
    content = {**facts, "sections": [asdict(section) for section in sections]}
    table = write_whole(folder / "benchmark.md", markdown(facts, sections))
    return table, write_json(folder / "benchmark.json", content)


def markdown(facts: dict[str, Any], sections: list[Section]) -> str:
    """The report as a page."""
    versions = ", ".join(f"{name} {number}" for name, number in facts["versions"].items())
    lines = [
        "# Benchmark",
        "",
        f"`{facts['command']}` on {facts['processor']}, {facts['cores']} cores, {facts['threads']} threads; {facts['system']};"
        f" {versions}; commit {facts['git_commit']}.",
        "",
        "Contestants take turns; figures are medians of the rounds, 'range' the slowest and fastest round.",
    ]
    for section in sections:
        lines += ["", f"## {section.title}", "", section.what, "", *_table(section.rows)]
        for remark in section.remarks:
            lines += ["", remark]
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
