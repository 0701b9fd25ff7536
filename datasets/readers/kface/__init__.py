"""K-FACE (Choi et al., arXiv 2103.02211): its reader, and the rebuild of the competition's data from it.

The rebuild is a command: `python -m datasets.readers.kface --root ROOT --out DIR --seed 0`.
"""

from datasets.readers.kface.layout import MIRRORS, SUBSETS, TEST_PEOPLE
from datasets.readers.kface.reader import KFace

__all__ = ["KFace", "MIRRORS", "SUBSETS", "TEST_PEOPLE"]
