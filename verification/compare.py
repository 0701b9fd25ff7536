"""Evaluations beside each other, as a Markdown table.

python -m verification.compare results/test/*_metrics.json
"""

import argparse
import json
from pathlib import Path
from typing import Any

from common.errors import InputError, listing, run_script

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
        name = listing([Path(path).name.removesuffix("_metrics.json")]).replace("|", "\\|")
        lines.append(f"| {name} | {' | '.join(_cell(path, key, figures.get(key)) for key in COLUMNS)} |")
    return "\n".join(lines)


def _read(path: str) -> dict[str, Any]:
    try:
        figures = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{path!r} cannot be read; it should be a <run>_metrics.json written by evaluate.py") from error
    if not isinstance(figures, dict) or "accuracy" not in figures:
        raise InputError(f"{path!r} has no figures in it; it should be a <run>_metrics.json written by evaluate.py")
    return figures


def _cell(path: str, key: str, value: Any) -> str:
    """What the table says of a figure. Raises InputError if it is not one that evaluate.py writes."""
    if value is None:
        return "-"
    if key == "parameters" and type(value) is int and value >= 0:
        return f"{value:,}"
    if key == "k_fold" and isinstance(value, dict):
        parts = ((part, value.get(part)) for part in ("accuracy", "standard_error"))
        return " ± ".join(_cell(path, f"k_fold.{part}", share) for part, share in parts)
    if key not in ("parameters", "k_fold") and type(value) in (int, float) and 0 <= value <= 1:
        return f"{value:.2%}"
    right = {"parameters": "a whole number", "k_fold": "a table"}.get(key, "a number from 0 to 1")
    raise InputError(f"{path!r} has {key} = {json.dumps(value):.60}; it should be {right}, as evaluate.py writes it")


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m verification.compare", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("metrics", nargs="+", metavar="METRICS.json", help="files written by evaluate.py")
    print(compare(parser.parse_args().metrics))


if __name__ == "__main__":
    run_script(main)
