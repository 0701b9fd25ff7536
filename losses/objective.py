"""The weighted sum that a model is trained on, kept as named terms."""

import inspect
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from torch import Tensor, nn

from common.errors import InputError, brief, listing

MOST_WEIGHT = 1e6
OF_A_TEACHER = "a teacher; train.recipe should be distill"
OF_ITS_MAPS = "maps of the student and of a teacher; train.recipe should be distill, and say which maps"
OF_ITS_CLASSIFIER = "a teacher with a classifier of the people who train; train.recipe should be distill, with such a teacher"
WAYS_OUT = {
    "teacher_embeddings": OF_A_TEACHER,
    "teacher_size": OF_A_TEACHER,
    "teacher_logits": OF_ITS_CLASSIFIER,
    "maps": OF_ITS_MAPS,
    "teacher_maps": OF_ITS_MAPS,
    "map_channels": OF_ITS_MAPS,
}
"""What a loss needs that asks for one of these, of a recipe that does not have it."""
OF_THE_CLASSIFIER = ("logits", "scaled_logits")
"""What the objective itself provides, from the embeddings."""


class Objective(nn.Module):
    """Named loss terms over one batch; it owns whatever parameters its losses have.

    losses: each is called with what the parameters of its `forward` name, out of what the recipe hands on, and returns a
        scalar or named scalars {part: scalar}, which become the terms `name.part`.
    weights: factor on each loss. provided: names of what `forward` will be given, such as embeddings and labels.

    A loss that has a classifier computes `logits(embeddings)`, float32 [B, identities]. A loss whose forward names `logits`
    is given its own, or else those of the one loss that has a classifier; they are computed once. A loss that names
    `scaled_logits` is given what the classifier's method `scaled`, if there is one, makes of them: that whose softmax are the
    probabilities of the identities. Raises InputError for a loss that asks for what nobody provides.
    """

    def __init__(self, losses: Mapping[str, nn.Module], weights: Mapping[str, float], provided: Iterable[str]):
        super().__init__()
        self.losses = nn.ModuleDict(losses)
        self.weights = dict(weights)
        self.asked = {name: tuple(inspect.signature(loss.forward).parameters) for name, loss in losses.items()}
        self.classifiers = [name for name, loss in losses.items() if hasattr(loss, "logits")]
        provided = set(provided)
        for name, asked in self.asked.items():
            check_provided(name, asked, {*provided, *OF_THE_CLASSIFIER})
            if set(asked) & set(OF_THE_CLASSIFIER) and name not in self.classifiers and len(self.classifiers) != 1:
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
            arguments = {key: context[key] for key in self.asked[name] if key not in OF_THE_CLASSIFIER}
            if len(arguments) < len(self.asked[name]):
                source = name if name in self.classifiers else self.classifiers[0]
                classifier: Any = self.losses[source]
                if source not in logits:
                    logits[source] = classifier.logits(context["embeddings"])
                if "logits" in self.asked[name]:
                    arguments["logits"] = logits[source]
                if "scaled_logits" in self.asked[name]:
                    arguments["scaled_logits"] = scaled(classifier, logits[source])
            value = loss(**arguments)
            parts = {name: value} if isinstance(value, Tensor) else {f"{name}.{part}": each for part, each in value.items()}
            terms |= {part: self.weights[name] * each for part, each in parts.items()}
        return terms

    def scaled_logits(self, embeddings: Tensor) -> Tensor:
        """embeddings float32 [B, D] -> what the one classifier says of them, float32 [B, identities]: its softmax are the
        probabilities of the identities. So a teacher's objective gives soft labels. Raises InputError if there is not one."""
        if len(self.classifiers) != 1:
            raise InputError(f"the loss terms have {len(self.classifiers)} classifiers; there should be exactly one")
        classifier: Any = self.losses[self.classifiers[0]]
        return scaled(classifier, classifier.logits(embeddings))


def scaled(classifier: Any, logits: Tensor) -> Tensor:
    """Logits [B, C] as a classifier scales them; those of one that has no method `scaled` are it already."""
    return classifier.scaled(logits) if hasattr(classifier, "scaled") else logits


def check_provided(term: str, asked: Iterable[str], provided: Collection[str]) -> None:
    """Raise InputError if a loss asks for what the recipe does not provide; it says what would."""
    unknown = [key for key in asked if key not in provided]
    if not unknown:
        return
    known = next((WAYS_OUT[key] for key in unknown if key in WAYS_OUT), None)
    if known:
        raise InputError(f"loss term {term!r} needs {known}")
    names = sorted(set(provided) - set(OF_THE_CLASSIFIER))
    raise InputError(
        f"loss term {term!r} asks for {listing(unknown)}, which this recipe does not provide; it provides:"
        f" {listing(names, most=99)}"
    )


def split_weight(name: str, options: Mapping[str, Any]) -> tuple[float, dict[str, Any]]:
    """Separate a term's `weight` (default 1) from the options of its loss. Raises InputError for a weight that is not one."""
    options = dict(options)
    weight = options.pop("weight", 1.0)
    if isinstance(weight, bool) or not isinstance(weight, (int, float)) or not 0 <= weight <= MOST_WEIGHT:
        raise InputError(f"the weight of loss term {name!r} is {brief(weight)}; it should be a number from 0 to 1e6")
    return float(weight), options
