"""From the data section of a config to a reader."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from common.config import DataConfig
from common.errors import InputError
from datasets import READERS, Reader
from datasets.manifest import Manifest, Pairs
from datasets.readers.boxes import below, read_boxes_csv, with_boxes
from datasets.readers.masked import Masked
from datasets.readers.shallow import Shallow

OWN_PHOTOGRAPHS = ("orl", "twin")  # readers that bring photographs and need no root


def open_reader(config: DataConfig) -> Reader:
    """The configured reader. Raises InputError for an unknown one, an absent root or an option that it does not have."""
    name = config.reader["name"]
    if name in READERS and not config.root and name not in OWN_PHOTOGRAPHS:
        raise InputError(f"reader {name!r} needs the data set's folder: pass --data.root DIR")
    reader = READERS.build(config.reader, root=config.root)
    if config.boxes:
        reader = Boxed(reader, config.boxes)
    if config.most_per_person:
        reader = Shallow(reader, config.most_per_person, config.draw_seed)
    return reader if config.masked == "none" else Masked(reader, copies=config.masked == "copies")


class Boxed:
    """A reader together with a CSV of face boxes and landmarks, whose file names are relative to the reader's root.

    Raises InputError for a faulty CSV, and for one that lists none of a split's photographs or contradicts the reader.
    """

    def __init__(self, reader: Reader, path: str):
        self.reader, self.path = reader, path
        self.root: Path = reader.root
        self._listed = read_boxes_csv(path, self.root)

    def faces(self, split: str) -> Manifest:
        """The reader's photographs, with what the CSV says of them."""
        faces = self.reader.faces(split)
        return with_boxes(faces, below(self._listed, faces.root), self.path)

    def pairs(self, split: str) -> Pairs:
        """The reader's pairs."""
        return self.reader.pairs(split)


SPLIT_OPTIONS = ("fold", "subset", "validate_share", "test_share", "split_seed")
OWN_DATA = ("folder", "competition", "twin")  # readers whose root says which data it is; all others read one published set


def check_same_split(trained: Mapping[str, Any], config: DataConfig, source: str) -> None:
    """Refuse data of which another split trained a model: people it is tested on might be people it has seen.

    trained: the data settings in the weight file `source`. Raises InputError.
    """
    earlier = trained.get("reader")
    earlier = {"name": earlier} if isinstance(earlier, str) else earlier
    name = config.reader["name"]
    if not isinstance(earlier, Mapping) or earlier.get("name") != name:
        return
    if name in OWN_DATA and os.path.realpath(str(trained.get("root"))) != os.path.realpath(config.root):
        return
    for option in SPLIT_OPTIONS:
        before, now = earlier.get(option), config.reader.get(option)
        if before != now:
            raise InputError(
                f"{source} was trained with data.reader.{option} = {before}, and now data.reader.{option} = {now}: people who"
                f" trained it could stand in this test; use the same split"
            )
