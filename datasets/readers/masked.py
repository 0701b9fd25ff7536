"""Any reader, with masks on its training photographs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from datasets.manifest import Manifest, Pairs
from datasets.masks.copies import with_masks

if TYPE_CHECKING:
    from datasets.readers import Reader


class Masked:
    """A reader whose training photographs wear masks; `copies`: beside those that wear none.

    Raises InputError, when it is asked for them, if no mask can be laid on any.
    """

    def __init__(self, reader: Reader, copies: bool):
        self.reader, self.copies = reader, copies
        self.root: Path = reader.root

    def faces(self, split: str) -> Manifest:
        """The reader's photographs, those of train with masks."""
        faces = self.reader.faces(split)
        return with_masks(faces, plain=self.copies) if split == "train" else faces

    def pairs(self, split: str) -> Pairs:
        """The reader's pairs."""
        return self.reader.pairs(split)
