"""Racial Faces in-the-Wild (Wang et al., ICCV 2019), in the layout of its folder test/.

    data/<race>/<id>/<id>_0001.jpg
    txts/<race>/<race>_pairs.txt        6,000 lines `id i j` (same) and `id i other j`, separated by tabs

FaceX-Zoo's test protocol reads the same files. Unlike LFW's, the lists have no first line with the number of folds.
"""

from typing import Literal

from common.errors import listing
from datasets.readers.pair_lists import read_names_and_numbers
from datasets.readers.published import PublishedPairs, chosen_or_first, dataset_folder

RACES = ("African", "Asian", "Caucasian", "Indian")


class RFW(PublishedPairs):
    """Reader of RFW: the test pairs of one `race`, or of all, list after list.

    Attribute `race`, so that an evaluation of all has the accuracy of each. The published k-fold accuracies are of one list.
    images: the folder with the folders of the races, a path from the root; empty: data. Raises InputError for another layout.
    """

    title = "RFW"

    def __init__(self, root: str, race: Literal["African", "Asian", "Caucasian", "Indian", "all"] = "all", images: str = ""):
        folder = dataset_folder(root, self.title, "data/<race>/ and txts/<race>/<race>_pairs.txt")
        photographs = chosen_or_first(folder, images, ("data",), "images")
        pairs, people, races = [], {}, {}
        paths = {race: folder / "txts" / race / f"{race}_pairs.txt" for race in (RACES if race == "all" else (race,))}
        for name, path in paths.items():
            for pair in read_names_and_numbers(path):
                inside = pair._replace(first=f"{name}/{pair.first}", second=f"{name}/{pair.second}")
                pairs.append(inside)
                for file in (inside.first, inside.second):
                    people[file], races[file] = file.split("/")[1], name
        source = listing(repr(str(path)) for path in paths.values())
        super().__init__(folder, photographs, pairs, source, people, {"race": races})
