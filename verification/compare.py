"""Evaluations beside each other, as a Markdown table.

python -m verification.compare results/test/*_metrics.json
"""

import argparse
import json
from pathlib import Path
from typing import Any

from common.errors import InputError, run_script

COLUMNS = {
    "accuracy": "accuracy",
    "auc": "AUC",
    "eer": "EER",
    "tar_at_far_1e-2": "TAR at FAR 1e-2",
    "k_fold": "10-fold accuracy",
    "parameters": "parameters",
}


def compare(paths: list[str]) -> str:
    """A Markdown table with one row per metrics file, in the order given. Raises InputError for what is no such file."""
    lines = [f"| run | {' | '.join(COLUMNS.values())} |", "|---" * (len(COLUMNS) + 1) + "|"]
    for path in paths:
        figures = _read(path)
        name = Path(path).name.removesuffix("_metrics.json")
        lines.append(f"| {name} | {' | '.join(_cell(key, figures.get(key)) for key in COLUMNS)} |")
    return "\n".join(lines)


def _read(path: str) -> dict[str, Any]:
    try:
        figures = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{path!r} cannot be read; it should be a <run>_metrics.json written by evaluate.py") from error
    if not isinstance(figures, dict) or "accuracy" not in figures:
        raise InputError(f"{path!r} has no figures in it; it should be a <run>_metrics.json written by evaluate.py")
    return figures


def _cell(key: str, value: Any) -> str:
    if value is None:
        return "-"
    if key == "k_fold":
        return f"{value['accuracy']:.2%} ± {value['standard_error']:.2%}"
    return f"{value:,}" if key == "parameters" else f"{value:.2%}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("metrics", nargs="+", metavar="METRICS.json", help="files written by evaluate.py")
    print(compare(parser.parse_args().metrics))


if __name__ == "__main__":
    run_script(main)
