"""Semi-siamese: an embedder for people with about two photographs each, by comparing the one with the other."""

from collections.abc import Iterable, Sequence
from copy import deepcopy
from typing import Annotated, Any

import torch
from pydantic import Field, NonNegativeInt
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from common.config import Config
from common.devices import mixed_precision
from common.errors import InputError, listing
from common.registry import ChoiceLike, name_and_options
from datasets.batches.augment import Augmentation
from datasets.batches.loaders import TrainingImages, identity_target, make_loader
from datasets.batches.samplers import WaitingSampler
from datasets.cut import cut_of
from datasets.manifest import Manifest
from datasets.pairs.draw import random_stream
from datasets.photographs.photographs import Photographs
from distributed.collectives import gather
from distributed.processes import local_rows, world_size
from losses import LOSSES, build_objective
from losses.cosine_classifier import CosineClassifier
from losses.objective import Objective
from losses.prototype_queue import PrototypeQueue
from models.embedder import Embedder, build_embedder, embedder_shapes, shapes_only
from models.network_input import network_input
from models.weights import start_from
from recipes.metric import check_whitening, check_whole_images, whitened_by, whitening_sample
from recipes.recipe import Batch, Outcome, Recipe

INSTANCES = 2
LONGEST = 16_384  # the published queue, for 72,778 people
DEFAULT_TERMS = ("am_softmax",)


class SemiSiamese(Recipe):
    """Du et al., "Semi-Siamese Training for Shallow Face Learning", ECCV 2020, arXiv 2007.08398, as FaceX-Zoo has it (Wang et
    al., arXiv 2101.04407).

    Two photographs are too few to learn a person's direction in a classifier from. Here it is an embedding: what the gallery
    network, which follows the trained one, the probe network, slowly, makes of the person's other photograph. These prototypes
    stay in a queue for some batches, and the queue is the classifier of a head over cosines. Either photograph is the probe
    once, and one of the two prototypes, drawn at random, stays in the queue.

    whiten: as for `metric`.
    queue: prototypes in the queue, a multiple of train.batch_size; their people are left out of an epoch, so that nobody is told
        apart from himself. 0: a quarter of the people in whole batches, at most 16,384, which is about what was published.
    momentum: share of itself that the gallery network keeps in a step.

    train.terms are heads over cosines, without their classifier; none means am_softmax, and am_softmax with a margin of 0 is
    the plain softmax. One call of a head sees both directions, whose mean it gives, so that what it keeps moves once a step.
    A batch has two photographs of each of train.batch_size people, and a person with a single one twice.
    """

    kind = "embedder"
    network: Embedder

    def __init__(
        self,
        config: Config,
        faces: Manifest,
        photographs: Photographs,
        whiten: NonNegativeInt = 0,
        queue: NonNegativeInt = 0,
        momentum: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.999,
    ):
        super().__init__()
        check_choices(config, faces, whiten)
        stage = config.train
        people = stage.batch_size
        size = queue_size(queue, people, len(faces.identities))
        self.photographs, self.labels = photographs, faces.labels()
        self.cut = cut_of(faces)
        self.whitening = whitening_sample(faces, whiten, config.seed)
        self.precision = config.precision
        self.seed = config.seed
        self.momentum = momentum
        # Statistics of the whole batch are the same in any order.
        self.mixes_shares = world_size() > 1 and not config.sync_norm
        augmentation = Augmentation(stage.augment, config.model.image_size, faces.mirrored_landmarks)
        images = TrainingImages(photographs, {"label": identity_target(faces)}, augmentation)
        self.sampler = WaitingSampler(self.labels, people, INSTANCES, config.seed, waiting=size)
        self.batches = make_loader(images, self.sampler, config.data.workers)
        self.steps_per_epoch = len(self.sampler)
        self.images_per_step = people * INSTANCES
        self.network = build_embedder(config.model)
        if stage.pretrained_weight:
            start_from(self.network, stage.pretrained_weight)
        # The running statistics of the gallery network's BatchNorms are never read: it normalises by those of its batch.
        self.gallery = deepcopy(self.network).requires_grad_(False)
        self.queue = PrototypeQueue(config.model.embedding_size, size)
        self.objective = build_heads(stage.terms, size)

    @classmethod
    def check(  # type: ignore[override]  # its own options
        cls, config: Config, faces: Manifest, whiten: int = 0, queue: int = 0, momentum: float = 0.999
    ) -> None:
        check_choices(config, faces, whiten)
        size = queue_size(queue, config.train.batch_size, len(faces.identities))
        embedder_shapes(config.model)
        with shapes_only():
            build_heads(config.train.terms, size)

    def train(self, mode: bool = True) -> "SemiSiamese":
        """The gallery network drops nothing out, and has the statistics of its batch."""
        super().train(mode)
        self.gallery.eval()
        for module in self.gallery.modules():
            if isinstance(module, _BatchNorm):
                module.train(mode)
        return self

    def image_networks(self) -> list[nn.Module]:
        return [self.network, self.gallery]

    def on_epoch_start(self, epoch: int) -> None:
        self.random = random_stream(self.seed, f"semi-siamese {epoch}")  # alike in all processes, at each epoch anew

    def loader(self, epoch: int) -> Iterable[Batch]:
        self.sampler.set_epoch(epoch)
        self.sampler.leave_out(self.queue.people.cpu().numpy())
        return self.batches

    def forward(self, batch: Batch) -> Outcome:
        device = next(self.network.parameters()).device
        first, second = (network_input(batch["image"][place::INSTANCES].contiguous(), device) for place in range(INSTANCES))
        with mixed_precision(self.precision, device):
            probes = [gather(self.network(images).float()) for images in (first, second)]  # [B, D] each
            with torch.no_grad():
                prototypes = [self._prototypes(images) for images in (second, first)]
        people = gather(batch["label"][::INSTANCES].to(device))
        cosines = torch.cat([self.queue.cosines(*direction) for direction in zip(probes, prototypes)])
        slots = self.queue.slots(len(people)).repeat(INSTANCES)
        self.queue.push(prototypes[self.random.integers(INSTANCES)], people)
        embeddings = torch.cat(probes)
        terms = self.objective(logits=cosines, labels=slots, embeddings=embeddings)
        with torch.no_grad():
            nearest = (cosines.argmax(dim=1) == slots).float().mean()
        return Outcome(terms, {"embedding_norm": embeddings.detach().norm(dim=1).mean(), "accuracy": nearest})

    def _prototypes(self, images: Tensor) -> Tensor:
        """This process's images [b, 3, H, W] -> the gallery network's embeddings of the whole batch, [B, D] float32.

        Where a BatchNorm is of one process's share only, the gallery network's shares are others than the probes': who shares
        the statistics would tell who belongs together (shuffled BatchNorm; He et al., arXiv 1911.05722).
        """
        if not self.mixes_shares:
            return gather(self.gallery(images).float())
        order = torch.from_numpy(self.random.permutation(len(images) * world_size())).to(images.device)
        share = gather(images)[order][local_rows(len(order))]
        return gather(self.gallery(share).float())[order.argsort()]

    @torch.no_grad()
    def on_step_end(self) -> None:
        for slow, trained in zip(self.gallery.parameters(), self.network.parameters(), strict=True):
            slow.lerp_(trained, 1 - self.momentum)

    def deployable(self) -> nn.Module:
        if not len(self.whitening):
            return self.network
        return whitened_by(self.network, self.photographs, self.labels, self.whitening)

    def about(self) -> dict[str, Any]:
        return {"cut": self.cut}

    def training_state(self) -> dict[str, Any] | None:
        """The network before whitening."""
        if not len(self.whitening):
            return None
        return {"state": {f"network.{name}": tensor for name, tensor in self.network.state_dict().items()}}


