"""python -m datasets.readers.insightface_bin FILE --out DIR: unpack one of InsightFace's test sets for evaluate.py --pairs."""

import argparse
from collections.abc import Sequence

from common.errors import run_script
from datasets.readers.insightface_bin.unpack import unpack


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command. Raises InputError."""
    parser = argparse.ArgumentParser(prog="python -m datasets.readers.insightface_bin", description=__doc__)
    parser.add_argument("file", help="the test set, such as lfw.bin")
    parser.add_argument("--out", required=True, help="new or empty folder for the photographs and pairs.csv")
    parsed = parser.parse_args(arguments)
    print(f"the pairs are in {unpack(parsed.file, parsed.out)}")


if __name__ == "__main__":
    run_script(main)
