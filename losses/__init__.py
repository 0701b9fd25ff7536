"""Losses: called as loss(embeddings [B, D], labels [B]) -> scalar. One loss per file; it owns its trainable parameters."""

from collections.abc import Mapping
from typing import Any

from common.errors import InputError
from common.registry import Registry
from losses.center import Center
from losses.objective import Objective, split_weight
from losses.softmax import Softmax
from losses.triplet import Triplet

LOSSES = Registry(
    "loss term",
    {
        "softmax": Softmax,
        "triplet": Triplet,
        "center": Center,
    },
)


def build_objective(terms: Mapping[str, Mapping[str, Any] | None], embedding_size: int, identities: int) -> Objective:
    """The objective that `terms` describe: {loss name: {weight: 1.0, option: value, ...}}; a None term is left out."""
    losses, weights = {}, {}
    for name, options in terms.items():
        if options is not None:
            weights[name], options = split_weight(name, options)
            losses[name] = LOSSES.build(name, options, embedding_size=embedding_size, identities=identities)
    if not losses:
        raise InputError(f"train.terms is empty; name at least one loss term of: {', '.join(sorted(LOSSES))}")
    return Objective(losses, weights)