def check_choices(config: Config, faces: Manifest, whiten: int) -> None:
    """Raise InputError for settings that do not fit one another or the photographs."""
    stage = config.train
    if stage.num_instances != INSTANCES:
        raise InputError(
            f"train.num_instances is {stage.num_instances}, and the recipe semi_siamese compares two photographs of each person;"
            f" it should be {INSTANCES}"
        )
    if stage.batch_size % world_size():
        raise InputError(
            f"train.batch_size is {stage.batch_size} people, which {world_size()} processes cannot share evenly; it should be a"
            f" multiple of {world_size()}"
        )
    check_whitening(faces, whiten, config.seed)
    check_whole_images(config)


def queue_size(queue: int, batch: int, people: int) -> int:
    """Prototypes in the queue: as asked for, or, for 0, as many as suit so many people. Raises InputError if it is no multiple of
    the batch, or if those who are not in the queue are less than a batch."""
    most = (people - batch) // batch * batch
    if most < batch:
        raise InputError(
            f"{people:,} people train, and the recipe semi_siamese needs at least two batches of train.batch_size = {batch}: one"
            f" of people whose prototypes are in the queue, and one of others; lower train.batch_size"
        )
    size = queue or min(max(min(people // 4, LONGEST) // batch, 1) * batch, most)
    if size % batch:
        raise InputError(f"train.recipe.queue is {size}; it should be a multiple of train.batch_size = {batch}, at most {most:,}")
    if size > most:
        raise InputError(
            f"train.recipe.queue is {size:,}, and {people:,} people train; those in the queue are left out of an epoch, and the"
            f" others should fill a batch of {batch}, so it should be at most {most:,}"
        )
    return size


def build_heads(terms: Sequence[ChoiceLike], columns: int) -> Objective:
    """The heads over the cosines with so many columns of a queue that `terms` name, without classifiers of their own. Raises
    InputError for losses that are no such heads."""
    names = [name_and_options(term)[0] for term in terms]
    heads = [name for name in LOSSES if takes_cosines(name)]
    if others := [name for name in names if name in LOSSES and name not in heads]:
        raise InputError(
            f"the recipe semi_siamese compares with a queue, in place of a classifier, and train.terms has {listing(others)};"
            f" it should be of: {listing(heads, most=99)}"
        )
    return build_objective(terms or DEFAULT_TERMS, 0, columns, ("logits", "labels", "embeddings"))


def takes_cosines(name: str) -> bool:
    """Whether the loss is a head over cosines that learns nothing of its own for a column, whose person changes."""
    loss = LOSSES[name]
    return isinstance(loss, type) and issubclass(loss, CosineClassifier) and not loss.for_each_identity
