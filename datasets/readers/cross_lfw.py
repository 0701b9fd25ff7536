"""Two harder sets of pairs of the people in LFW: Cross-Pose and Cross-Age LFW, in their official layouts.

CPLFW (Zheng and Deng, 2018, BUPT 18-01) and CALFW (Zheng, Deng and Hu, arXiv 1708.08197), from whdeng.cn:

    aligned images/<name>_0001.jpg      CALFW: or images&landmarks/images/; CPLFW: <name>_1.jpg, or images/
    pairs_CPLFW.txt, pairs_CALFW.txt    two lines `image label` a pair: 3,000 pairs of the same person, then 3,000 others

CPLFW's labels are 1 (same) and 0. CALFW's are 0 for different people and 1 to 10, the fold, for the same person.
"""

from collections.abc import Mapping
from typing import ClassVar

from datasets.readers.pair_lists import fold_by_fold, read_two_line_pairs
from datasets.readers.published import PublishedPairs, chosen_or_first, dataset_folder
from datasets.readers.tables import SAME

IMAGES = ("aligned images", "aligned_images", "images", "images&landmarks/images")


class CPLFW(PublishedPairs):
    """Reader of CPLFW: its test pairs, fold by fold (300 of the same person, 300 others), as FaceX-Zoo reads them.

    images: the folder of the photographs, a path from the root; empty: the first that is there of aligned images,
    aligned_images, images and images&landmarks/images. pair_list: the list, a path from the root. There are no attributes.
    Raises InputError for another layout.
    """

    title = "CPLFW"
    answers: ClassVar[Mapping[str, bool]] = {label: SAME[label] for label in ("0", "1")}

    def __init__(self, root: str, images: str = "", pair_list: str = "pairs_CPLFW.txt"):
        folder = dataset_folder(root, self.title, f"the photographs' folder and {pair_list}")
        path = folder / pair_list
        pairs = fold_by_fold(read_two_line_pairs(path, self.answers))
        super().__init__(folder, chosen_or_first(folder, images, IMAGES, "images"), pairs, repr(str(path)))


class CALFW(CPLFW):
    """Reader of CALFW: as that of CPLFW, with labels that say the fold."""

    title = "CALFW"
    answers: ClassVar[Mapping[str, bool]] = {str(label): label > 0 for label in range(11)}

    def __init__(self, root: str, images: str = "", pair_list: str = "pairs_CALFW.txt"):
        super().__init__(root, images, pair_list)
