"""A threshold for embedders that were not validated together: found on the validation pairs of the data set."""

from typing import Any

from torch import nn

from common.config import Config
from common.errors import InputError
from datasets.photographs.cache import open_cache
from datasets.photographs.photographs import Photographs
from datasets.readers.opening import open_reader
from verification.validation import Validation


def validated(embedder: nn.Module, config: Config) -> dict[str, Any]:
    """Figures and thresholds of an embedder on the data set's validation pairs, as training finds them. Raises InputError if
    there are none that have an answer."""
    reader = open_reader(config.data)
    pairs = reader.pairs("validate")
    pairs = pairs.where(pairs.answered)
    if not len(pairs):
        raise InputError(
            f"the threshold of fused embeddings is found on validation pairs, and {str(reader.root)!r} has none with an answer;"
            f" --evaluate.rule=median or a number goes without"
        )
    known = reader.faces("validate").of_files(pairs.file_names)
    photographs = Photographs(known, config.model.image_size, "read validation photographs", open_cache(config.data))
    return Validation(pairs, photographs, config)(embedder)
