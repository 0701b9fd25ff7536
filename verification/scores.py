"""Scores of pairs from embeddings of photographs; higher means more alike, everywhere."""

import numpy as np
import pandas as pd

from datasets.manifest import Pairs

CHUNK = 2_000  # pairs compared at once: some megabytes, which stay in the processor's cache, however long the list


def score_pairs(vectors: np.ndarray, file_names: list[str], pairs: Pairs, similarity: str) -> np.ndarray:
    """Score every pair -> float64 [P].

    vectors: float32 [N, D], the embedding of each of `file_names`. similarity: "cosine" in [-1, 1], or "euclidean", the
    negative distance of the raw embeddings, in (-inf, 0].
    """
    if similarity == "cosine":
        vectors = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    index = pd.Index(file_names)
    first, second = (index.get_indexer(pd.Index(pairs.table[side])) for side in ("first", "second"))
    compare = {"cosine": _cosine, "euclidean": _negative_distance}[similarity]
    scores = np.empty(len(pairs))
    for start in range(0, len(pairs), CHUNK):
        rows = slice(start, start + CHUNK)
        scores[rows] = compare(vectors[first[rows]], vectors[second[rows]])
    return scores


def _cosine(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    return np.einsum("pd,pd->p", first, second)


def _negative_distance(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    return -np.linalg.norm(first - second, axis=1)
