"""int8 for a trained embedder: ranges from its training or its training photographs, thresholds from its validation pairs."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import nn

from common.config import Config
from common.errors import InputError
from common.progress import progress
from datasets import Reader
from datasets.pairs.draw import draw_some, random_stream
from datasets.photographs.cache import open_cache
from datasets.photographs.photographs import Photographs, decode_all
from datasets.readers.opening import open_reader
from models.embedder import Embedder
from models.model_file import build_shipped
from models.network_input import network_input
from models.weights import calibrated_threshold
from verification.decisions import calibrate, decide
from verification.validation import VIEWS, Validation

RANGES = "int8_ranges"  # what a weight file calls them
BATCH = 4  # images a batch: the extremes of one say little, those of many are the outliers that their mean should tame


def quantised(graph: bytes, embedder: nn.Module, about: Mapping[str, Any], config: Config) -> tuple[bytes, dict[str, Any]]:
    """The graph in int8 and what its file says about itself: with the ranges that training left (`int8_ranges`), else with
    those of training photographs.

    graph, embedder, about: of the float model. Where the data set has validation pairs, the new `validation` holds the figures
    and thresholds of int8 on them, and `float_validation` those of the float model on the same pairs at its own thresholds.
    Raises InputError if the data set has no training photographs to calibrate on, for ranges of another network, and for a
    model that was calibrated on pairs of its user (`verification.recalibration`): their thresholds would be lost.
    """
    if about.get("calibration"):
        raise InputError(
            "the weights were calibrated on pairs that are not the data set's; export with --int8 those that they were made from,"
            " then calibrate the exported file on these pairs with evaluate.py --calibrate"
        )
    from models.serving.quantise import quantise_trained  # needs packages that evaluation does not

    reader = open_reader(config.data)
    if RANGES in about:
        assert isinstance(embedder, Embedder)  # fused ones have none
        small = quantise_trained(embedder, config.model.image_size, checked_ranges(about[RANGES]))
        origin: dict[str, Any] = {"ranges": "trained"}
        print(f"  int8 with the ranges of {len(about[RANGES]):,} values that training left; nothing is calibrated")
    else:
        small, count = _calibrated(graph, reader, config)
        origin = {"images": count, "seed": config.seed}
    return small, {**about, **_validate(graph, small, about, reader, config), "int8": origin}


def checked_ranges(ranges: Any) -> dict[str, tuple[float, int]]:
    """Scale and zero point by the name of a step, as a weight file has them; InputError if that is something else."""
    try:
        values = {str(name): (scale, zero_point) for name, (scale, zero_point) in ranges.items()}
    except (AttributeError, TypeError, ValueError):
        values = {"": (math.nan, 0)}
    for name, (scale, zero_point) in values.items():
        right = type(scale) is float and math.isfinite(scale) and scale > 0
        if not right or type(zero_point) is not int or not 0 <= zero_point <= 255:
            raise InputError(
                f"the weight file is corrupt: its int8 range of {name!r:.80} is no scale above 0 with a zero point from 0 to 255"
            )
    return values


def _calibrated(graph: bytes, reader: Reader, config: Config) -> tuple[bytes, int]:
    """The graph in int8 with the ranges of training photographs, and how many of these were read."""
    from models.serving.quantise import quantise

    images = _draw(reader, config)
    batches = (network_input(torch.from_numpy(images[start : start + BATCH])) for start in range(0, len(images), BATCH))
    steps = progress(batches, "calibrate", total=math.ceil(len(images) / BATCH), unit="batch")
    return quantise(graph, (batch.contiguous().numpy() for batch in steps)), len(images)


def _draw(reader: Reader, config: Config) -> np.ndarray:
    """Training photographs drawn with the seed, in the reader's order, uint8 [N, S, S, 3]."""
    faces = reader.faces("train")
    if not len(faces):
        raise InputError(f"int8 is calibrated on training photographs, and {str(reader.root)!r} has none")
    chosen = np.zeros(len(faces), dtype=bool)
    chosen[draw_some(len(faces), config.export.images, random_stream(config.seed, "int8"))] = True
    decoded = decode_all(faces.where(chosen), config.model.image_size, "read photographs to calibrate on")
    return np.stack([pixels for pixels, _ in decoded])


def _validate(graph: bytes, small: bytes, about: Mapping[str, Any], reader: Reader, config: Config) -> dict[str, Any]:
    """Figures and thresholds of both graphs; no thresholds, and no figures, without answered validation pairs."""
    pairs = reader.pairs("validate")
    pairs = pairs.where(pairs.answered)
    if not len(pairs):
        return {"validation": {}, "float_validation": {}}
    known = reader.faces("validate").of_files(pairs.file_names)
    photographs = Photographs(known, config.model.image_size, "read validation photographs", open_cache(config.data))
    validation = Validation(pairs, photographs, config)
    before, after = (
        validation.scores(build_shipped({"graph": content, "about": about}, config.model, "the exported model").embedder)
        for content in (graph, small)
    )
    own = {}
    for view, flip in VIEWS.items():
        stored = calibrated_threshold({"about": about}, flip)
        own[view] = calibrate(before[view], pairs.same) if stored is None else stored
    return {
        "validation": validation.figures(
            after, {view: _follow(before[view], own[view], after[view], pairs.same) for view in VIEWS}
        ),
        "float_validation": validation.figures(before, own),
    }


def _follow(before: np.ndarray, own: float, after: np.ndarray, same: np.ndarray) -> float:
    """The threshold at which the scores `after` decide most pairs as the scores `before` do at their `own` threshold.

    before, after: float64 [P]. Calibrated on the answers alone (bool [P]), the threshold would leap between values that are
    equally good for these pairs and not for others; the answers serve only where `before` decides all pairs alike.
    """
    decisions = decide(before, own)
    return calibrate(after, same if decisions.all() or not decisions.any() else decisions)
