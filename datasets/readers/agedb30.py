"""AgeDB-30 (Moschoglou et al., CVPR Workshops 2017): pairs of photographs taken 30 years apart.

    03_Protocol_Images/<n>_<name>_<age>_<gender>.jpg
    [AgeDB_FINAL_protocol/]04_FINAL_protocol_30_years.mat       ten folds of 600 pairs, labels 1 (same) and -1

    agedb30_align_112/<image>.jpg
    agedb_30_pair.txt                                           6,000 lines `first second label`, labels 1 (same) and 0

The first is the layout as published, which FaceX-Zoo and InsightFace read; the second that in which Face_Pytorch and others
hand the aligned photographs on.
"""

from datasets.readers.agedb30_mat import read_splits
from datasets.readers.pair_lists import read_three_columns
from datasets.readers.published import PublishedPairs, chosen_or_first, dataset_folder

LISTS = (
    "AgeDB_FINAL_protocol/04_FINAL_protocol_30_years.mat",
    "04_FINAL_protocol_30_years.mat",
    "agedb_30_pair.txt",
)
IMAGES = ("03_Protocol_Images", "agedb30_align_112")
ANSWERS = {"1": True, "0": False, "-1": False}


class AgeDB30(PublishedPairs):
    """Reader of AgeDB-30: its test pairs, fold by fold. There are no attributes.

    pair_list: the list (.mat, or text in three columns), a path from the root; images: the folder of the photographs; empty:
    the first of those above that is there. Raises InputError for another layout.
    """

    title = "AgeDB-30"

    def __init__(self, root: str, images: str = "", pair_list: str = ""):
        folder = dataset_folder(root, self.title, f"{IMAGES[0]}/ and {LISTS[0]}")
        path = chosen_or_first(folder, pair_list, LISTS, "pair_list")
        pairs = read_splits(path) if path.suffix == ".mat" else read_three_columns(path, ANSWERS)
        super().__init__(folder, chosen_or_first(folder, images, IMAGES, "images"), pairs, repr(str(path)))
