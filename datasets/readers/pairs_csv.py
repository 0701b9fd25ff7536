"""A stranger's list of pairs, to be scored in place of a reader's own."""

from pathlib import Path

from datasets.manifest import Pairs
from datasets.readers.presence import check_files
from datasets.readers.tables import read_answers, read_csv


def read_pairs_csv(path: str | Path, data_root: str | Path = "") -> Pairs:
    """Pairs from a CSV with columns image1, image2 and, where answers are known, label (1 = different) or same (1 = same).

    File names are relative to `data_root`; empty means the CSV's own folder. Raises InputError for an unreadable list
    and for photographs that are missing or lie outside the root.
    """
    path = Path(path)
    table = read_csv(path, ["image1", "image2"])
    names = (table[column].to_numpy(dtype=object) for column in ("image1", "image2"))
    pairs = Pairs.of(*names, read_answers(table, path), Path(data_root or path.parent))
    check_files(pairs.root, pairs.file_names, repr(str(path)))
    return pairs
