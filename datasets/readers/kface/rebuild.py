"""The competition's data, rebuilt from K-FACE: its cameras, its layout, its labels, new people in every split."""

import shutil
from pathlib import Path

import pandas as pd

from common.errors import InputError
from common.files import write_whole
from common.progress import progress
from datasets.manifest import Manifest
from datasets.pairs.draw import draw_pairs, random_stream
from datasets.pairs.split import SPLITS, split_identities
from datasets.readers.competition import ANGLES
from datasets.readers.folder import visible
from datasets.readers.kface.layout import ATTRIBUTES, LIGHTS, Conditions, high_folder, photographs

CONDITIONS = Conditions.of(range(1, 7), LIGHTS, [1, 2, 3], [int(camera[1:]) for camera in ANGLES])


def rebuild(
    root: str | Path,
    out: str | Path,
    seed: int = 0,
    identities: int | None = None,
    images: int | None = None,
    validate_share: float = 0.1,
    test_share: float = 0.1,
    pairs: int = 1000,
) -> Path:
    """Copy photographs from K-FACE at `root` into the new folder `out`, as datasets.readers.competition reads them.

    identities: how many people to draw; None takes everybody. images: training photographs to draw of each person; None
    takes all. pairs: balanced pairs of validate and of test, even over all pairs of cameras; only their photographs are
    copied. The CSVs are written last, so that an interrupted rebuild cannot be mistaken for a whole one. The same
    photographs, options and seed give the same folder. Raises InputError, also for an `out` that is not empty.
    """
    folder, out = high_folder(root), Path(out)
    _check_empty(out)
    people = _draw_people(visible(folder, folders=True), identities, seed)
    split = split_identities(people, {"test": test_share, "validate": validate_share}, seed)
    if not all(split.values()):
        raise InputError(f"validate_share is {validate_share} and test_share {test_share}; the competition needs both above 0")
    if images is not None and images < 2:
        raise InputError(f"images is {images}; it should be 2 or more, because verification needs two photographs of a person")
    copies: dict[str, str] = {}  # new name, relative to `out` -> old name, relative to `folder`
    tables: dict[str, pd.DataFrame] = {}
    for name in SPLITS:
        faces = photographs(folder, split[name], CONDITIONS, f"list {name}")
        if name == "train":
            faces = _draw_images(faces, images, seed)
            renamed = _competition_names(faces)
            tables["train/train_meta.csv"] = pd.DataFrame({"face_id": faces.table["face_id"], "file_name": renamed.values()})
        else:
            drawn = draw_pairs(faces, pairs, random_stream(seed, f"{name} pairs"))
            renamed = _competition_names(faces.where(faces.table["file_name"].isin(drawn.file_names).to_numpy()))
            columns = {"image1": drawn.table["first"].map(renamed), "image2": drawn.table["second"].map(renamed)}
            tables[f"{name}/{name}_label.csv"] = pd.DataFrame(columns | {"label": 1 - drawn.same})  # 1 = different people
        copies |= {f"{name}/{new}": old for old, new in renamed.items()}
    try:
        for name in SPLITS:
            (out / name).mkdir(parents=True, exist_ok=True)
        for new, old in progress(copies.items(), "copy", total=len(copies), unit="photo"):
            shutil.copyfile(folder / old, out / new)
        for name, table in tables.items():
            write_whole(out / name, table.to_csv(index=False, lineterminator="\n"))
    except OSError as error:
        raise InputError(f"the rebuild in {str(out)!r} could not be finished: {error}") from error
    return out


def _check_empty(out: Path) -> None:
    if out.exists() and not out.is_dir():
        raise InputError(f"{str(out)!r} is a file; the rebuild needs a new or empty folder")
    if out.is_dir() and any(out.iterdir()):
        raise InputError(f"{str(out)!r} is not empty; the rebuild needs a new or empty folder and overwrites nothing")


def _draw_people(people: list[str], count: int | None, seed: int) -> list[str]:
    if count is None:
        return people
    if not 0 < count <= len(people):
        raise InputError(f"identities is {count}; K-FACE here has {len(people)} people, so it should be 1 to {len(people)}")
    return random_stream(seed, "people").choice(people, count, replace=False).tolist()


def _draw_images(faces: Manifest, count: int | None, seed: int) -> Manifest:
    """`count` photographs of each person at random, in the order they had."""
    if count is None:
        return faces
    order = random_stream(seed, "images").permutation(len(faces))
    place = faces.table.iloc[order].groupby("face_id").cumcount()  # in the shuffled order, the person's how-manieth
    return faces.where((place < count).sort_index().to_numpy())


def _competition_names(faces: Manifest) -> dict[str, str]:
    """From the old name of each photograph to `<id>_<S>_<L>_<E>_<C>_<n>.jpg`, n counting from 1."""
    columns = faces.table[["file_name", "face_id", *ATTRIBUTES]].itertuples(index=False)
    return {old: "_".join([*fields, f"{number}.jpg"]) for number, (old, *fields) in enumerate(columns, start=1)}
