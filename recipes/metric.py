"""An embedder trained on a weighted objective over P x K batches; the recipe Metric is nothing else. Triarchy is this with
softmax, triplet and center."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import torch
from pydantic import NonNegativeInt
from torch import Tensor, nn

from common.config import Config, ModelConfig
from common.devices import mixed_precision
from common.errors import InputError
from common.progress import progress
from datasets.batches.augment import Augmentation
from datasets.batches.loaders import TrainingImages, identity_target, make_loader
from datasets.batches.samplers import PKSampler
from datasets.cut import cut_of
from datasets.manifest import Manifest, codes
from datasets.pairs.draw import draw_some, random_stream
from datasets.pairs.split import check_two_photographs
from datasets.photographs.photographs import Photographs
from distributed.collectives import gather
from distributed.processes import world_size
from losses import build_objective
from models.embed import embed_images
from models.embedder import Embedder, build_embedder, embedder_shapes, shapes_only
from models.network_input import network_input, resized
from models.weights import part_of, start_from
from models.whitening import whitened
from recipes.recipe import Batch, Outcome, Recipe

PROVIDED = ("embeddings", "labels", "images")
"""What a loss term may ask for: float32 [B, D], int64 [B], float32 [B, 3, H, W] in [-1, 1]."""


class EmbedderRecipe(Recipe):
    """The embedder ships; the objective, with its classifier and centers, stays behind.

    A method derives from it, hands on the options below in its constructor and in `check`, and says what else its losses may
    ask for.

    whiten: training photographs, drawn with the seed, whose embeddings teach the last layer to discount what varies within
        a person (`models.whitening`); the embedder is then validated and shipped so. 0 leaves it as it was trained.
    balance: an attribute, such as angle, through whose values the images of an identity take turns; empty draws evenly.
    image_sizes: sides, in pixels, of the images that the network learns from, each for an equal share of the epochs, such
        as [48, 64, 96]: small first, which is cheaper. The last is model.image_size; empty: that size throughout.
    steps: batches an epoch, for sets of so few people that an epoch of all would be one batch; 0: every identity once.

    A batch has train.num_instances images of each of train.batch_size identities; where fewer people train, more images of
    each. The constructor refuses what `check` refuses: both look at the settings, and the network and the loss terms that
    `check` tries out on the meta device say themselves what is wrong when the constructor makes them.
    """

    kind = "embedder"
    network: Embedder

    def __init__(
        self,
        config: Config,
        faces: Manifest,
        photographs: Photographs,
        whiten: NonNegativeInt = 0,
        balance: str = "",
        image_sizes: Sequence[int] = (),
        steps: NonNegativeInt = 0,
        provided: Sequence[str] = PROVIDED,
        **given: Any,
    ):
        """provided, given: as `losses.build_objective` has them."""
        super().__init__()
        check_choices(config, faces, whiten, image_sizes)
        stage = config.train
        self.photographs, self.labels = photographs, faces.labels()
        self.identities = faces.identities
        self.cut = cut_of(faces)
        self.whitening = whitening_sample(faces, whiten, config.seed)
        self.precision = config.precision
        self.epochs = stage.epochs
        self.image_size = config.model.image_size
        self.image_sizes = list(image_sizes) or [self.image_size]
        augmentation = Augmentation(stage.augment, config.model.image_size, faces.mirrored_landmarks)
        images = TrainingImages(photographs, {"label": identity_target(faces)}, augmentation)
        conditions = attribute_classes(faces, balance) if balance else None
        people, instances = fitting_batch(stage.batch_size, stage.num_instances, len(self.identities))
        if people < stage.batch_size:
            print(
                f"train: {people} people train, fewer than train.batch_size = {stage.batch_size}; a batch has {instances} images"
                f" of each in place of {stage.num_instances}"
            )
        self.sampler = PKSampler(self.labels, people, instances, config.seed, conditions, steps)
        self.batches = make_loader(images, self.sampler, config.data.workers)
        self.steps_per_epoch = len(self.sampler)
        self.images_per_step = people * instances
        self.network = build_embedder(config.model)
        self.objective = build_objective(stage.terms, config.model.embedding_size, len(self.identities), provided, **given)
        if stage.pretrained_weight:
            self._start_from(stage.pretrained_weight)

    def _start_from(self, path: str) -> None:
        """Go on from a weight file: the network's weights and, of the same people, those of the loss terms that it has."""
        content = start_from(self.network, path)
        state = part_of(content, "objective.")
        if state and content["about"].get("identities") == self.identities:
            own = self.objective.state_dict()
            known = {name: value for name, value in state.items() if name in own and own[name].shape == value.shape}
            self.objective.load_state_dict({**own, **known})
            print(f"train: going on with {len(known)} of the {len(own)} tensors of the loss terms, too")

    @classmethod
    def check(
        cls,
        config: Config,
        faces: Manifest,
        whiten: int = 0,
        balance: str = "",
        image_sizes: Sequence[int] = (),
        steps: int = 0,
        provided: Sequence[str] = PROVIDED,
        **given: Any,
    ) -> None:
        stage, people = config.train, len(faces.identities)
        check_choices(config, faces, whiten, image_sizes)
        fitting_batch(stage.batch_size, stage.num_instances, people)
        if balance:
            attribute_classes(faces, balance)
        embedder_shapes(config.model)
        with shapes_only():
            build_objective(stage.terms, config.model.embedding_size, people, provided, **given)

    def on_epoch_start(self, epoch: int) -> None:
        self.image_size = self.image_sizes[epoch * len(self.image_sizes) // self.epochs]

    def loader(self, epoch: int) -> Iterable[Batch]:
        self.sampler.set_epoch(epoch)
        return self.batches

    def forward(self, batch: Batch) -> Outcome:
        device = next(self.network.parameters()).device
        shown = network_input(batch["image"], device)
        images = resized(shown, self.image_size)
        with mixed_precision(self.precision, device):
            rows = self.answers(images, shown)
        rows["labels"] = batch["label"].to(device)
        if self.objective.asks_for("images"):
            rows["images"] = images
        # The objective is that of the whole batch, whose hardest triplets and centers may lie with another process.
        context = {name: gathered(value) for name, value in rows.items()}
        return Outcome(self.objective(**context), self.observed(context["embeddings"].detach(), context["labels"]))

    def observed(self, embeddings: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """Scalars to log of the whole batch: embeddings [B, D] float32, labels int64 [B]."""
        return {"embedding_norm": embeddings.norm(dim=1).mean()}

    def answers(self, images: Tensor, shown: Tensor) -> dict[str, Any]:
        """What is computed of this process's share of a batch: "embeddings", float32 [b, D], and what else losses ask for.

        images: float32 [b, 3, S, S], as the network reads them in this epoch; shown: the same images as augmented, at
        model.image_size.
        """
        return {"embeddings": self.network(images).float()}

    def deployable(self) -> nn.Module:
        if not len(self.whitening):
            return self.network
        return whitened_by(self.network, self.photographs, self.labels, self.whitening)

    def about(self) -> dict[str, Any]:
        return {"cut": self.cut}

    def training_state(self) -> dict[str, Any]:
        """The network as it was trained, classifier and centers, and whose they are."""
        state = {f"network.{name}": tensor for name, tensor in self.network.state_dict().items()}
        state |= {f"objective.{name}": tensor for name, tensor in self.objective.state_dict().items()}
        return {"state": state, "about": {"identities": self.identities}}


class Metric(EmbedderRecipe):
    """The options are those of every `EmbedderRecipe`."""

    def __init__(
        self,
        config: Config,
        faces: Manifest,
        photographs: Photographs,
        whiten: NonNegativeInt = 0,
        balance: str = "",
        image_sizes: Sequence[int] = (),
        steps: NonNegativeInt = 0,
    ):
        super().__init__(config, faces, photographs, whiten, balance, image_sizes, steps)


def gathered(value: Any) -> Any:
    """A process's rows, or each in a list of them, together with those of the other processes."""
    return [gather(rows) for rows in value] if isinstance(value, list) else gather(value)


def check_choices(config: Config, faces: Manifest, whiten: int, image_sizes: Sequence[int]) -> None:
    """Raise InputError for settings that do not fit the people, their photographs or one another."""
    side = config.model.image_size
    check_two_photographs(faces, repr(str(faces.root)))
    check_whitening(faces, whiten, config.seed)
    check_whole_images(config)
    sizes = list(image_sizes)
    if sizes and (sizes != sorted(sizes) or sizes[0] < 16 or sizes[-1] != side):
        raise InputError(
            f"train.recipe.image_sizes is {sizes}; the sides should grow, from at least 16 up to model.image_size = {side}"
        )
    check_reads(config.model, sizes)


def check_whitening(faces: Manifest, count: int, seed: int) -> None:
    """Raise InputError if `count` photographs, drawn with the seed, do not tell how those of one person differ."""
    sample = faces.labels()[whitening_sample(faces, count, seed)]
    if len(sample) and len(np.unique(sample)) == len(sample):
        raise InputError(
            f"train.recipe.whiten is {count}: of so few of the {len(faces):,} photographs no two show one person; draw"
            f" more, such as 2000, or none (0)"
        )


def check_whole_images(config: Config) -> None:
    """Raise InputError if the augmentation crops the images that the embedder learns from."""
    side = config.model.image_size
    shown = Augmentation(config.train.augment, side).output_side
    if shown != side:
        raise InputError(
            f"train.augment crops images to {shown} pixels, but the model that ships sees whole images of"
            f" model.image_size = {side}; set that, or take out crop and augment with affine"
        )


def whitening_sample(faces: Manifest, count: int, seed: int) -> np.ndarray:
    """Positions, int64 ascending, of the photographs that teach the whitening: `count`, or all if there are fewer."""
    return draw_some(len(faces), count, random_stream(seed, "whiten"))


def whitened_by(network: Embedder, photographs: Photographs, labels: np.ndarray, sample: np.ndarray) -> Embedder:
    """The embedder, whitened by the photographs at the positions `sample`; labels: int64 [N], of all photographs."""
    images = (photographs[index] for index in progress(sample, "whiten", unit="photo", leave=False))
    embeddings = embed_images(network, images, [photographs.file_names[index] for index in sample])
    return whitened(network, torch.from_numpy(embeddings.plain), labels[sample])


def fitting_batch(identities: int, images: int, people: int) -> tuple[int, int]:
    """Identities in a batch, and images of each: as wanted, or of as many `people` as there are, with more images of each, so
    that a batch stays about as large and the processes can share it evenly. Raises InputError if they cannot."""
    if identities <= people:
        return identities, images
    most = identities * images // people
    fitting = next((count for count in range(most, 1, -1) if people * count % world_size() == 0), 0)
    if not fitting:
        raise InputError(
            f"{people} people train, and no batch of up to {most} images of each can be shared evenly by {world_size()}"
            f" processes; start fewer processes"
        )
    return people, fitting


def check_reads(config: ModelConfig, sides: Sequence[int]) -> None:
    """Raise InputError if the network, made for images of model.image_size, cannot read those of one of `sides` pixels."""
    others = [side for side in sides if side != config.image_size]
    if not others:
        return
    embedder = embedder_shapes(config)
    with shapes_only():
        for side in others:
            try:
                embedder(torch.empty(2, 3, side, side))
            except (RuntimeError, AssertionError) as error:  # the latter of networks of timm
                raise InputError(
                    f"train.recipe.image_sizes holds {side}, and {config.backbone['name']} reads only images of"
                    f" model.image_size: its last layers weigh the map place by place; leave train.recipe.image_sizes empty"
                ) from error


def attribute_classes(faces: Manifest, attribute: str) -> np.ndarray:
    """The class of every face by `attribute`, int64 [N], -1 where unknown; InputError if no face has the attribute."""
    if attribute not in faces.attributes:
        known = ", ".join(faces.attributes) or "none"
        raise InputError(f"train.recipe.balance is {attribute!r}, which the photographs do not have; known here: {known}")
    return codes(faces.table[attribute], faces.values(attribute))
