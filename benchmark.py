"""Measure training, scoring and serving, side by side with what people use today.

    python benchmark.py                 # everything, about a quarter of an hour on two cores -> results/benchmark.md and .json
    python benchmark.py --quick         # the same at a glance, under three minutes
    python benchmark.py --only serving --results DIR
    python benchmark.py --files W.pt W-int8.onnx       # how fast your own files embed, printed only

It uses the synthetic photographs that come with the repository and random weights; --cfp DIR scores the real pairs of
Celebrities in Frontal-Profile as well. It takes the packages of requirements-serve.txt. Let nothing else run meanwhile.
"""

import argparse
import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path

from benchmarks.timing import Section
from common.config import MOST_THREADS, DataConfig
from common.devices import compute_deterministically
from common.errors import InputError, brief, run_script
from datasets.readers.opening import open_reader
from models.serving import require_packages


def sections(quick: bool, cfp: str) -> dict[str, Callable[[], Iterator[Section]]]:
    """What is measured, by name; each is carried out when it is called."""
    from benchmarks.resources import resources_section
    from benchmarks.scaling import scaling_section
    from benchmarks.scoring import scoring_section
    from benchmarks.serving import serving_section
    from benchmarks.training import epoch_section, step_section

    def step() -> Iterator[Section]:
        yield step_section(112, identities=2 if quick else 8, rounds=1 if quick else 3)
        if not quick:
            yield step_section(256, identities=2, rounds=2)

    def epoch() -> Iterator[Section]:
        yield epoch_section(112, identities=2 if quick else 8, batches=2, rounds=1 if quick else 2)

    def scoring() -> Iterator[Section]:
        for data in [DataConfig(reader="twin"), *([cfp_data(cfp)] if cfp else [])]:
            if quick:
                yield scoring_section(data, 112, most=200, reference_pairs=48, rounds=1)
                continue
            yield scoring_section(data, 112, most=None, reference_pairs=256, rounds=2)
            yield scoring_section(data, 256, most=300, reference_pairs=32, rounds=1)

    def serving() -> Iterator[Section]:
        yield serving_section(112, rounds=1 if quick else 5, turn=4 if quick else 32)

    def resources() -> Iterator[Section]:
        yield resources_section(pairs=1_000_000, rows=100_000 if quick else 1_000_000, batch=32 if quick else 128)

    def scaling() -> Iterator[Section]:
        yield scaling_section((1_000, 10_000, 100_000), rounds=3 if quick else 10)

    parts = (step, epoch, scoring, serving, scaling, resources)
    return {part.__name__: part for part in parts}


def cfp_data(root: str) -> DataConfig:
    return DataConfig(reader={"name": "cfp", "fold": 2}, root=root)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    names = ("step", "epoch", "scoring", "serving", "scaling", "resources")
    parser.add_argument("--quick", action="store_true", help="fewer rounds, smaller batches")
    parser.add_argument("--only", nargs="+", choices=names, default=names, metavar="PART", help=f"of: {', '.join(names)}")
    parser.add_argument(
        "--files", nargs="+", default=[], metavar="FILE", help="weight files and exported ones to compare instead"
    )
    parser.add_argument("--cfp", default="", metavar="DIR", help="also score the pairs of CFP in this folder")
    parser.add_argument("--threads", type=int, default=os.cpu_count(), help="threads of every candidate (default: %(default)s)")
    parser.add_argument("--results", default="results", help="folder of the report (default: %(default)s)")
    options = parser.parse_args()
    if not 1 <= options.threads <= MOST_THREADS:
        raise InputError(f"--threads is {brief(options.threads)}; it should be at least 1 and at most {MOST_THREADS:,}")
    require_packages()
    if options.cfp:
        open_reader(cfp_data(options.cfp)).pairs("test")  # a wrong folder is told now, not after the other parts
    from benchmarks.report import environment, markdown, write

    compute_deterministically(options.threads)
    facts = environment(" ".join(["python benchmark.py", *sys.argv[1:]]))
    if options.files:
        from benchmarks.serving import files_section

        section = files_section(options.files, rounds=3 if options.quick else 10, turn=32)
        print(markdown({"files": {"facts": facts, "sections": [asdict(section)]}}))
        return
    for name in options.only:  # written one by one: what is done stays, should a later part be stopped
        page = write(Path(options.results), name, facts, sections(options.quick, options.cfp)[name]())
    print(page.read_text(encoding="utf-8"))
    print(f"report: {page}")


if __name__ == "__main__":
    run_script(main)
