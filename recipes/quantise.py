"""Quantisation-aware training: an embedder that learns to be exported in 8 bits."""

from collections.abc import Callable, Iterable, Sequence
from itertools import islice
from typing import Annotated, Any, Literal

import numpy as np
import torch
from pydantic import Field, NonNegativeInt, PositiveInt
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.modules.batchnorm import _BatchNorm

from common.config import Config
from common.errors import InputError
from datasets.manifest import Manifest
from datasets.pairs.draw import draw_some, random_stream
from datasets.photographs.photographs import Chosen, Photographs
from models.embed import embed_images
from models.embedder import Embedder, build_embedder
from models.fake_quantised import FakeQuantised, Plan, calibrate, make_ranges
from models.layers.fake_quantise import LearnedRange, Range, follow
from models.network_input import network_input, resized
from models.serving import require_packages
from models.weights import WEIGHT_KINDS, load_weights
from recipes.metric import EmbedderRecipe

LrScale = Annotated[float, Field(gt=0.0, le=100.0)]
HeldOut = Annotated[float, Field(ge=0.0, le=0.5)]
CHUNK = 1024  # photographs whose logits are computed at once


class Quantise(EmbedderRecipe):
    """As the recipe metric in two phases (Jacob et al., "Quantization and Training of Neural Networks for Efficient
    Integer-Arithmetic-Only Inference", CVPR 2018, arXiv 1712.05877): in float, then with weights and activations rounded as in
    an int8 file.

    float_epochs: of the first phase; 0 goes on from trained weights (train.pretrained_weight).
    lr_scale: factor on the learning rate in the second phase.
    ranges: of the activations, running (moving averages of the extremes) or learned (LSQ).
    calibration: batches at the switch that set all ranges first.
    held_out: share of each person's photographs that do not train; accuracy and cross-entropy of the softmax on them, by the
        network as it trains, are logged at each validation, and the accuracy on the training images at each epoch.

    From the switch on BatchNorms keep their running statistics and are part of the weights that are rounded, drop-connect is
    left out, and all is computed in float32, since bfloat16 has fewer steps than 8 bits. Which values are rounded is read off
    what the exporter makes of the network, which takes the packages of requirements-serve.txt.

    What ships is the float network, with the ranges in the file's description (`int8_ranges`: scale and zero point by the name
    of a step), for export.py --int8. Its validation has the figures of the float network and, as `int8`, those of the rounded
    one, whose score decides which epoch of the second phase ships.
    """

    quantised: Tensor  # bool scalar: whether the ranges are set
    view: FakeQuantised | None = None  # of the second phase; no module of this one: all that it is made of is saved here

    def __init__(
        self,
        config: Config,
        faces: Manifest,
        photographs: Photographs,
        float_epochs: NonNegativeInt = 0,
        lr_scale: LrScale = 1.0,
        ranges: Literal["running", "learned"] = "running",
        calibration: PositiveInt = 16,
        held_out: HeldOut = 0.0,
        whiten: NonNegativeInt = 0,
        balance: str = "",
        image_sizes: Sequence[int] = (),
        steps: NonNegativeInt = 0,
    ):
        check_phases(config, float_epochs, held_out)
        start = config.train.pretrained_weight
        if not float_epochs and load_weights(start, WEIGHT_KINDS)["kind"] == "pretext":
            raise InputError(
                f"train.recipe.float_epochs is 0, and {start!r} is a pretext, which has not learned to tell people apart; set"
                f" float_epochs, or go on from the weights of train.py"
            )
        away = held_out_positions(faces, held_out, config.seed)
        kept = np.setdiff1d(np.arange(len(faces)), away)
        training: Any = Chosen(photographs, kept) if len(away) else photographs
        super().__init__(config, _rows(faces, kept), training, whiten, balance, image_sizes, steps)
        self.held_out, self.held_out_labels = Chosen(photographs, away), torch.from_numpy(faces.labels()[away])
        self.float_epochs, self.lr_scale, self.calibration = float_epochs, lr_scale, calibration
        self.plan = plan_of(self.network, config.model.image_size)
        self.ranges = make_ranges(self.network, self.plan, ranges)
        self.register_buffer("quantised", torch.zeros((), dtype=torch.bool))

    @classmethod
    def check(  # type: ignore[override]  # its own options
        cls,
        config: Config,
        faces: Manifest,
        float_epochs: int = 0,
        lr_scale: float = 1.0,
        ranges: str = "running",
        calibration: int = 16,
        held_out: float = 0.0,
        whiten: int = 0,
        balance: str = "",
        image_sizes: Sequence[int] = (),
        steps: int = 0,
    ) -> None:
        check_phases(config, float_epochs, held_out)
        away = held_out_positions(faces, held_out, config.seed)
        super().check(config, _rows(faces, np.setdiff1d(np.arange(len(faces)), away)), whiten, balance, image_sizes, steps)
        with torch.random.fork_rng(devices=[]):
            embedder = build_embedder(config.model)
        FakeQuantised(embedder, plan := plan_of(embedder, config.model.image_size), make_ranges(embedder, plan, "running"))

    def on_epoch_start(self, epoch: int) -> None:
        super().on_epoch_start(epoch)
        if epoch < self.float_epochs:
            return
        self.lr_factor = self.lr_scale
        self.__dict__["view"] = view = FakeQuantised(self.network, self.plan, self.ranges)
        if not self.quantised:
            self.eval()
            calibrate(view, self._images(islice(self.loader(epoch), self.calibration)))
            self.quantised.fill_(True)
        self.train()

    def _images(self, batches: Iterable[dict[str, Tensor]]) -> Iterable[Tensor]:
        device = next(self.network.parameters()).device
        return (resized(network_input(batch["image"], device), self.image_size) for batch in batches)

    def train(self, mode: bool = True) -> "Quantise":
        super().train(mode)
        if self.view is not None:
            for module in self.network.modules():
                if isinstance(module, _BatchNorm):
                    module.eval()
        return self

    def answers(self, images: Tensor, shown: Tensor) -> dict[str, Any]:
        if self.view is not None:
            with torch.autocast(images.device.type, enabled=False):
                return {"embeddings": self.view(images)}
        answers = super().answers(images, shown)
        # In the float phase, too, every weight has a gradient, as several processes expect it.
        idle: list[Tensor] = [each.log_scale for each in self.ranges.values() if isinstance(each, LearnedRange)]
        return answers | {"embeddings": answers["embeddings"] + 0.0 * torch.stack(idle).sum()} if idle else answers

    def on_step_end(self) -> None:
        super().on_step_end()
        if self.view is not None:
            follow(self._ranges())

    def _ranges(self) -> list[Range]:
        return list(self.ranges.values())  # type: ignore[arg-type]  # they are ranges

    def parameter_groups(self) -> list[dict[str, Any]]:
        scales = list(self.ranges.parameters())
        known = {id(scale) for scale in scales}
        others = [weight for weight in self.parameters() if weight.requires_grad and id(weight) not in known]
        return [{"params": others}, *([{"params": scales, "weight_decay": 0.0}] if scales else [])]

    def observed(self, embeddings: Tensor, labels: Tensor) -> dict[str, Tensor]:
        seen = super().observed(embeddings, labels) | {"quantised": self.quantised.float()}
        return seen | {"accuracy": self._identified(embeddings, labels)[0]} if len(self.held_out) else seen

    @torch.no_grad()
    def _identified(self, embeddings: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Accuracy of the softmax, which is left as it is, and its cross-entropy, of embeddings [B, D] and labels [B]."""
        softmax: Any = self.objective.losses["softmax"]
        mode = softmax.training
        softmax.eval()
        logits = softmax.logits(embeddings)
        softmax.train(mode)
        return (logits.argmax(dim=1) == labels).float().mean(), functional.cross_entropy(logits, labels)

    def figures(self, model: nn.Module, validate: Callable[[nn.Module], dict[str, Any]] | None) -> dict[str, Any]:
        figures = super().figures(model, validate)
        if self.view is None:
            figures = figures | {"score": None}  # what is not made for 8 bits does not ship
        elif validate:
            rounded = validate(FakeQuantised(model, self.plan, self.ranges))
            figures = figures | {"int8": rounded, "score": rounded["score"]}
        return figures | {"held_out": self._held_out()} if len(self.held_out) else figures

    def _held_out(self) -> dict[str, float]:
        images = (self.held_out[index] for index in range(len(self.held_out)))
        network = self.network if self.view is None else self.view
        embeddings = torch.from_numpy(embed_images(network, images, self.held_out.file_names).plain)
        device = next(self.network.parameters()).device
        sums = torch.zeros(2, dtype=torch.float64)
        for rows, labels in zip(embeddings.split(CHUNK), self.held_out_labels.split(CHUNK), strict=True):
            sums += torch.stack(self._identified(rows.to(device), labels.to(device))).double().cpu() * len(rows)
        accuracy, loss = (sums / len(embeddings)).tolist()
        return {"accuracy": accuracy, "cross_entropy": loss}

    def about(self) -> dict[str, Any]:
        if self.view is None:
            return super().about()
        return super().about() | {"int8_ranges": {name: list(each.bounds()) for name, each in self.ranges.items()}}  # type: ignore[operator]


def check_phases(config: Config, float_epochs: int, held_out: float) -> None:
    """Raise InputError for phases that are not both there, or for figures that nothing can be measured by."""
    stage = config.train
    if stage.epochs and float_epochs >= stage.epochs:
        raise InputError(
            f"train.recipe.float_epochs is {float_epochs} of train.epochs = {stage.epochs}, which leaves none to train for 8"
            f" bits; it should be less"
        )
    if not float_epochs and not stage.pretrained_weight:
        raise InputError(
            "train.recipe.float_epochs is 0, and there are no trained weights to go on from; set it, such as to 4, or name a"
            " weight file in train.pretrained_weight"
        )
    if held_out and not any(term["name"] == "softmax" for term in stage.terms):
        raise InputError(
            f"train.recipe.held_out is {held_out}: photographs held out are told apart by the softmax, and train.terms has none;"
            f" add it, or hold out none (0)"
        )


def held_out_positions(faces: Manifest, share: float, seed: int) -> np.ndarray:
    """Positions, int64 ascending, of the photographs that do not train: of each person this share, rounded down, but two stay."""
    random, labels = random_stream(seed, "held out"), faces.labels()
    chosen = [
        members[draw_some(len(members), max(0, min(int(share * len(members)), len(members) - 2)), random)]
        for members in (np.flatnonzero(labels == label) for label in range(len(faces.identities)))
    ]
    return np.sort(np.concatenate(chosen))


def plan_of(embedder: Embedder, image_size: int) -> Plan:
    """What the int8 file of an embedder holds in 8 bits. Raises InputError if the packages to tell are not installed."""
    require_packages()
    from models.serving.quantise import int8_plan

    return int8_plan(embedder, image_size)


def _rows(faces: Manifest, positions: np.ndarray) -> Manifest:
    keep = np.zeros(len(faces), dtype=bool)
    keep[positions] = True
    return faces.where(keep)
