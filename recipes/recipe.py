"""What the training loop asks of a training method."""

from collections.abc import Iterable
from typing import Any, NamedTuple

from torch import Tensor, nn

Batch = dict[str, Tensor]


class Outcome(NamedTuple):
    """What a step returns: terms are summed to the loss; observed scalars are only logged."""

    terms: dict[str, Tensor]
    observed: dict[str, Tensor]


class Recipe(nn.Module):
    """A training method: it owns the model, whatever else is trained with it, and the batches.

    Being a module, its state_dict is all that a snapshot needs of it. Its constructor takes the stage's settings, so an
    extension is one new file and one line in this folder's `__init__.py`.
    """

    network: nn.Module
    """What learns from images: its BatchNorms see them. Whatever else the recipe trains sees embeddings or logits."""
    kind: str
    """Kind of the weight file: "pretext" or "embedder"."""
    steps_per_epoch: int
    images_per_step: int

    def loader(self, epoch: int) -> Iterable[Batch]:
        """The batches of an epoch."""
        raise NotImplementedError

    def forward(self, batch: Batch) -> Outcome:
        """One step's terms and observations."""
        raise NotImplementedError

    def on_epoch_start(self, epoch: int) -> None:
        """Called before the first batch of an epoch."""

    def on_step_end(self) -> None:
        """Called after the optimiser's step."""

    def deployable(self) -> nn.Module:
        """The model that is validated and written to the weight file: the network, or what is made of it. Asked for with the
        recipe in evaluation mode, and by the leading process alone."""
        raise NotImplementedError

    def about(self) -> dict[str, Any]:
        """Plain values that go into the weight file beside the configuration."""
        return {}
