"""K-FACE (Choi et al., arXiv 2103.02211): its reader, and the rebuild of the competition's data from it.

The rebuild is a command: `python -m datasets.kface --root ROOT --out DIR --seed 0`.
"""

from datasets.kface.layout import MIRRORS, SUBSETS, TEST_PEOPLE
from datasets.kface.reader import KFace

__all__ = ["KFace", "MIRRORS", "SUBSETS", "TEST_PEOPLE"]
