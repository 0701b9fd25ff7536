"""The weighted sum that a model is trained on, kept as named terms."""

import inspect
from collections.abc import Iterable, Mapping
from typing import Any

from torch import Tensor, nn

from common.errors import InputError, brief, listing

MOST_WEIGHT = 1e6


class Objective(nn.Module):
    """Named loss terms over one batch; it owns whatever parameters its losses have.

    losses: each is called with what the parameters of its `forward` name, out of what the recipe hands on, and returns a
        scalar or named scalars {part: scalar}, which become the terms `name.part`.
    weights: factor on each loss. provided: names of what `forward` will be given, such as embeddings and labels.

    A loss that has a classifier computes `logits(embeddings)`, float32 [B, identities]. A loss whose forward names `logits`
    is given its own, or else those of the one loss that has a classifier; they are computed once. Raises InputError for a
    loss that asks for what nobody provides.
    """

    def __init__(self, losses: Mapping[str, nn.Module], weights: Mapping[str, float], provided: Iterable[str]):
        super().__init__()
        self.losses = nn.ModuleDict(losses)
        self.weights = dict(weights)
        self.asked = {name: tuple(inspect.signature(loss.forward).parameters) for name, loss in losses.items()}
        self.classifiers = [name for name, loss in losses.items() if hasattr(loss, "logits")]
        provided = set(provided)
        for name, asked in self.asked.items():
            unknown = [key for key in asked if key not in provided and key != "logits"]
            if unknown:
                raise InputError(
                    f"loss term {name!r} asks for {listing(unknown)}, which this recipe does not provide;"
                    f" it provides: {listing(sorted(provided), most=99)}"
                )
            if "logits" in asked and name not in self.classifiers and len(self.classifiers) != 1:
                raise InputError(
                    f"loss term {name!r} asks for logits, and {len(self.classifiers)} of the terms have a classifier"
                    f" ({listing(self.classifiers) or 'none'}); there should be exactly one, such as softmax"
                )

    def asks_for(self, name: str) -> bool:
        """Whether a loss asks for it: what none asks for need not be handed on."""
        return any(name in asked for asked in self.asked.values())

    def forward(self, **context: Any) -> dict[str, Tensor]:
        """Weighted scalar per term; their sum is the loss. context: what was announced as `provided`, as far as asked for;
        with `logits` in it no classifier computes any."""
        logits: dict[str, Tensor] = dict.fromkeys(self.losses, context["logits"]) if "logits" in context else {}
        terms: dict[str, Tensor] = {}
        for name, loss in self.losses.items():
            arguments = {key: context[key] for key in self.asked[name] if key != "logits"}
            if "logits" in self.asked[name]:
                source = name if name in self.classifiers else self.classifiers[0]
                if source not in logits:
                    classifier: Any = self.losses[source]
                    logits[source] = classifier.logits(context["embeddings"])
                arguments["logits"] = logits[source]
            value = loss(**arguments)
            parts = {name: value} if isinstance(value, Tensor) else {f"{name}.{part}": each for part, each in value.items()}
            terms |= {part: self.weights[name] * each for part, each in parts.items()}
        return terms


def split_weight(name: str, options: Mapping[str, Any]) -> tuple[float, dict[str, Any]]:
    """Separate a term's `weight` (default 1) from the options of its loss. Raises InputError for a weight that is not one."""
    options = dict(options)
    weight = options.pop("weight", 1.0)
    if isinstance(weight, bool) or not isinstance(weight, (int, float)) or not 0 <= weight <= MOST_WEIGHT:
        raise InputError(f"the weight of loss term {name!r} is {brief(weight)}; it should be a number from 0 to 1e6")
    return float(weight), options
