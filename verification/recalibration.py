"""A weight file anew with thresholds and probabilities for the photographs that it is used on, from answered pairs of them.

The embedder stays as it is. Faces of other people and cameras score otherwise than those it was validated on, so that a
threshold may be far off where the scores themselves are good.
"""

import os
from pathlib import Path
from typing import Any

import numpy as np

from common.config import Config
from common.devices import choose_device
from common.errors import InputError
from datasets.manifest import Pairs, digest
from models.model_file import files_of, is_exported, read_model_file
from models.weights import calibrated_threshold, file_digest, save_weights
from verification.decisions import calibrate, decide, finite
from verification.embedding import PhotographEmbedder
from verification.evaluation import open_pairs
from verification.scores import score_pairs
from verification.validation import VIEWS, operating

LEAST = 30
"""Pairs of either kind: with fewer, one pair more or less moves a threshold's error rate by more than 3 %."""


def recalibrate(config: Config) -> Path | None:
    """Write the file evaluate.calibrate: evaluate.model_weight with new thresholds from evaluate.pairs. Print what changed and
    return its path; None in all of several processes but the leading one.

    What the file says of itself changes in two places: `validation` has new thresholds, thresholds by false accept rate and
    probabilities (its figures are those of the training still), and `calibration` says which pairs they come from: their
    digest, how many of either kind, of how many photographs, and the digest of the file that was calibrated.
    Raises InputError, before any photograph is read, if there are too few pairs, if the file could not be written, or for
    several files that are fused.
    """
    weights = config.evaluate.model_weight
    if len(files_of(weights)) > 1:
        raise InputError(f"{weights!r} are several files; write them as one with export.py, then calibrate that one")
    source, out = Path(weights), Path(config.evaluate.calibrate)
    check_out(source, out, config.overwrite)
    content = read_model_file(source)
    if not config.evaluate.pairs:
        raise InputError("--calibrate takes answered pairs of your own photographs, so it needs --pairs")
    pairs, known = open_pairs(config)
    pairs = pairs.where(pairs.answered)
    matching, different = int(pairs.same.sum()), int((~pairs.same).sum())
    if min(matching, different) < LEAST:
        raise InputError(
            f"{config.evaluate.pairs!r} has {matching:,} answered pairs of the same person and {different:,} of different people;"
            f" calibrating takes at least {LEAST} of each"
        )
    photographs = known.of_files(pairs.file_names)
    embedder = PhotographEmbedder(config, photographs, choose_device(config.device))
    before = {view: calibrated_threshold(content, flip) for view, flip in VIEWS.items()}
    print(f"calibrate: {len(pairs):,} pairs of {len(photographs):,} photographs, {source}")
    embeddings = embedder.embed(mirrored=True)
    if not embeddings:
        return None
    scores = {
        view: finite(score_pairs(embeddings.vectors(flip), photographs.file_names, pairs, config.similarity))
        for view, flip in VIEWS.items()
    }
    after = {view: calibrate(scores[view], pairs.same) for view in VIEWS}
    about = content["about"]
    changed = {
        "validation": {**about.get("validation", {}), "thresholds": after, **operating(scores, pairs.same)},
        "calibration": {
            "pairs_digest": digest(pairs),
            "same": matching,
            "different": different,
            "images": len(photographs),
            "weights_digest": file_digest(source),
        },
    }
    write(out, content, {**about, **changed})
    view = "flip" if config.evaluate.flip else "plain"
    for line in what_changed(scores[view], pairs, before[view], after[view]):
        print(f"  {line}")
    return out


def check_out(source: Path, out: Path, overwrite: bool) -> None:
    """Tell what would keep the new file from being written. Raises InputError."""
    if is_exported(source) != is_exported(out) or not out.suffix:
        kind = ".onnx" if is_exported(source) else ".pt"
        raise InputError(f"--calibrate is {str(out)!r}; its name should end in {kind}, as that of the file it is made from does")
    if out.exists() and source.exists() and os.path.samefile(source, out):
        raise InputError(f"--calibrate is the very file that is to be calibrated, {str(out)!r}; give the new one another name")
    if out.is_dir():
        raise InputError(f"--calibrate is {str(out)!r}, which is a folder; it should be the name of a new file")
    if out.exists() and not overwrite:
        raise InputError(f"{str(out)!r} is there already; choose another name for --calibrate, or replace it with --overwrite")
    folder = next(path for path in out.absolute().parents if os.path.lexists(path))
    if not folder.is_dir() or not os.access(folder, os.W_OK | os.X_OK):
        raise InputError(f"{str(out)!r} cannot be written, as {str(folder)!r} is no folder where you may write")


def write(out: Path, content: dict[str, Any], about: dict[str, Any]) -> None:
    """The file of this content, weights or an exported graph, with another description."""
    if "graph" not in content:
        save_weights(out, content["kind"], content["state"], about)
        return
    from models.serving.onnx_file import write_model  # needs packages that evaluation does not

    write_model(out, content["graph"], about)


def what_changed(scores: np.ndarray, pairs: Pairs, before: float | None, after: float) -> list[str]:
    """Two lines: the threshold (None: there was none) and the accuracy on these pairs, before and now."""
    thresholds = ["none" if limit is None else f"{limit:.4f}" for limit in (before, after)]
    rates = ["unknown" if limit is None else f"{(decide(scores, limit) == pairs.same).mean():.2%}" for limit in (before, after)]
    return [
        f"threshold {thresholds[0]} before, {thresholds[1]} now",
        f"accuracy on these pairs {rates[0]} before, {rates[1]} now, which is optimistic: they chose the threshold",
    ]
