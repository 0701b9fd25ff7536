"""How well several trainings verified by the time they had cost so much, or how one training for 8 bits went, as one picture.

python -m verification.curves results/train/logs/a.jsonl results/train/logs/b.jsonl --out curves.png
python -m verification.curves results/train/logs/quantise_mobilenet.jsonl --course --out course.png
"""

import argparse
import json
from collections import Counter
from pathlib import Path

import numpy as np

from common.errors import InputError, run_script
from common.files import write_whole

COSTS = ("images", "minutes")


def read_curve(path: str, cost: str) -> tuple[np.ndarray, np.ndarray]:
    """What a run had cost, and its validation AUC, at each validation: float64 [V] each.

    cost: "images", trained on, or "minutes", validation included. Raises InputError for a file that is no such log or has no
    validated epoch.
    """
    try:
        rows = [json.loads(line) for line in Path(path).read_text(encoding="utf-8").splitlines()]
        seconds, rates = (np.array([float(row[key]) for row in rows]) for key in ("seconds", "images_per_second"))
        spent = np.cumsum(seconds * rates if cost == "images" else seconds / 60)
        areas = {place: float(row["validation"]["auc"]) for place, row in enumerate(rows) if "auc" in row.get("validation", {})}
    except (OSError, ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError) as error:
        raise InputError(f"{path!r} cannot be read; it should be a <run>.jsonl log written by train.py") from error
    if not areas:
        raise InputError(f"{path!r} has no validation in it; it should be a <run>.jsonl log of train.py with validation pairs")
    if not np.isfinite([*spent, *areas.values()]).all():
        raise InputError(f"{path!r} has figures that are not finite; it should be a <run>.jsonl log written by train.py")
    return spent[list(areas)], np.array(list(areas.values()))


def read_course(path: str) -> tuple[dict[str, np.ndarray], int]:
    """Cross-entropy and accuracy after each epoch of a training that held photographs out, of images that train and of others,
    float64 [E] each, NaN where nothing was measured, and how many epochs were in float. Raises InputError for another file."""
    try:
        rows = [json.loads(line) for line in Path(path).read_text(encoding="utf-8").splitlines()]
        held_out = [row.get("validation", {}).get("held_out", {}) for row in rows]
        course = {"cross-entropy, training": [row["softmax"] for row in rows]}
        course |= {"cross-entropy, held out": [figures.get("cross_entropy", np.nan) for figures in held_out]}
        course |= {"accuracy, training": [row["accuracy"] for row in rows]}
        course |= {"accuracy, held out": [figures.get("accuracy", np.nan) for figures in held_out]}
        curves = {name: np.array(values, dtype=np.float64) for name, values in course.items()}
        switch = sum(not row["quantised"] for row in rows)
    except (OSError, ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError) as error:
        raise InputError(
            f"{path!r} cannot be read; it should be the log of a training with the recipe quantise that holds photographs out"
        ) from error
    if not rows:
        raise InputError(f"{path!r} is empty; it should be the log of a training with the recipe quantise")
    return curves, switch


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m verification.curves", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("logs", nargs="+", metavar="LOG.jsonl", help="logs written by train.py")
    parser.add_argument("--out", required=True, metavar="PNG", help="picture to write")
    parser.add_argument("--cost", choices=COSTS, default="images", help="unit of the horizontal axis (default: images)")
    parser.add_argument(
        "--course", action="store_true", help="of one training with the recipe quantise: loss and accuracy by epoch"
    )
    arguments = parser.parse_args()
    if not Path(arguments.out).name or Path(arguments.out).is_dir():
        raise InputError(f"--out is {arguments.out!r}; it should be the picture to write, such as curves.png")
    if arguments.course:
        draw_course_of(arguments.logs, Path(arguments.out))
        return
    stems = Counter(Path(path).stem for path in set(arguments.logs))
    names = {path: path if stems[Path(path).stem] > 1 else Path(path).stem for path in arguments.logs}
    curves = {name: read_curve(path, arguments.cost) for path, name in names.items()}
    from verification.plots import draw_curves  # takes a second to load, which a wrong log need not wait for

    unit = {"images": "training images", "minutes": "minutes of training"}[arguments.cost]
    write_whole(Path(arguments.out), lambda path: draw_curves(path, curves, unit))
    print(f"curves: {arguments.out}")


def draw_course_of(logs: list[str], out: Path) -> None:
    if len(logs) != 1:
        raise InputError(f"--course is of one training, and {len(logs)} logs are given; name one")
    course, switch = read_course(logs[0])
    from verification.plots import draw_course

    write_whole(out, lambda path: draw_course(path, Path(logs[0]).stem, course, switch))
    print(f"course: {out}")


if __name__ == "__main__":
    run_script(main)
