"""One evaluation, step by step: from a weight file and a list of pairs to decisions, files and figures."""

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from common.config import Config, make_config, merge, read_layer
from common.errors import InputError
from common.rules import far_rate
from datasets.manifest import Manifest, Pairs
from datasets.masks.copies import with_masked_pairs
from datasets.readers.opening import check_same_split, open_reader
from datasets.readers.pairs_csv import read_pairs_csv
from models.embed import Embeddings
from models.model_file import digest_of, is_exported, name_of, read_model_file
from models.weights import all_trained_on, calibrated_threshold
from verification.calibration import validated
from verification.decisions import decide, finite, threshold
from verification.embedding import PhotographEmbedder
from verification.fold_rules import check_fold_rule
from verification.metrics import breakdown, k_fold, verification_metrics
from verification.operating_points import operating_point
from verification.output import check_output, output_folder, submission_path, written_together
from verification.probability import probability, stored_scaling
from verification.report import write_report
from verification.scores import score_pairs
from verification.submission import write_scores, write_submission

FROM_TRAINING = ("pretext", "train", "model", "similarity", "resume", "sync_norm", "data.cache", "export")
"""The weight file's own settings, and those of training and of exporting alone: no options of an evaluation."""
FOR_PAIRS = tuple(f"evaluate.{name}" for name in ("pairs", "rule", "calibrate", "masked", "folds", "fold_rule"))
"""Settings of an evaluation that decides pairs of photographs."""


def evaluation_config(configs: Sequence[str], overrides: Mapping[str, Any], own_list: str = "evaluate.pairs") -> Config:
    """The settings stored in the weight file, `evaluate.flip` among them, then the YAML files, then the overrides.

    The network and the similarity are always the weight file's own. Results carry the weight file's name unless the
    overrides give one. own_list: the setting that names a list of photographs in place of the data set's. Raises InputError.
    """
    layers: dict[str, Any] = {}
    for path in configs:
        layers = merge(layers, read_layer(path))
    weight = merge(layers, overrides).get("evaluate", {}).get("model_weight")
    if not weight:
        raise InputError("which weights? pass --model_weight results/train/weights/<run>.pt")
    content = read_model_file(weight)
    stored = content["about"].get("config", {})
    meant = {"evaluate": {"flip": content["about"].get("evaluate", {}).get("flip", False)}}
    values = {key: value for key, value in stored.items() if key not in ("pretext", "train")} | meant
    section, setting = own_list.split(".")
    others = merge(layers, overrides).get(section, {}).get(setting)
    if others:  # of these photographs the boxes it was trained with say nothing
        values = merge(values, {"data": {"boxes": ""}})
    values = merge(values, layers)
    own = {"name": name_of(weight)} | {key: stored[key] for key in ("model", "similarity") if key in stored}
    config = make_config(merge({**values, **own}, overrides), f"{weight!r} and the settings given")
    if not others:
        for trained in all_trained_on(content):
            check_same_split(trained, config.data, repr(weight))
    if config.device == "cuda" and is_exported(weight):
        raise InputError(f"device is 'cuda', but an exported model such as {weight!r} runs on the CPU; use --device cpu")
    return config


