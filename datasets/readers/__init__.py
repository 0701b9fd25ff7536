"""Readers: from files to tables of faces and of pairs. A new source is one file here and one line in READERS."""

from pathlib import Path
from typing import Protocol

from common.registry import Registry
from datasets.manifest import Manifest, Pairs
from datasets.readers.agedb30 import AgeDB30
from datasets.readers.cfp import CFP
from datasets.readers.cmu import CMU
from datasets.readers.competition import Competition
from datasets.readers.cross_lfw import CALFW, CPLFW
from datasets.readers.folder import Folder
from datasets.readers.kface import KFace
from datasets.readers.lfw import LFW
from datasets.readers.orl import ORL
from datasets.readers.rfw import RFW
from datasets.twin.reader import Twin


class Reader(Protocol):
    """What a source of photographs offers; its constructor takes the root and the source's own options.

    A reader knows files and tables, no pixels. It raises InputError, before any training, if a photograph that it names
    is missing or lies outside the root.
    """

    root: Path

    def faces(self, split: str) -> Manifest:
        """The photographs of train, validate or test."""

    def pairs(self, split: str) -> Pairs:
        """The pairs to verify in validate or test."""


READERS = Registry(
    "reader",
    {
        "competition": Competition,
        "kface": KFace,
        "cfp": CFP,
        "cmu": CMU,
        "orl": ORL,
        "twin": Twin,
        "folder": Folder,
        "lfw": LFW,
        "cplfw": CPLFW,
        "calfw": CALFW,
        "agedb30": AgeDB30,
        "rfw": RFW,
    },
)
