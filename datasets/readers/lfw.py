"""Labeled Faces in the Wild (Huang et al., 2007, UMass 07-49), in the layout of its site, vis-www.cs.umass.edu/lfw.

    <name>/<name>_0001.jpg
    pairs.txt                   `10 300`, then 6,000 lines `name i j` (same) and `name i other j`, separated by tabs

The copies lfw-funneled and lfw-deepfunneled, and the aligned ones of 112 x 112 pixels, have the same layout.
"""

from datasets.readers.pair_lists import read_names_and_numbers
from datasets.readers.published import PublishedPairs, dataset_folder


class LFW(PublishedPairs):
    """Reader of LFW: its test pairs, fold by fold. There are no attributes.

    pair_list: the list, a path from the root, such as ../pairs.txt where it lies beside the photographs' folder; those of
    View 1, pairsDevTrain.txt and pairsDevTest.txt, have one fold and do as well. Raises InputError for another layout.
    """

    title = "LFW"

    def __init__(self, root: str, pair_list: str = "pairs.txt"):
        folder = dataset_folder(root, self.title, "<name>/<name>_0001.jpg and pairs.txt")
        path = folder / pair_list
        pairs = read_names_and_numbers(path)
        people = {name: name.split("/")[0] for pair in pairs for name in (pair.first, pair.second)}
        super().__init__(folder, folder, pairs, repr(str(path)), people)
