"""Who is photographed how, who stands in which split and which pairs are asked: all decided before the first pixel."""

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from common.errors import InputError
from datasets.manifest import Face, Manifest
from datasets.pairs.draw import draw_pairs, random_stream
from datasets.pairs.split import SPLITS, split_identities
from datasets.readers.competition import ANGLES, EXPRESSIONS, MIRRORS
from datasets.twin.shots import MOST_PEOPLE, Shot, draw_shots, face_id, file_name

TABLES = {"train": "train/train_meta.csv", "validate": "validate/validate_label.csv", "test": "test/test_label.csv"}
LEAST_SIDE, MOST_SIDE = 16, 2048  # pixels
MOST_PHOTOGRAPHS = 5_000_000  # before those of validate and test are thinned out to their pairs; K-FACE has 4.3 million
MOST_QUALITY = 95  # Pillow advises against more: larger files that look the same


@dataclass(frozen=True)
class Settings:
    """Everything that decides the bytes of a set; datasets.twin.generate.generate says what each means."""

    identities: int
    seed: int
    image_size: int
    takes: int
    plain_share: float
    validate_share: float
    test_share: float
    validate_pairs: int
    test_pairs: int
    quality: int

    def __post_init__(self):
        """Raise InputError for what no later step would refuse by itself."""
        for name, least, most in (
            ("identities", 1, MOST_PEOPLE),
            ("image_size", LEAST_SIDE, MOST_SIDE),
            ("quality", 1, MOST_QUALITY),
        ):
            value = getattr(self, name)
            if not least <= value <= most:
                raise InputError(f"{name} is {value:,}; it should be {least:,} to {most:,}")
        photographs = self.identities * self.takes * len(EXPRESSIONS) * len(ANGLES)
        if photographs > MOST_PHOTOGRAPHS:
            raise InputError(
                f"identities {self.identities:,} and takes {self.takes:,} make {photographs:,} photographs; at most"
                f" {MOST_PHOTOGRAPHS:,} can be planned"
            )
        if not (self.validate_share and self.test_share):
            raise InputError(
                f"validate_share is {self.validate_share} and test_share {self.test_share}; the competition needs both above 0"
            )

    def shots(self, person: int) -> list[Shot]:
        """All shots of a person, whether or not the split needs them."""
        return draw_shots(person, self.seed, self.takes, self.plain_share)


@dataclass(frozen=True)
class Plan:
    """people: the person numbers of each split. names: file names of each split's photographs. tables: each split's CSV."""

    people: dict[str, list[int]]
    names: dict[str, list[str]]
    tables: dict[str, str]

    @staticmethod
    def of(settings: Settings) -> "Plan":
        """Deal the people out, draw the pairs and write the tables as text. Raises InputError."""
        numbers = {face_id(person): person for person in range(settings.identities)}
        shares = {"test": settings.test_share, "validate": settings.validate_share}
        split = split_identities(numbers, shares, settings.seed)
        people = {name: [numbers[identity] for identity in split[name]] for name in SPLITS}
        names, tables = {}, {}
        for name in SPLITS:
            faces = _faces(people[name], settings)
            if name == "train":
                names[name], table = faces.file_names, faces.table[["face_id", "file_name"]]
            else:
                count = settings.validate_pairs if name == "validate" else settings.test_pairs
                drawn = draw_pairs(faces, count, random_stream(settings.seed, f"{name} pairs"))
                columns = {"image1": drawn.table["first"], "image2": drawn.table["second"], "label": 1 - drawn.same}
                names[name], table = drawn.file_names, pd.DataFrame(columns)  # label 1 = different people
            tables[name] = table.to_csv(index=False, lineterminator="\n")
        return Plan(people, names, tables)


def _faces(people: list[int], settings: Settings) -> Manifest:
    """Every shot of the people as if it were photographed."""
    faces = [
        Face(file_name(person, shot), face_id(person), {"angle": shot.camera, "expression": shot.expression})
        for person in people
        for shot in settings.shots(person)
    ]
    return Manifest.of(faces, Path(), MIRRORS)
