"""Find the faces in raw photographs, with a published detector (`make detector` installs it).

    python -m datasets.detect --root PHOTOS --out faces.csv

Then cut to them everywhere with --data.boxes=faces.csv. Stopped or killed, the same command goes on where it was.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from common.errors import run_script
from datasets.detect.detector import YuNet
from datasets.detect.find import SCORE, SIDE
from datasets.detect.search import beside, search, summary


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command. Raises InputError."""
    parser = argparse.ArgumentParser(
        prog="python -m datasets.detect", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--root", required=True, help="the folder with the photographs, in folders of any depth")
    parser.add_argument("--out", default="", help="the CSV for data.boxes (default faces.csv in the folder)")
    parser.add_argument("--all", action="store_true", help="also write every face, to a CSV beside it that ends in -all")
    parser.add_argument("--sheet", default="", help="also draw a contact sheet, a .jpg or .png outside the folder")
    parser.add_argument("--score", type=float, default=SCORE, help="least score of a face, 0.3 to 1 (default %(default)s)")
    parser.add_argument(
        "--side",
        type=int,
        default=SIDE,
        help="pixels they are scaled to; more finds smaller faces (default %(default)s)",
    )
    parser.add_argument("--detector", default="", help="another file of the kind of YuNet's ONNX file")
    parsed = parser.parse_args(arguments)
    out = Path(parsed.out or Path(parsed.root) / "faces.csv")

    def opened() -> YuNet:
        detector = YuNet(parsed.detector)
        print(f"detector: {detector.name}")
        return detector

    found = search(parsed.root, out, opened, parsed.score, parsed.side, parsed.all, parsed.sheet)
    for line in summary(found):
        print(line)
    written = [out, beside(out, "check"), *([beside(out, "all")] if parsed.all else []), *filter(None, [parsed.sheet])]
    print(f"wrote {', '.join(map(str, written))}; cut to these faces with --data.boxes={out}")


if __name__ == "__main__":
    run_script(main, go_on="the same command goes on where it was")