class Evaluation:
    """The pairs to decide, what is known of their photographs, and the embedder; `embed`, `score`, `measure`, `write`.

    Raises InputError, before any photograph is read, for whatever would keep the result from being written at the end.
    """

    def __init__(self, config: Config, device: torch.device):
        self.config = config
        self.started = time.monotonic()
        check_fold_rule(config.evaluate.fold_rule, config.similarity)
        self.pairs, self.known = open_pairs(config)
        check_output(config, self.pairs)
        self.embedder = PhotographEmbedder(config, self.known, device)
        about, flip, rate = self.embedder.about, config.evaluate.flip, far_rate(config.evaluate.rule)
        if "fused" in about and "validation" not in about and (config.evaluate.rule == "calibrated" or rate):
            about = {**about, "validation": validated(self.embedder.embedder, config)}
        self.point = operating_point(about, flip, rate) if rate else None
        self.calibrated = self.point.threshold if self.point else calibrated_threshold({"about": about}, flip)
        self.scaling = stored_scaling(about, flip)
        if config.evaluate.rule != "median":  # the one rule that asks for the scores
            self.threshold(np.empty(0))
        print(f"evaluate: {len(self.pairs):,} pairs of {len(self.known):,} photographs, {config.evaluate.model_weight}")
        if config.evaluate.rule == "median":
            print("  rule median: the threshold comes from these very pairs and assumes that half of them match")
        if self.point:
            print(f"  rule {config.evaluate.rule}: {self.point}")

    def embed(self) -> Embeddings | None:
        """Decode and embed every photograph once; of several processes each its share. None for all but the leading one."""
        return self.embedder.embed()

    def score(self, embeddings: Embeddings) -> np.ndarray:
        """Score of each pair, float64 [P], finite, higher = more alike."""
        vectors = embeddings.vectors(self.config.evaluate.flip)
        return finite(score_pairs(vectors, self.known.file_names, self.pairs, self.config.similarity))

    def threshold(self, scores: np.ndarray) -> float:
        """The threshold that evaluate.rule gives for all the scores."""
        return threshold(scores, self.config.evaluate.rule, self.calibrated)

    def measure(self, scores: np.ndarray) -> dict[str, Any] | None:
        """The figures of the pairs that have an answer; None if none has."""
        limit, answered = self.threshold(scores), self.pairs.answered
        if not answered.any():
            return None
        pairs, scores = self.pairs.where(answered), scores[answered]
        figures = {
            **verification_metrics(scores, pairs.same, limit),
            "threshold": limit,
            "threshold_rule": self.config.evaluate.rule,
            **({"threshold_far": self.point.summary()} if self.point else {}),
            "similarity": self.config.similarity,
            "flip": self.config.evaluate.flip,
            "masked": self.config.evaluate.masked,
            "pairs": len(pairs),
            "images": len(self.known),
            "parameters": self.embedder.parameters,
            "seconds": round(time.monotonic() - self.started, 2),
            "weights_digest": digest_of(self.config.evaluate.model_weight),
            "k_fold": self._k_fold(scores, pairs.same),
        }
        return figures | {f"by_{name}": self._breakdown(name, pairs, scores, limit) for name in self.known.attributes}

    def write(self, scores: np.ndarray, figures: Mapping[str, Any] | None) -> Path:
        """Write submission, scores and, where there are figures, the report, all or nothing; return the submission's path."""
        run, limit, answered = self.config.name, self.threshold(scores), self.pairs.answered
        submission = submission_path(self.config)
        with written_together(output_folder(self.config), run) as folder:
            probabilities = probability(scores, self.scaling) if self.scaling else None
            write_scores(folder / f"{run}_scores.csv", self.pairs, scores, probabilities)
            write_submission(folder / submission.name, self.pairs, decide(scores, limit))
            if figures:
                same, angles = self.pairs.where(answered).same, figures.get("by_angle") or figures.get("by_pose")
                write_report(folder, run, figures, scores[answered], same, limit, angles)
        return submission

    def _k_fold(self, scores: np.ndarray, same: np.ndarray) -> dict[str, Any] | None:
        folds, rule = self.config.evaluate.folds, self.config.evaluate.fold_rule
        return k_fold(scores, same, folds, rule) if min(same.sum(), (~same).sum()) >= folds else None

    def _breakdown(self, attribute: str, pairs: Pairs, scores: np.ndarray, limit: float) -> list[dict]:
        first, second = (self.known.of_files(pairs.table[side]).table[attribute] for side in ("first", "second"))
        return breakdown(scores, pairs.same, limit, first.tolist(), second.tolist())


def open_pairs(config: Config) -> tuple[Pairs, Manifest]:
    """The pairs to decide and, row for row with `pairs.file_names`, what is known of their photographs."""
    pairs, known = _plain_pairs(config)
    which = config.evaluate.masked
    return (pairs, known) if which == "none" else with_masked_pairs(pairs, known, which)


def _plain_pairs(config: Config) -> tuple[Pairs, Manifest]:
    """The pairs as they are listed."""
    if config.evaluate.pairs:
        return read_pairs_csv(config.evaluate.pairs, config.evaluate.data_root, config.data.boxes)
    if config.evaluate.data_root:
        raise InputError(f"--data_root {config.evaluate.data_root} needs --pairs; the data set's own pairs are in --data.root")
    reader = open_reader(config.data)
    pairs = reader.pairs("test")
    return pairs, reader.faces("test").of_files(pairs.file_names)


def print_figures(figures: Mapping[str, Any] | None) -> None:
    """The figures a person looks for first, one a line."""
    if figures is None:
        print("  no answers are known, so there are no figures")
        return
    titles = {"accuracy": "accuracy", "auc": "area under ROC", "eer": "equal error rate"}
    titles |= {"tar_at_far_1e-2": "TAR at FAR 1e-2", "tar_at_far_1e-3": "TAR at FAR 1e-3"}
    for key, title in titles.items():
        if figures[key] is not None:
            print(f"  {title:<18}{figures[key]:8.2%}")
    folded = figures["k_fold"]
    if folded:
        title = f"{len(folded['fold_accuracies'])}-fold accuracy"
        spread = "standard_deviation" if folded["rule"] == "insightface" else "standard_error"
        rule = "" if folded["rule"] == "calibrated" else f", rule {folded['rule']}"
        print(f"  {title:<18}{folded['accuracy']:8.2%} +- {folded[spread]:.2%} ({spread.replace('_', ' ')}{rule})")
    print(f"  threshold         {figures['threshold']:8.4f} ({figures['threshold_rule']})")
    print(f"  {figures['parameters']:,} parameters, {figures['images']:,} photographs, {figures['seconds']:.1f} s")
