"""The weighted sum that a model is trained on, kept as named terms."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from common.errors import InputError


class Objective(nn.Module):
    """Named loss terms over one batch of embeddings; it owns whatever parameters its losses have."""

    def __init__(self, losses: Mapping[str, nn.Module], weights: Mapping[str, float]):
        super().__init__()
        self.losses = nn.ModuleDict(losses)
        self.weights = dict(weights)

    def forward(self, embeddings: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """embeddings [B, D] float32, labels [B] int64 -> weighted scalar per term; their sum is the loss."""
        return {name: self.weights[name] * loss(embeddings, labels) for name, loss in self.losses.items()}


def split_weight(name: str, options: Mapping[str, Any]) -> tuple[float, dict[str, Any]]:
    """Separate a term's `weight` (default 1) from the options of its loss. Raises InputError for a weight below 0."""
    options = dict(options)
    weight = options.pop("weight", 1.0)
    if isinstance(weight, bool) or not isinstance(weight, (int, float)) or not 0 <= weight < float("inf"):
        raise InputError(f"train.terms.{name}.weight is {weight!r}; it should be a number of at least 0")
    return float(weight), options
