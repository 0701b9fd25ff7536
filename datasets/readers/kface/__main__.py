"""python -m datasets.readers.kface --root ROOT --out DIR: rebuild the competition's data from K-FACE."""

import argparse
from collections.abc import Sequence

from common.errors import run_script
from datasets.readers.kface.rebuild import rebuild


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command. Raises InputError."""
    parser = argparse.ArgumentParser(prog="python -m datasets.readers.kface", description=__doc__)
    parser.add_argument("--root", required=True, help="K-FACE's folder, with High/ in it, or High itself")
    parser.add_argument("--out", required=True, help="new or empty folder for train/, validate/ and test/")
    parser.add_argument("--seed", type=int, default=0, help="seed of people, photographs and pairs (default %(default)s)")
    parser.add_argument("--identities", type=int, help="people to draw (default: everybody)")
    parser.add_argument("--images", type=int, help="training photographs to draw of each person (default: all)")
    parser.add_argument("--validate_share", type=float, default=0.1, help="share of the people (default %(default)s)")
    parser.add_argument("--test_share", type=float, default=0.1, help="share of the people (default %(default)s)")
    parser.add_argument("--pairs", type=int, default=1000, help="pairs of validate and of test (default %(default)s)")
    out = rebuild(**vars(parser.parse_args(arguments)))
    print(f"wrote the competition's data to {out}")


if __name__ == "__main__":
    run_script(main)
