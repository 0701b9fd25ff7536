"""InsightFace's test sets (lfw.bin, cfp_fp.bin, agedb_30.bin, ...): one file with the photographs and the answers of its pairs.

A command unpacks a file once: `python -m datasets.readers.insightface_bin FILE --out DIR`. The list of pairs that it writes is
one like any other, so `evaluate.py --pairs DIR/pairs.csv` is all that is needed, and there is no reader of its own.
"""

from datasets.readers.insightface_bin.unpack import unpack

__all__ = ["unpack"]
