"""Render a set of synthetic people, photographed from nine angles, in the layout of the 2020 competition.

    python -m datasets.twin --identities 1000 --out data/thousand --workers 4

Then train on it with --data.reader twin --data.root data/thousand. Stopped or killed, the same command goes on where it
was. The packages of requirements-twin.txt are needed to render, but not to train.
"""

import argparse
import inspect
from collections.abc import Sequence

from common.errors import run_script
from datasets.twin.generate import generate

OPTIONS = {
    "identities": "synthetic people in all, over train, validate and test",
    "seed": "another seed is another population; sets of one seed share people",
    "image_size": "side of the photographs in pixels",
    "takes": "photographs of each person under each of 3 expressions and 9 cameras",
    "plain_share": "share of photographs without glasses, hat or mask",
    "validate_share": "share of the people who validate",
    "test_share": "share of the people who test",
    "validate_pairs": "pairs to validate on, half of them of the same person",
    "test_pairs": "pairs to test on, half of them of the same person",
    "quality": "JPEG quality, 1 to 95",
    "workers": "processes to render in; the files do not depend on it",
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command. Raises InputError."""
    parser = argparse.ArgumentParser(
        prog="python -m datasets.twin", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", required=True, help="new or empty folder for the set, or one in which this set was begun")
    parameters = inspect.signature(generate).parameters
    for name, text in OPTIONS.items():
        default = parameters[name].default
        parser.add_argument(f"--{name}", type=type(default), default=default, help=f"{text} (default %(default)s)")
    out = generate(**vars(parser.parse_args(arguments)))
    print(f"the set is in {out}; train on it with --data.reader twin --data.root {out}")


if __name__ == "__main__":
    run_script(main, go_on="the same command goes on where it was")
