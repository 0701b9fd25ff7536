"""The rules of identification and of template verification, by naive loops, by hand and by property."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from verification.fusion import fuse, template_metrics, unresolved
from verification.identification import cmc, largest_scores, megaface, open_set, person_ranks
from verification.metrics import roc, tar_at_far, tar_at_nearest_far

NONE = np.array([-1, -1, -1, -1, -1, -1])


def at(*degrees: float) -> np.ndarray:
    """Unit vectors in the plane, float64 [N, 2], so that equal angles are ties: cosines are those of the angles between them."""
    return np.stack([np.cos(np.radians(degrees)), np.sin(np.radians(degrees))], axis=1)


def draw(seed: int, size: int, people: int, spread: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """Embeddings of people, coarsely rounded, so that there are ties: float32 [size, 3], int64 [size], everybody in it."""
    random = np.random.default_rng(seed)
    labels = np.concatenate([np.arange(people), random.integers(people, size=size - people)])
    centres = np.random.default_rng(0).normal(size=(people, 3))
    return np.round(centres[labels] + spread * random.normal(size=(size, 3))).astype(np.float32) + 0.5, labels


def score(one: np.ndarray, other: np.ndarray, similarity: str) -> float:
    one, other = one.astype(float), other.astype(float)
    if similarity == "euclidean":
        return -float(np.sqrt(np.sum((one - other) ** 2)))
    return float(one @ other / np.linalg.norm(one) / np.linalg.norm(other))


# In the gallery


@pytest.mark.parametrize("similarity", ["cosine", "euclidean"])
def test_ranks_by_naive_loops_whatever_the_blocks(similarity):
    gallery, shown = draw(1, 25, 6)
    fresh, people = draw(2, 30, 6)
    own_rows = np.flatnonzero(np.bincount(shown)[shown] > 1)[:10]  # these photographs are also probes
    probes, people = np.concatenate([fresh, gallery[own_rows]]), np.concatenate([people, shown[own_rows]])
    itself = np.concatenate([np.full(30, -1), own_rows])
    expected_own, expected = [], []
    for probe, person, same in zip(probes, people, itself, strict=True):
        best = {}
        for row, (photograph, owner) in enumerate(zip(gallery, shown, strict=True)):
            if row != same:
                best[owner] = max(best.get(owner, -np.inf), score(probe, photograph, similarity))
        expected_own.append(best[person])
        expected.append(sum(other >= best[person] - 1e-9 for other in best.values()))
    assert len(set(expected)) > 3
    for cells in (1, 60, 1 << 20):
        own, ranks = person_ranks(probes, people, gallery, shown, itself, similarity, cells)
        assert ranks.tolist() == expected and own == pytest.approx(expected_own, abs=1e-9)


def test_ranks_by_hand():
    gallery, shown = at(0, 80, 40, 200), np.array([7, 7, 8, 9])
    probes, people = at(70, 45, 190, 20, 60, 300), np.array([7, 7, 9, 7, 8, 8])
    # 20 and 60 degrees are as near to a photograph of person 7 as to one of person 8: a tie counts against the own person.
    # From 300 degrees, 7 is 60 away, 8 is 100 and 9 is 100, too.
    own, ranks = person_ranks(probes, people, gallery, shown, NONE)
    assert ranks.tolist() == [1, 2, 1, 2, 2, 3]
    assert np.degrees(np.arccos(own)) == pytest.approx([10, 35, 10, 20, 20, 100], abs=1e-3)
    assert cmc(ranks, 3).tolist() == pytest.approx([2 / 6, 5 / 6, 1])


def test_a_probe_is_never_matched_with_itself():
    gallery, shown = at(0, 50, 20), np.array([0, 0, 1])
    _, ranks = person_ranks(gallery[:1], shown[:1], gallery, shown, np.array([-1]))
    assert ranks.tolist() == [1]
    own, ranks = person_ranks(gallery[:1], shown[:1], gallery, shown, np.array([0]))
    assert ranks.tolist() == [2] and np.degrees(np.arccos(own)) == pytest.approx([50], abs=1e-3)
    with pytest.raises(ValueError, match="the only photograph of its person"):
        person_ranks(gallery[2:], shown[2:], gallery, shown, np.array([2]))
    with pytest.raises(ValueError, match="nobody of the gallery"):
        person_ranks(gallery[:1], np.array([5]), gallery, shown, np.array([-1]))


@given(seed=st.integers(0, 1000), people=st.integers(1, 8))
@settings(max_examples=25, deadline=None)
def test_a_curve_never_falls_and_ends_at_one(seed, people):
    gallery, shown = draw(seed, people + 5, people)
    probes, labels = draw(seed + 1, people + 9, people)
    curve = cmc(person_ranks(probes, labels, gallery, shown, np.full(len(probes), -1))[1], people)
    assert len(curve) == people and (np.diff(curve) >= 0).all() and curve[-1] == 1 and curve[0] >= 0


def test_perfect_collapsed_and_random_embeddings():
    random = np.random.default_rng(3)
    shown = np.arange(50)
    people = random.integers(50, size=4000)
    centres = random.normal(size=(50, 64)).astype(np.float32)
    alone = np.full(len(people), -1)
    assert cmc(person_ranks(2 * centres[people], people, centres, shown, alone)[1], 50)[0] == 1
    collapsed = np.ones_like(centres)
    assert (person_ranks(collapsed[people], people, collapsed, shown, alone)[1] == 50).all()  # all is a tie
    curve = cmc(person_ranks(random.normal(size=(4000, 64)).astype(np.float32), people, centres, shown, alone)[1], 50)
    assert np.abs(curve - np.arange(1, 51) / 50).max() < 0.03


# Among distractors


@pytest.mark.parametrize("similarity", ["cosine", "euclidean"])
def test_megaface_by_naive_loops_whatever_the_blocks(similarity):
    probes, people = draw(4, 40, 7)
    distractors, _ = draw(5, 60, 7)
    most = 10
    nearest = [sorted((score(probe, other, similarity) for other in distractors), reverse=True)[:most] for probe in probes]
    hits, pairs = np.zeros(most), 0
    for i in range(len(probes)):
        for j in range(len(probes)):
            if i != j and people[i] == people[j]:
                pairs += 1
                for rank in range(most):
                    hits[rank] += score(probes[i], probes[j], similarity) >= nearest[j][rank] - 1e-9
    assert 0 < hits[0] < hits[-1] < pairs
    for cells in (1, 100, 1 << 20):
        found = largest_scores(probes, distractors, most, similarity, cells)
        assert found == pytest.approx(np.array(nearest), abs=1e-9)
        rates, count = megaface(probes, people, found, similarity, cells)
        assert count == pairs and rates.tolist() == pytest.approx((hits / pairs).tolist())


def test_megaface_by_hand():
    probes, people = at(0, 30, 90), np.array([4, 4, 5])
    distractors = at(-20, -25, 170)
    # 30 looks for 0: nearer than any distractor. 0 looks for 30: two distractors are nearer, so it is hit at rank 3.
    nearest = largest_scores(probes, distractors, 3)
    assert np.degrees(np.arccos(nearest[0])) == pytest.approx([20, 25, 170], abs=1e-3)
    rates, pairs = megaface(probes, people, nearest)
    assert pairs == 2 and rates.tolist() == [0.5, 0.5, 1]
    tied = largest_scores(probes, at(-30, -30.0), 2)  # as near to 0 as 30 is: a hit by this rule
    assert megaface(probes, people, tied)[0].tolist() == [1, 1]
    rates, pairs = megaface(probes, np.array([1, 2, 3]), nearest)
    assert pairs == 0 and np.isnan(rates).all()


# Open


def test_open_set_by_hand():
    strangers = np.linspace(0.01, 0.30, 30)  # three may be taken for somebody at an FPIR of 1e-1: matches count above 0.27
    own, ranks = np.array([0.9, 0.275, 0.27, 0.9]), np.array([1, 1, 1, 2])
    rates = open_set(own, ranks, strangers)
    assert rates["1e-1"] == {"tpir": 0.5, "above": pytest.approx(0.27)}
    assert rates["1e-2"] is None  # thirty strangers cannot tell
    assert open_set(own, ranks, np.repeat(strangers, 10))["1e-2"] == {"tpir": 0.25, "above": pytest.approx(0.30)}


@given(seed=st.integers(0, 1000), size=st.integers(10, 300))
@settings(max_examples=25, deadline=None)
def test_an_open_rate_keeps_its_target_and_no_lower_threshold_would(seed, size):
    random = np.random.default_rng(seed)
    strangers = np.round(random.random(size), 2)
    rates = open_set(random.random(20), np.ones(20, dtype=int), strangers)
    for target, rate in rates.items():
        assert (rate is None) == (size * float(target) < 1)
        if rate:
            assert (strangers > rate["above"]).mean() <= float(target)
            lower = strangers[strangers < rate["above"]].max(initial=-1)
            assert (strangers > lower).mean() > float(target)


# Templates


def test_templates_by_naive_loops():
    random = np.random.default_rng(6)
    names = [f"{number}.jpg" for number in range(12)]
    vectors = random.normal(size=(12, 5)).astype(np.float32)
    rows = [(name, template, str(random.integers(3)), random.uniform(0.1, 1)) for template in ("b", "a") for name in names]
    random.shuffle(rows)
    templates = pd.DataFrame(rows, columns=["photograph", "template", "medium", "quality"])
    fused, order = fuse(vectors, names, templates)
    assert order == list(dict.fromkeys(row[1] for row in rows))
    for template, found in zip(order, fused, strict=True):
        total = np.zeros(5)
        for medium in {row[2] for row in rows}:
            members = [row for row in rows if row[1:3] == (template, medium)]
            units = [row[3] * vectors[names.index(row[0])] / np.linalg.norm(vectors[names.index(row[0])]) for row in members]
            total += np.mean(units, axis=0)
        assert found == pytest.approx(total / np.linalg.norm(total), abs=1e-6)


def test_templates_by_hand():
    vectors = np.array([[5, 0], [0, 1], [0, 9], [0, 2]], dtype=np.float32)
    rows = [("a", "t", "photo", 1.0), ("b", "t", "film", 1.0), ("c", "t", "film", 0.5), ("d", "u", "photo", 0.1)]
    templates = pd.DataFrame(rows, columns=["photograph", "template", "medium", "quality"])
    fused, names = fuse(vectors, list("abcd"), templates)
    assert names == ["t", "u"]  # t: [1, 0] + ([0, 1] + [0, 0.5]) / 2; a medium of the same name elsewhere is another
    assert fused == pytest.approx(np.array([[0.8, 0.6], [0, 1]]))


def test_rates_at_the_nearest_point_and_below_the_target():
    same = np.array([True] * 4 + [False] * 16)
    scores = np.array([9.0, 7, 5, 1, 8, 6, 4, 3, 2, *[0] * 11])
    far, tar = roc(scores, same)  # TAR 0.25 at FAR 0, 0.5 at 1 / 16, 0.75 at 2 / 16
    assert [tar_at_far(far, tar, target) for target in (0.06, 0.0625, 0.12)] == [0.25, 0.5, 0.5]
    # 0.04 is nearer to a FAR of 1 / 16 than to 0; 1.5 / 16 is as near to 1 / 16 as to 2 / 16, and the later counts
    assert [tar_at_nearest_far(far, tar, target) for target in (0.03, 0.04, 0.09375)] == [0.25, 0.5, 0.75]
    figures = template_metrics(scores, same)
    assert figures["tar_at_far"] == {**{f"1e-{power}": None for power in range(6, 1, -1)}, "1e-1": 0.5}
    assert figures["tar_at_nearest_far"]["1e-1"] == 0.75 and figures["tar_at_nearest_far"]["1e-2"] == 0.25
    assert "no TAR at FAR 1e-6, 1e-5, 1e-4, 1e-3, 1e-2: with 16 pairs of different people" in unresolved(figures)
    figures = template_metrics(np.linspace(0, 1, 1_000_001), np.arange(1_000_001) == 500_000)
    assert unresolved(figures) is None and figures["tar_at_far"]["1e-6"] == 0
    alike = template_metrics(scores[:4], same[:4])
    assert alike["tar_at_far"] is None and alike["different_pairs"] == 0 and unresolved(alike) is None
