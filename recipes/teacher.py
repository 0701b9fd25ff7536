"""Trained networks from their weight files, which say of images what a student should learn to say."""

import math
from collections.abc import Mapping, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from common.config import Config, ModelConfig, make_config
from common.devices import channels_last
from common.errors import InputError, listing
from datasets.readers.opening import check_same_split
from losses import LOSSES, build_objective
from losses.objective import Objective
from models.backbones.backbone import named_maps, output_and_maps
from models.embedder import Embedder, embedder_shapes, shapes_only
from models.heads.head import Head
from models.model_file import build_shipped
from models.network_input import resized
from models.weights import file_digest, fill, load_weights, part_of, trained_on

ANSWERS = ("teacher_embeddings", "teacher_logits", "teacher_maps")
"""What a loss term may ask of a teacher."""


class Teacher(nn.Module):
    """One network of a weight file, in evaluation mode and frozen: images [B, 3, S, S] float32 in [-1, 1] of any size -> those
    of ANSWERS that are asked for, without gradient and float32.

    teacher_embeddings: [B, size], of the embedder that ships. teacher_logits: [B, identities], what the classifier of
    <teacher>.classifier.pt says of the embeddings before whitening, of which their softmax are the probabilities.
    teacher_maps: a list of [B, C, h, w], those of `stages`.

    No random generator moves. Raises InputError for a file that cannot be used, for one whose network may have seen people
    of this data set's validation or test split, and for a classifier that is asked for and absent or of other people.
    """

    def __init__(self, path: str, config: Config, identities: Sequence[str], asked: Sequence[str], stages: Sequence[str] = ()):
        super().__init__()
        self.path, self.asked, self.stages = path, tuple(asked), list(stages)
        self.digests = {path: read_digest(path, "train.recipe.teacher should be a weight file written by train.py")}
        content = load_weights(path)
        check_same_split(trained_on(content), config.data, repr(path))
        model = make_config({"model": content["about"].get("config", {}).get("model", {})}, repr(path)).model
        with torch.random.fork_rng(devices=[]), torch.device("cpu"):
            shipped = build_shipped(content, model, repr(path))
            self.embedder: Embedder = shipped.embedder  # type: ignore[assignment]  # of a weight file it is one
            if "teacher_logits" in asked:
                beside = str(Path(path).with_suffix(".classifier.pt"))
                self.digests[beside] = read_digest(beside, "soft labels need the classifier that train.py leaves beside it")
                self.head, self.objective = read_classifier(beside, content, self.embedder.head, identities)
        self.size, self.image_size = model.embedding_size, model.image_size
        self.channels = map_channels(model, self.stages, repr(path))
        self.count = shipped.parameters
        self.score: float | None = content["about"].get("validation", {}).get("score")
        self.requires_grad_(False).eval()

    @torch.no_grad()
    def forward(self, images: Tensor) -> dict[str, Any]:
        output, maps = output_and_maps(self.embedder.backbone, resized(images, self.image_size), self.stages)
        answers: dict[str, Any] = {}
        if "teacher_embeddings" in self.asked:
            answers["teacher_embeddings"] = self.embedder.head(output).float()
        if "teacher_logits" in self.asked:
            embeddings = self.head(output).float()
            with torch.autocast(embeddings.device.type, enabled=False):
                answers["teacher_logits"] = self.objective.scaled_logits(embeddings)
        if "teacher_maps" in self.asked:
            answers["teacher_maps"] = [maps[name].float() for name in self.stages]
        return answers


