"""Verification figures of a model in training, from the validation pairs; the threshold that ships is calibrated here."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from torch import nn

from common.config import Config
from common.errors import InputError
from common.progress import progress
from datasets.manifest import Pairs
from datasets.photographs.photographs import Photographs
from models.embed import embed_images
from verification.decisions import calibrate
from verification.metrics import verification_metrics
from verification.operating_points import operating_points
from verification.probability import fit_scaling
from verification.scores import score_pairs

VIEWS = {"plain": False, "flip": True}  # a threshold for each way in which evaluate.py may embed


class Validation:
    """A `validate` for the training loop: score = area under the ROC curve, which needs no threshold.

    pairs: validation pairs, all answered; photographs: the pixels of pairs.file_names, in that order. Raises InputError
    if all pairs have the same answer, since no threshold can then be calibrated.
    """

    def __init__(self, pairs: Pairs, photographs: Photographs, config: Config):
        if pairs.same.all() or not pairs.same.any():
            raise InputError(f"the {len(pairs):,} validation pairs all have the same answer; both kinds of pair are needed")
        self.pairs = pairs
        self.photographs = photographs
        self.similarity = config.similarity
        self.batch_size = config.evaluate.batch_size

    def __call__(self, embedder: nn.Module) -> dict[str, Any]:
        """{"score", "accuracy", "auc", ..., "thresholds": {"plain": ..., "flip": ...}} and what `operating` adds."""
        scores = self.scores(embedder)
        return self.figures(scores, {view: calibrate(scores[view], self.pairs.same) for view in VIEWS})

    def scores(self, embedder: nn.Module) -> dict[str, np.ndarray]:
        """The scores of the pairs, float64 [P], for each way to embed."""
        indices = progress(range(len(self.photographs)), "validate", unit="photo", leave=False)
        images = (self.photographs[index] for index in indices)
        embeddings = embed_images(embedder, images, self.photographs.file_names, self.batch_size, flip=True)
        return {
            view: score_pairs(embeddings.vectors(flip), self.photographs.file_names, self.pairs, self.similarity)
            for view, flip in VIEWS.items()
        }

    def figures(self, scores: dict[str, np.ndarray], thresholds: dict[str, float]) -> dict[str, Any]:
        """What `__call__` returns, for given scores and thresholds."""
        figures = verification_metrics(scores["plain"], self.pairs.same, thresholds["plain"])
        return {"score": figures["auc"], **figures, "thresholds": thresholds, **operating(scores, self.pairs.same)}


def operating(scores: Mapping[str, np.ndarray], same: np.ndarray) -> dict[str, Any]:
    """Thresholds by false accept rate and the scaling to probabilities, for each way to embed, as weight files carry them.

    scores: float64 [P] for each of VIEWS. same: bool [P], with both answers among them. {"far": {"different": M, "plain":
    `operating_points`, "flip": ...}, "probability": {"plain": {"slope", "intercept"}, "flip": ...}}, M pairs of different people.
    """
    return {
        "far": {"different": int((~same).sum()), **{view: operating_points(scores[view], same) for view in VIEWS}},
        "probability": {view: fit_scaling(scores[view], same)._asdict() for view in VIEWS},
    }
