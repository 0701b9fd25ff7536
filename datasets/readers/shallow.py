"""A reader whose training people have few photographs each: what is left of a large set where one has to learn from little."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from datasets.manifest import Manifest, Pairs
from datasets.pairs.draw import draw_some, random_stream

if TYPE_CHECKING:
    from datasets.readers import Reader


class Shallow:
    """A reader with at most `most` photographs of each person to train on; validation and test keep theirs."""

    def __init__(self, reader: Reader, most: int, seed: int):
        self.reader, self.most, self.seed = reader, most, seed
        self.root: Path = reader.root

    def faces(self, split: str) -> Manifest:
        """The reader's photographs, of those to train on the ones that are drawn."""
        faces = self.reader.faces(split)
        return few_of_each(faces, self.most, self.seed) if split == "train" else faces

    def pairs(self, split: str) -> Pairs:
        """The reader's pairs."""
        return self.reader.pairs(split)


def few_of_each(faces: Manifest, most: int, seed: int) -> Manifest:
    """The faces, in the same order, with at most `most` photographs of each person, and all of those of nobody known.

    What is drawn of a person depends on the seed, the person's name and photographs alone: others may come and go.
    """
    names = faces.table["file_name"].to_numpy(dtype=object)
    keep = faces.table["face_id"].isna().to_numpy(copy=True)
    for person, places in faces.table.groupby("face_id").indices.items():
        own = sorted(places, key=names.__getitem__)
        for number in draw_some(len(own), most, random_stream(seed, f"photographs of {person}")):
            keep[own[number]] = True
    return faces.where(keep)
