"""Reader of synthetic people, photographed from nine angles in the layout of the 2020 competition."""

from dataclasses import replace

from common.errors import InputError, listing
from common.files import existing_folder
from datasets.manifest import Manifest
from datasets.readers.competition import Competition
from datasets.twin.landmarks import LANDMARKS, twin_points
from datasets.twin.plan import TABLES
from datasets.twin.receipt import RECEIPT, read_receipt
from datasets.twin.unpack import unpacked_sample


class Twin(Competition):
    """Reader of a set made by `python -m datasets.twin`: the one in `root`, or the sample that comes with the repository.

    Attributes: angle (camera) and expression. The names of the photographs tell whom they show, those of validate and test, too.
    landmarks: know where eyes, nose, mouth and chin are (`datasets.twin.landmarks`), which masks are laid by. Raises InputError
    for a set that is not whole.
    """

    def __init__(self, root: str = "", landmarks: bool = False):
        if root:
            folder = existing_folder(root, "the folder of a set made by 'python -m datasets.twin --out DIR'")
            if not (folder / RECEIPT).is_file():
                raise InputError(
                    f"{root!r} has no {RECEIPT} in it; it should be a set made by 'python -m datasets.twin --out DIR'"
                )
            absent = [table for table in TABLES.values() if not (folder / table).is_file()]
            if absent:
                raise InputError(
                    f"the set in {root!r} is unfinished (there is no {listing(absent)}); 'python -m datasets.twin' with the "
                    f"settings in its {RECEIPT} goes on with it"
                )
        super().__init__(root or str(unpacked_sample()))
        self.landmarks = landmarks

    def faces(self, split: str) -> Manifest:
        """The photographs of a split; unlike the competition's, those of validate and test have identities."""
        faces = super().faces(split)
        if split != "train":
            identities = faces.table["file_name"].str.partition("_")[0].astype(object)
            faces = replace(faces, table=faces.table.assign(face_id=identities))
        if not self.landmarks:
            return faces
        settings = read_receipt(self.root)["settings"]
        seed, side = (settings.get(name) for name in ("seed", "image_size"))
        if type(seed) is not int or type(side) is not int:
            raise InputError(f"{str(self.root / RECEIPT)!r} does not tell seed and image_size, which landmarks are found by")
        return replace(faces, points=twin_points(faces.file_names, seed, side), landmarks=LANDMARKS)
