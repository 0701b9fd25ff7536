"""What the training loop asks of a training method."""

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from torch import Tensor, nn

from common.config import Config
from datasets.manifest import Manifest

Batch = dict[str, Tensor]


class Outcome(NamedTuple):
    """What a step returns: terms are summed to the loss; observed scalars are only logged."""

    terms: dict[str, Tensor]
    observed: dict[str, Tensor]


class Recipe(nn.Module):
    """A training method: it owns the model, whatever else is trained with it, and the batches.

    Its constructor is called with `config`, `faces` (the training manifest) and `photographs` (its pixels, in the same
    order); all other parameters are the method's own options, set by `recipe: {name: ..., option: ...}`. Being a module,
    its state_dict is all that a snapshot needs of it. A new method is one file and one line in this folder's `__init__.py`.
    """

    network: nn.Module
    """The network that learns and, as `deployable` makes it, ships."""
    kind: str
    """Kind of the weight file: "pretext" or "embedder"."""
    steps_per_epoch: int
    images_per_step: int
    lr_factor = 1.0
    """Of the learning rate in the present epoch, beside the schedule's."""

    def __init__(self):
        super().__init__()
        self.average: Any = None  # training.ema.WeightAverage of the network, where the loop keeps one

    @classmethod
    def check(cls, config: Config, faces: Manifest, **options: Any) -> None:
        """Raise InputError for settings that cannot be trained with, before any photograph is decoded.

        options: the recipe's own, of the right names and types.
        """

    def loader(self, epoch: int) -> Iterable[Batch]:
        """The batches of an epoch."""
        raise NotImplementedError

    def forward(self, batch: Batch) -> Outcome:
        """One step's terms and observations."""
        raise NotImplementedError

    def parameter_groups(self) -> list[dict[str, Any]]:
        """What the optimiser trains: groups of `params`, which may have their own `lr_scale`, `weight_decay` or `clip`."""
        return [{"params": [weight for weight in self.parameters() if weight.requires_grad]}]

    def image_networks(self) -> list[nn.Module]:
        """The networks that see images, whose BatchNorms are therefore those of the whole batch; what else the recipe has
        sees embeddings or logits."""
        return [self.network]

    def on_epoch_start(self, epoch: int) -> None:
        """Called before the first batch of an epoch."""

    def on_step_start(self) -> None:
        """Called before the forward pass of a step."""

    def on_step_end(self) -> None:
        """Called after the optimiser's step."""

    def deployable(self) -> nn.Module:
        """The model that is validated and written to the weight file: the network, or what is made of it. Asked for with the
        recipe in evaluation mode, and by the main process alone."""
        raise NotImplementedError

    def figures(self, model: nn.Module, validate: Callable[[nn.Module], dict[str, Any]] | None) -> dict[str, Any]:
        """What a validation says of the `deployable` model: the figures of `validate`, if the data have pairs for it, and perhaps
        more. Their `score`, higher is better, decides which epoch's weights ship; without one the last do."""
        return validate(model) if validate else {}

    def notes(self) -> dict[str, Any]:
        """Plain values that the log says of the present epoch, beside its losses."""
        return {}

    def teacher_digests(self) -> dict[str, str]:
        """SHA-256 of the files of the teachers, by path, which distinguish runs and stand in receipts and weight files."""
        return {}

    def about(self) -> dict[str, Any]:
        """Plain values that go into the weight file beside the configuration."""
        return {}

    def training_state(self) -> dict[str, Any] | None:
        """What only training needs and a teacher or a later training may want: {"state": tensors by name, "about": plain
        values}, kept in a second file. None: nothing."""
        return None
