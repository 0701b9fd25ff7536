"""Whom a photograph shows: identification in a gallery, closed and open, and against many strangers (MegaFace).

Scores are those of verification: cosines, or negative distances of raw embeddings; higher = more alike. Nothing here ever holds
more than `cells` of them at once. Scores that differ by no more than TIE are equal: how a product is rounded depends on how many
are computed together.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
from scipy.spatial.distance import cdist

CELLS = 1 << 23  # scores held at once: 64 MB
TIE = 1e-9
FPIRS = {"1e-1": 1e-1, "1e-2": 1e-2}


def person_ranks(
    probes: np.ndarray,
    people: np.ndarray,
    gallery: np.ndarray,
    gallery_people: np.ndarray,
    itself: np.ndarray,
    similarity: str = "cosine",
    cells: int = CELLS,
) -> tuple[np.ndarray, np.ndarray]:
    """How well each probe matches its own person, float64 [P], and at which rank that person comes, int64 [P], 1 = first.

    probes: float32 [P, D]. people: int64 [P], who they show. gallery: float32 [G, D]. gallery_people: int64 [G]. itself:
    int64 [P], the row of the gallery that is the very same photograph, or -1: a probe is never matched with itself. similarity:
    as in `score_pairs`.
    A person of the gallery is as much like a probe as the most similar of the person's photographs. The rank counts people: 1 and
    everybody else who is as similar to the probe as its own person, or more; so ties count against it.
    Raises ValueError if the own person of a probe has no (other) photograph in the gallery.
    """
    order = np.argsort(gallery_people, kind="stable")
    known, starts = np.unique(gallery_people[order], return_index=True)
    place = np.empty(len(order), dtype=np.int64)
    place[order] = np.arange(len(order))
    column = np.minimum(np.searchsorted(known, people), len(known) - 1)
    if (known[column] != people).any():
        raise ValueError("a probe shows nobody of the gallery")
    columns = comparable(gallery[order], similarity)
    own, ranks = np.empty(len(probes)), np.empty(len(probes), dtype=np.int64)
    for rows in blocks(len(probes), cells // max(1, len(gallery))):
        scores = compare(comparable(probes[rows], similarity), columns, similarity)
        same = np.flatnonzero(itself[rows] >= 0)
        scores[same, place[itself[rows][same]]] = -np.inf
        best = np.maximum.reduceat(scores, starts, axis=1)  # [rows, people]
        own[rows] = best[np.arange(len(best)), column[rows]]
        ranks[rows] = (best >= own[rows][:, None] - TIE).sum(axis=1)  # the own person is among them
    if np.isneginf(own).any():
        raise ValueError("a probe is the only photograph of its person in the gallery")
    return own, ranks


def cmc(ranks: np.ndarray, people: int) -> np.ndarray:
    """The cumulative match characteristic, float64 [people]: entry k - 1 is the share of the probes at rank k or better.

    ranks: int64 [P], each from 1 to `people`, the number of people in the gallery (Grother, Phillips: NIST IR 8271).
    """
    return np.cumsum(np.bincount(ranks, minlength=people + 1)[1:]) / len(ranks)


def largest_scores(
    rows: np.ndarray, columns: np.ndarray, most: int, similarity: str = "cosine", cells: int = CELLS
) -> np.ndarray:
    """The `most` largest scores of each row (float32 [P, D]) with the columns (float32 [S, D]), descending: float64 [P, most].

    most: at most S.
    """
    largest = np.empty((len(rows), most))
    for some in blocks(len(rows), min(1024, cells)):
        first = comparable(rows[some], similarity)
        found = np.full((len(first), most), -np.inf)
        for others in blocks(len(columns), cells // len(first)):
            scores = compare(first, comparable(columns[others], similarity), similarity)
            found = np.concatenate([found, scores], axis=1)
            found = -np.partition(-found, most - 1, axis=1)[:, :most]
        largest[some] = -np.sort(-found, axis=1)
    return largest


def megaface(
    probes: np.ndarray, people: np.ndarray, strangers: np.ndarray, similarity: str = "cosine", cells: int = CELLS
) -> tuple[np.ndarray, int]:
    """MegaFace's identification at rank 1 to N, float64 [N], and over how many pairs; NaN over none.

    probes: float32 [P, D]. people: int64 [P]. strangers: float64 [P, N], the N largest scores of each probe with the distractors,
    descending.
    For every ordered pair (i, j) of two probes of one person, i is hidden among the distractors and j looks for it: at rank N
    that is a hit if their score is at least the N-th largest of j with the distractors. So a tie is a hit, and a person counts
    by the square of the number of photographs. (Kemelmacher-Shlizerman et al., CVPR 2016, as FaceX-Zoo computes it.)
    """
    hits, pairs = np.zeros(strangers.shape[1], dtype=np.int64), 0
    order = np.argsort(people, kind="stable")
    for members in np.split(order, np.flatnonzero(np.diff(people[order])) + 1):
        vectors = comparable(probes[members], similarity)
        for rows in blocks(len(members), cells // max(1, len(members))):
            scores = compare(vectors[rows], vectors, similarity)  # of j with each i
            places = np.arange(len(members))[rows]
            scores[np.arange(len(places)), places] = -np.inf  # no photograph is hidden from itself
            for rank, limit in enumerate(strangers[members[rows]].T):
                hits[rank] += np.count_nonzero(scores >= limit[:, None] - TIE)
        pairs += len(members) * (len(members) - 1)
    return (hits / pairs if pairs else np.full(len(hits), np.nan)), pairs


def open_set(own: np.ndarray, ranks: np.ndarray, strangers: np.ndarray) -> dict[str, dict[str, Any] | None]:
    """Identification where a probe may show nobody of the gallery: {"1e-1": {"tpir", "above"}, "1e-2": ...} by the FPIR.

    own: float64 [P]; ranks: int64 [P]; both from `person_ranks`. strangers: float64 [S], the largest score of each photograph of
    somebody else with the gallery.
    The best match counts if its score lies above a threshold. FPIR is the share of the strangers who are taken for somebody, and
    TPIR that of the probes whose own person is the best match and counts. The threshold is the lowest with an FPIR of at most
    the target; nothing is interpolated. None where fewer than 1 / target strangers cannot tell so small a rate.
    """
    falling = -np.sort(-strangers)
    rates: dict[str, dict[str, Any] | None] = {}
    for name, target in FPIRS.items():
        accepted = int((np.arange(len(falling)) / len(falling) <= target).sum()) - 1  # of the strangers, at most
        above = float(falling[accepted])
        found = (ranks == 1) & (own > above + TIE)
        rates[name] = {"tpir": float(found.mean()), "above": above} if accepted else None
    return rates


def comparable(vectors: np.ndarray, similarity: str) -> np.ndarray:
    """Embeddings as float64, of unit length where cosines compare them."""
    vectors = vectors.astype(np.float64)
    if similarity == "cosine":
        vectors /= np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    return vectors


def compare(first: np.ndarray, second: np.ndarray, similarity: str) -> np.ndarray:
    """Scores of all with all, float64 [P, S], of `comparable` embeddings [P, D] and [S, D]."""
    return first @ second.T if similarity == "cosine" else -cdist(first, second)


def blocks(count: int, size: int) -> Iterator[slice]:
    """0 to `count` in slices of at most `size`, one at least."""
    size = max(1, size)
    return (slice(start, start + size) for start in range(0, count, size))