class Teachers(nn.Module):
    """One teacher, several as an ensemble, or several in turn: the answers of a `Teacher`.

    An ensemble's embeddings are those of its members, each of unit length, one behind another and divided by the square root
    of their number, so that the cosine of two is the mean of the members' cosines; its logits are the mean of theirs. In turn
    each teaches for an equal share of the epochs, as in the multi-step distillation of PocketNet (Boutros et al., IEEE Access
    2022, arXiv 2108.10710): its teacher's own epochs, from the first to the last.

    A teacher moves between devices with whoever owns this module, and is no part of it otherwise: neither of its
    parameters, nor of what a snapshot has of it, nor of what `train()` sets.
    """

    def __init__(
        self,
        config: Config,
        identities: Sequence[str],
        paths: Sequence[str],
        several: Literal["ensemble", "in_turn"],
        asked: Sequence[str],
        stages: Sequence[str],
    ):
        super().__init__()
        self.config, self.identities, self.paths, self.asked, self.stages = config, identities, list(paths), asked, stages
        self.in_turn = several == "in_turn"
        check_number(self.paths, self.in_turn, config.train.epochs, bool(stages))
        self.digests: dict[str, str] = {}
        self.counts: list[int] = []
        self.scores: list[float] = []
        self.present: list[Teacher] = []  # a list, which is no module
        for number, path in enumerate(self.paths):
            teacher = self._read(path)
            self.digests |= teacher.digests
            self.counts.append(teacher.count)
            self.scores += [teacher.score] if type(teacher.score) is float else []
            if self.in_turn and number:
                self._check_like_first(teacher)
            else:
                self.present.append(teacher)
        self.size = sum(teacher.size for teacher in self.present)
        self.channels = self.present[0].channels

    def _read(self, path: str) -> Teacher:
        return Teacher(path, self.config, self.identities, self.asked, self.stages)

    def _check_like_first(self, teacher: Teacher) -> None:
        first = self.present[0]
        for what, one, other in (
            ("embeddings of {} dimensions", first.size, teacher.size),
            ("maps of {} channels", first.channels, teacher.channels),
        ):
            if one != other:
                raise InputError(
                    f"{first.path!r} has {what.format(one)}, and {teacher.path!r} {what.format(other)}; teachers in turn should"
                    f" be alike"
                )

    def on_epoch_start(self, epoch: int, epochs: int) -> None:
        """Let the teacher of this epoch of a training take its turn. Raises InputError if its file has changed."""
        path = self.paths[epoch * len(self.paths) // epochs]
        if not self.in_turn or path == self.present[0].path:
            return
        teacher = self._read(path)
        if any(self.digests[name] != digest for name, digest in teacher.digests.items()):
            raise InputError(f"the teacher {path!r} has changed since the training began; put it back, and go on with --resume")
        device = next(self.present[0].parameters()).device
        self.present = [channels_last(teacher).to(device)]

    def forward(self, images: Tensor) -> dict[str, Any]:
        """images [B, 3, S, S] -> the answers that are asked for."""
        answers = [teacher(images) for teacher in self.present]
        return answers[0] if len(answers) == 1 else ensemble(answers)

    def present_digests(self) -> dict[str, str]:
        """SHA-256 by path of the files of those that teach now."""
        return {path: digest for teacher in self.present for path, digest in teacher.digests.items()}

    def described(self) -> str:
        """Who they are, for a line on the screen."""
        count, way = len(self.paths), "in turn" if self.in_turn else "an ensemble"
        names = repr(self.paths[0]) if count == 1 else f"{count} networks ({way}), {self.paths[0]!r} to {self.paths[-1]!r}"
        sizes = span([f"{size:,}" for size in sorted(self.counts)])
        scores = span([f"{score:.4f}" for score in sorted(self.scores)])
        return f"{names}: {sizes} parameters, {f'validation score {scores}' if scores else 'not validated'}"

    def _apply(self, fn, recurse=True):
        for teacher in self.present:
            teacher._apply(fn, recurse)
        return super()._apply(fn, recurse)


def span(values: Sequence[str]) -> str:
    """ "a to c" of a, b and c in order; "a" where all are alike, and nothing of nothing."""
    return " to ".join(dict.fromkeys([*values[:1], *values[-1:]]))


def ensemble(answers: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The answers of several teachers as those of one."""
    joined: dict[str, Any] = {}
    if "teacher_embeddings" in answers[0]:
        units = [functional.normalize(each["teacher_embeddings"]) for each in answers]
        joined["teacher_embeddings"] = torch.cat(units, dim=1) / math.sqrt(len(units))
    if "teacher_logits" in answers[0]:
        joined["teacher_logits"] = torch.stack([each["teacher_logits"] for each in answers]).mean(dim=0)
    return joined


def check_number(paths: Sequence[str], in_turn: bool, epochs: int, with_maps: bool) -> None:
    """Raise InputError for a number of teachers that cannot teach so."""
    if not paths:
        raise InputError("train.recipe.teacher is empty; it should be a weight file, or a list of them")
    if in_turn and epochs and len(paths) > epochs:
        raise InputError(f"train.recipe.teacher has {len(paths)} files, more than the {epochs} epochs in which they take turns")
    if len(paths) > 1 and not in_turn and with_maps:
        raise InputError("train.recipe.maps pairs maps with those of one teacher; an ensemble has no maps of its own")


def read_classifier(path: str, teacher: Mapping[str, Any], whitened: Head, identities: Sequence[str]) -> tuple[Head, Objective]:
    """The head before whitening and an objective of the classifier alone, of the file beside a teacher's weights.

    teacher: the content of those; whitened: the head that they have. Raises InputError for a file that is of another training
    or of other people, or without a classifier.
    """
    content = load_weights(path, ("classifier",))
    about, source = content["about"], repr(path)
    if any(about.get(name) != value for name, value in teacher["about"].items()):
        raise InputError(f"{source} is not of the training that the weights beside it come from; put the right one there")
    if about.get("identities") != list(identities):
        raise InputError(
            f"{source} tells other people apart than those who train now, so that its soft labels would mean nothing; take loss"
            f" terms of embeddings, or a teacher that the same people trained"
        )
    train = about.get("config", {}).get("train")
    terms = make_config({"train": {"terms": train.get("terms") if isinstance(train, dict) else []}}, source).train.terms
    classifiers = [term for term in terms if hasattr(LOSSES[term["name"]], "logits")]
    if len(classifiers) != 1:
        names = listing([term["name"] for term in classifiers]) or "none"
        raise InputError(f"{source} has {len(classifiers)} classifiers ({names}); soft labels need exactly one")
    objective = build_objective(classifiers, whitened.linear.out_features, len(identities))
    name = classifiers[0]["name"]
    fill(objective.losses[name], part_of(content, f"objective.losses.{name}."), source)
    head = deepcopy(whitened)
    fill(head, part_of(content, "network.head."), source)
    return head, objective


def map_channels(model: ModelConfig, stages: Sequence[str], source: str) -> list[int]:
    """Channels of the maps of a backbone's stages, which errors call `source`. Raises InputError for a stage it lacks."""
    if not stages:
        return []
    backbone = embedder_shapes(model).backbone
    with shapes_only():
        try:
            maps = named_maps(backbone, torch.empty(2, 3, model.image_size, model.image_size), stages)
        except InputError as error:
            raise InputError(f"train.recipe.maps: {source}: {error}") from error
    return [maps[name].shape[1] for name in stages]


def read_digest(path: str, needed: str) -> str:
    """`file_digest`, or an InputError that says what is `needed` if the file cannot be read."""
    try:
        return file_digest(path)
    except (OSError, ValueError) as error:  # ValueError of a name that cannot be one
        raise InputError(f"{path!r} cannot be read ({getattr(error, 'strerror', None) or error}); {needed}") from error
