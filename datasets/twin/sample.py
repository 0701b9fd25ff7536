r"""Pack a set made by `python -m datasets.twin` into the one zip that comes with the repository.

    python -m datasets.twin --identities 350 --out DIR --seed 2020 --image_size 80 --quality 80 \
      --validate_share 0.086 --test_share 0.114
    python -m datasets.twin.sample DIR

Equal sets give equal bytes. The SHA-256 that is printed belongs into datasets/twin/unpack.py.
"""

import argparse
import hashlib
import zipfile
from collections.abc import Sequence
from pathlib import Path

from common.errors import InputError, run_script
from common.files import write_whole
from datasets.pairs.split import SPLITS
from datasets.twin.plan import TABLES
from datasets.twin.reader import Twin
from datasets.twin.receipt import RECEIPT
from datasets.twin.unpack import SAMPLE, SAMPLE_DIGEST

MOST_BYTES = 15_000_000
FIRST_DATE = (1980, 1, 1, 0, 0, 0)  # the earliest that a zip can name
UNIX = 3  # the system that a zip names as its maker decides what its file modes mean


def pack(folder: str | Path, archive: str | Path = SAMPLE) -> str:
    """Write the set in `folder`, and no other file that lies there, to the zip `archive`; return its SHA-256.

    Photographs are stored and not deflated, since JPEGs do not shrink. Raises InputError for a set that is not whole or
    makes a zip of more than 15 MB.
    """
    reader = Twin(str(folder) or ".")
    names = [RECEIPT, *TABLES.values()]
    names += [f"{split}/{name}" for split in SPLITS for name in reader.faces(split).file_names]

    def write(path: Path) -> None:
        with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as packed:
            for name in sorted(names):
                entry = zipfile.ZipInfo(name, FIRST_DATE)
                entry.create_system, entry.external_attr = UNIX, 0o644 << 16
                packed.writestr(entry, (reader.root / name).read_bytes())
        size = path.stat().st_size
        if size > MOST_BYTES:
            raise InputError(
                f"the zip of {str(folder)!r} would have {size:,} bytes, more than the {MOST_BYTES:,} that a repository should "
                f"carry; render fewer people or a lower --quality"
            )

    return hashlib.sha256(write_whole(archive, write).read_bytes()).hexdigest()


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command. Raises InputError."""
    parser = argparse.ArgumentParser(
        prog="python -m datasets.twin.sample", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", metavar="DIR", help="a whole set")
    parser.add_argument("--out", default=str(SAMPLE), help="the zip (default %(default)s)")
    options = parser.parse_args(arguments)
    digest = pack(options.folder, options.out)
    print(f"{options.out}: {Path(options.out).stat().st_size:,} bytes, SHA-256 {digest}")
    if digest != SAMPLE_DIGEST:
        print("datasets/twin/unpack.py expects another SHA-256: SAMPLE_DIGEST should be this one if this is the new sample")


if __name__ == "__main__":
    run_script(main)
