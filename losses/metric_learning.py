"""Any loss of the package pytorch-metric-learning that can be had from embeddings and labels."""

import inspect
from collections.abc import Mapping
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn

from common.errors import InputError, brief, listing
from common.registry import ChoiceLike, name_and_options

REFUSED = {"DynamicSoftMarginLoss": "its running histogram is in no checkpoint, so that a resumed run would end elsewhere"}


class MetricLearning(nn.Module):
    """Musgrave, Belongie and Lim, "PyTorch Metric Learning", arXiv 2008.09164: its losses, by the names of their classes.

    loss: such as MultiSimilarityLoss. options: of its constructor, such as {alpha: 2}; the number of classes and the size of
        an embedding are filled in where it asks for them.
    miner: what chooses the pairs or triplets of the batch that the loss sees, such as
        {name: MultiSimilarityMiner, epsilon: 0.1}; none: it sees all.

    Raises InputError if the package is not installed, for an unknown name or option, and for what fails on a few random
    embeddings with labels, which is tried at once.
    """

    def __init__(
        self,
        embedding_size: int,
        identities: int,
        loss: str,
        options: dict[str, Any] | None = None,
        miner: str | dict[str, Any] | None = None,
    ):
        super().__init__()
        losses, miners = installed()
        chosen = Chosen("loss", losses, losses.BaseMetricLossFunction, loss, options or {})
        chosen_miner = None if miner is None else Chosen("miner", miners, miners.BaseMiner, *named_miner(miner))
        try_out(chosen, chosen_miner)
        self.loss = chosen.build(embedding_size, identities)
        self.miner = None if chosen_miner is None else chosen_miner.build(embedding_size, identities)

    def forward(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        """embeddings [B, D] float32, labels [B] int64 -> scalar."""
        return self.loss(embeddings, labels, None if self.miner is None else self.miner(embeddings, labels))


def named_miner(choice: ChoiceLike) -> tuple[str, dict[str, Any]]:
    """Name and options of a miner. Raises InputError."""
    try:
        return name_and_options(choice)
    except ValueError as error:
        raise InputError(f"the miner of metric_learning is {brief(choice)}; {error}") from error


def installed() -> tuple[ModuleType, ModuleType]:
    """The package's modules `losses` and `miners`, imported only where a term asks for them. Raises InputError."""
    try:
        from pytorch_metric_learning import losses, miners
    except ImportError as error:
        raise InputError(
            "loss term 'metric_learning' needs the package pytorch-metric-learning, which is not installed:"
            " pip install -r requirements-metric-learning.txt"
        ) from error
    return losses, miners


class Chosen:
    """A class of the package and the options to build it with; InputError for a name or an option that it does not have.

    module: where the name should be that of a public class. base: what the class should derive from, so that a user's text
    names nothing but losses or miners. The options are what the constructors below `base` take.
    """

    def __init__(self, kind: str, module: ModuleType, base: type[nn.Module], name: str, options: Mapping[str, Any]):
        self.kind, self.name, self.options = kind, name, options
        known = {
            name: each
            for name, each in vars(module).items()
            if inspect.isclass(each) and issubclass(each, base) and each is not base
        }
        if name not in known:
            raise InputError(f"metric_learning has no {kind} {brief(name)}; known: {listing(sorted(known), most=99)}")
        if name in REFUSED:
            raise InputError(f"metric_learning cannot use {name}: {REFUSED[name]}")
        self.constructor = known[name]
        accepted = parameters_below(base, known[name])
        self.asked = [name for name in sizes(0, 0) if name in accepted and accepted[name].default is inspect.Parameter.empty]
        accepted = {name: each for name, each in accepted.items() if name not in sizes(0, 0)}
        if unknown := sorted(set(options) - set(accepted)):
            raise InputError(
                f"{kind} {name!r} of metric_learning has no option {listing(unknown)}; it takes:"
                f" {listing(accepted, most=99) or 'none'}"
            )

    def build(self, embedding_size: int, identities: int) -> nn.Module:
        """On the CPU, whatever the default device: some constructors compute, which the meta device cannot."""
        given = sizes(embedding_size, identities)
        with torch.device("cpu"):
            return self.constructor(**self.options, **{name: given[name] for name in self.asked})


def sizes(embedding_size: int, identities: int) -> dict[str, int]:
    """What losses of the package may ask for and no user says, by the names that they have for it."""
    return {"num_classes": identities, "embedding_size": embedding_size, "descriptors_dim": embedding_size}


def parameters_below(base: type, constructor: type) -> Mapping[str, inspect.Parameter]:
    """The named parameters of a class's constructor and, as they are handed on, of its ancestors' that derive from `base`."""
    named: dict[str, inspect.Parameter] = {}
    for ancestor in reversed(constructor.__mro__):
        if issubclass(ancestor, base) and ancestor is not base:
            named |= inspect.signature(ancestor).parameters
    return {name: each for name, each in named.items() if each.kind not in (each.VAR_POSITIONAL, each.VAR_KEYWORD)}


def try_out(loss: Chosen, miner: Chosen | None) -> None:
    """One step on 8 random embeddings of 4 identities; InputError if that is not possible. It draws from no generator of the
    program's, and needs a real device even where settings are tried on none."""
    with torch.random.fork_rng(devices=[]), torch.device("cpu"):
        torch.manual_seed(0)
        embeddings, labels = torch.randn(8, 6, requires_grad=True), torch.arange(8) // 2
        at = loss
        try:
            function = loss.build(embedding_size=6, identities=4)
            at = miner or loss
            chosen = None if miner is None else miner.build(embedding_size=6, identities=4)(embeddings, labels)
            at = loss
            value = function(embeddings, labels, chosen)
            value.backward()
        except Exception as error:  # whatever the package makes of a user's options
            reason = " ".join(str(error).split()) or type(error).__name__
            raise InputError(
                f"{at.kind} {at.name!r} of metric_learning cannot be trained on embeddings and labels with the options"
                f" {brief(at.options)}: {reason}"
            ) from error
    if not value.isfinite():
        raise InputError(f"loss {loss.name!r} of metric_learning is {value.item()} with the options {brief(loss.options)}")
