"""Scoring lists of pairs, against the reference that embeds both photographs of every pair."""

from collections.abc import Callable

import numpy as np
import torch
from torch import nn

from benchmarks.contest import Section, rates, take_turns
from benchmarks.networks import calibration, onnx_embedder
from benchmarks.reference import ReferenceEmbedder, score_pairs_anew
from config import DataConfig, ModelConfig
from datasets.images import decode_all
from datasets.manifest import Manifest, Pairs
from datasets.reading import open_reader
from models.embedder import build_embedder
from models.serving.graph import make_graph
from models.serving.quantise import quantise
from verification.embed import embed_images
from verification.scores import score_pairs

BATCH = 64


def scoring_section(data: DataConfig, side: int, most: int | None, reference_pairs: int, rounds: int) -> Section:
    """The test pairs of a data set, or `most` of them, from the files to the scores."""
    reader = open_reader(data)
    pairs = reader.pairs("test")
    pairs = pairs.where(np.random.default_rng(0).permutation(len(pairs)) < (most or len(pairs)))
    faces = reader.faces("test").of_files(pairs.file_names)
    config = ModelConfig(image_size=side)
    torch.manual_seed(0)
    ours = build_embedder(config).eval()
    reference = ReferenceEmbedder(side).eval()
    reference.network.load_state_dict(ours.backbone.network.state_dict())
    reference.embedding.load_state_dict(ours.embedding.state_dict())
    order = np.random.default_rng(0).permutation(len(pairs))[:reference_pairs]
    paths = [tuple(pairs.root / name for name in row) for row in pairs.table[["first", "second"]].to_numpy()[order]]
    graph = make_graph(ours, side)
    embedders: dict[str, nn.Module] = {
        "ours, weights (.pt)": ours.to(memory_format=torch.channels_last),
        "ours, exported (.onnx)": onnx_embedder(graph, config),
        "ours, int8 (.onnx)": onnx_embedder(quantise(graph, calibration(side)), config),
    }
    runs: dict[str, Callable[[], object]] = {"reference": lambda: list(score_pairs_anew(reference, paths, side))}
    runs |= {name: lambda embedder=embedder: _score(embedder, faces, pairs, side) for name, embedder in embedders.items()}
    amounts = {name: len(paths) if name == "reference" else len(pairs) for name in runs}
    rows = rates(take_turns(runs, rounds, f"scoring {side}"), amounts, "pairs/s")
    what = (
        f"{len(pairs):,} test pairs of {len(faces):,} photographs, from the files to the"
        f" scores; the reference is timed on {len(paths):,} of the pairs, since its cost is the same for each."
    )
    return Section(f"Scoring, reader {data.reader}, {side} pixels", what, rows)


def _score(embedder: nn.Module, faces: Manifest, pairs: Pairs, side: int) -> np.ndarray:
    images = (pixels for pixels, _ in decode_all(faces, side, "embed"))
    embeddings = embed_images(embedder, images, faces.file_names, BATCH, flip=False)
    return score_pairs(embeddings.vectors(False), faces.file_names, pairs, "cosine")
