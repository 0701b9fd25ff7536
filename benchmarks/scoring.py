"""Scoring lists of pairs, against the reference that embeds both photographs of every pair."""

from collections import deque
from collections.abc import Callable
from contextlib import ExitStack

import numpy as np
import torch
from torch import nn

from benchmarks.networks import calibration, onnx_embedder
from benchmarks.reference import ReferenceEmbedder, score_pairs_anew
from benchmarks.timing import APART, Apart, Section, rates, take_turns
from common.config import DataConfig, ModelConfig
from datasets.manifest import Manifest, Pairs
from datasets.photographs.photographs import decode_all
from datasets.readers.opening import open_reader
from distributed.memory import keep_freed_memory
from models.embed import embed_images
from models.embedder import Embedder, build_embedder
from models.layers.folding import folded
from models.serving.graph import make_graph
from models.serving.quantise import quantise
from verification.scores import score_pairs

BATCH = 64
REFERENCE = "reference"
OURS = ("ours, weights (.pt)", "ours, exported (.onnx)", "ours, int8 (.onnx)")


def scoring_section(data: DataConfig, side: int, most: int | None, reference_pairs: int, rounds: int) -> Section:
    """The test pairs of a data set, or `most` of them, from the files to the scores."""
    faces, pairs = _listed(data, most)
    reference_pairs = min(reference_pairs, len(pairs))
    with ExitStack() as stack:
        runs = {REFERENCE: stack.enter_context(Apart(scored_anew, data, side, most, reference_pairs))}
        runs |= {name: stack.enter_context(Apart(scored_once, name, data, side, most)) for name in OURS}
        seconds = take_turns(runs, rounds, f"scoring {side}")
    what = (
        f"{len(pairs):,} test pairs of {len(faces):,} photographs, from the files to the"
        f" scores; the reference is timed on {reference_pairs:,} of the pairs, since its cost is the same for each. {APART}"
    )
    amounts = {REFERENCE: reference_pairs} | dict.fromkeys(OURS, len(pairs))
    return Section(f"Scoring, reader {data.reader['name']}, {side} pixels", what, rates(seconds, amounts, "pairs/s"))


def scored_anew(data: DataConfig, side: int, most: int | None, count: int) -> Callable[[], None]:
    """A function that scores `count` of the pairs as the reference does."""
    _, pairs = _listed(data, most)
    ours, reference = _embedder(side), ReferenceEmbedder(side).eval()
    reference.network.load_state_dict(ours.backbone.network.state_dict())
    reference.embedding.load_state_dict(ours.head.linear.state_dict())
    order = np.random.default_rng(0).permutation(len(pairs))[:count]
    paths = [tuple(pairs.root / name for name in row) for row in pairs.table[["first", "second"]].to_numpy()[order]]
    return lambda: deque(score_pairs_anew(reference, paths, side), maxlen=0)


def scored_once(name: str, data: DataConfig, side: int, most: int | None) -> Callable[[], None]:
    """A function that scores the pairs as evaluate.py does, from one of the files of OURS."""
    faces, pairs = _listed(data, most)
    embedder: nn.Module = _embedder(side)
    if name == OURS[0]:
        embedder = folded(embedder).to(memory_format=torch.channels_last)
    else:
        graph = make_graph(embedder, side)
        content = graph if name == OURS[1] else quantise(graph, calibration(side))
        embedder = onnx_embedder(content, ModelConfig(image_size=side))
    keep_freed_memory()

    def run() -> None:
        images = (pixels for pixels, _ in decode_all(faces, side, "embed"))
        embeddings = embed_images(embedder, images, faces.file_names, BATCH, flip=False)
        score_pairs(embeddings.vectors(False), faces.file_names, pairs, "cosine")

    return run


def _listed(data: DataConfig, most: int | None) -> tuple[Manifest, Pairs]:
    """The test pairs, or `most` of them, and their photographs."""
    reader = open_reader(data)
    pairs = reader.pairs("test")
    pairs = pairs.where(np.random.default_rng(0).permutation(len(pairs)) < (most or len(pairs)))
    return reader.faces("test").of_files(pairs.file_names), pairs


def _embedder(side: int) -> Embedder:
    torch.manual_seed(0)
    return build_embedder(ModelConfig(image_size=side)).eval()
