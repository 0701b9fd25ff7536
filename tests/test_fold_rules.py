"""The k-fold rules against loops over pairs and thresholds, written from the reference systems' definitions."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.errors import InputError
from verification.fold_rules import (
    best_rate_difference,
    check_fold_rule,
    in_order,
    most_accurate_distance,
    off_the_threshold,
    squared_distances,
)
from verification.metrics import k_fold


def draw(seed, count=200, step=None):
    """Cosines of which the matching ones tend to be higher; `step` rounds them, which makes ties."""
    random = np.random.default_rng(seed)
    same = random.random(count) < 0.5
    scores = np.tanh(random.normal(size=count) * 0.4 + 0.5 * same)
    return (np.round(scores / step) * step if step else scores), same


CASES = [
    (*draw(0, count=80), 10),
    (*draw(1, count=100, step=0.125), 5),
    (*draw(2, count=57), 4),
    (*draw(3, count=41, step=0.25), 2),
]


def blocks(count, folds):
    """Consecutive folds; the first count % folds are longer by one."""
    sizes = [count // folds + (number < count % folds) for number in range(folds)]
    return [list(range(sum(sizes[:number]), sum(sizes[: number + 1]))) for number in range(folds)]


def facex_by_loop(scores, same, folds):
    accuracies, thresholds = [], []
    for test in blocks(len(same), folds):
        train = [number for number in range(len(same)) if number not in test]
        matching = [scores[number] for number in train if same[number]]
        others = [scores[number] for number in train if not same[number]]
        low, high = min(scores[train]), max(scores[train])
        best = (-2.0, None)
        for step in range(1, 1001):
            limit = low + (high - low) / 1000 * step
            rate = sum(score > limit for score in matching) / len(matching) - sum(score > limit for score in others) / len(others)
            if rate > best[0]:
                best = (rate, limit)
        limit = best[1]
        right = sum(scores[number] > limit if same[number] else scores[number] < limit for number in test)
        accuracies.append(right / len(test))
        thresholds.append(limit)
    return accuracies, thresholds


def insightface_by_loop(first, second, same, folds):
    """On the embeddings themselves, as InsightFace has them: unit vectors and the squares of their differences."""
    first, second = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True) for vectors in (first, second))
    distances = [float(((one - other) ** 2).sum()) for one, other in zip(first, second, strict=True)]
    accuracies, thresholds = [], []
    for test in blocks(len(same), folds):
        best = (-1, None)
        for limit in np.arange(0, 4, 0.01):
            right = sum((distances[number] < limit) == same[number] for number in range(len(same)) if number not in test)
            if right > best[0]:
                best = (right, limit)
        thresholds.append(best[1])
        accuracies.append(sum((distances[number] < best[1]) == same[number] for number in test) / len(test))
    return accuracies, thresholds


@pytest.mark.parametrize(("scores", "same", "folds"), CASES)
def test_facex_by_a_loop(scores, same, folds):
    found = k_fold(scores, same, folds, "facex")
    accuracies, thresholds = facex_by_loop(scores, same, folds)
    assert found["fold_accuracies"] == pytest.approx(accuracies)
    assert found["fold_thresholds"] == pytest.approx(thresholds)
    assert found["rule"] == "facex" and found["accuracy"] == pytest.approx(np.mean(accuracies))
    assert found["standard_error"] == pytest.approx(np.std(accuracies, ddof=1) / np.sqrt(folds))


@pytest.mark.parametrize("answer", [False, True])
def test_facex_counts_a_pair_on_the_threshold_as_wrong(answer):
    """Of the scores 0 and 1 of the first fold come the thresholds 0.001, ..., 1, all of which but the last separate them."""
    scores, same = np.array([0.0, 1.0, 0.001, 1.0]), np.array([False, True, answer, not answer])
    assert best_rate_difference(scores[:2], same[:2]) == scores[2]
    assert off_the_threshold(scores[2:], same[2:], 0.001).tolist() == [False, not answer]


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("flip", [False, True])
def test_insightface_by_a_loop_over_embeddings(seed, flip):
    random = np.random.default_rng(seed)
    same = random.random(43) < 0.5
    first, second = random.normal(size=(2, 43, 8))
    second[same] = 0.7 * first[same] + second[same]
    if flip:  # the mirrored images' embeddings are added before the norm is taken
        first, second = (vectors + random.normal(size=vectors.shape) * 0.1 for vectors in (first, second))
    cosines = (first * second).sum(1) / np.linalg.norm(first, axis=1) / np.linalg.norm(second, axis=1)
    found = k_fold(cosines, same, 5, "insightface")
    accuracies, thresholds = insightface_by_loop(first, second, same, 5)
    assert found["fold_thresholds"] == pytest.approx(thresholds)
    assert found["fold_accuracies"] == pytest.approx(accuracies)
    assert found["standard_deviation"] == pytest.approx(np.std(accuracies))


@settings(max_examples=20, deadline=None)
@given(st.lists(st.tuples(st.integers(-100, 100), st.booleans()), min_size=1))
def test_the_insightface_threshold_is_the_first_of_the_best(rows):
    distances = squared_distances(np.array([cosine / 100 for cosine, _ in rows]))
    same = np.array([answer for _, answer in rows])
    right = [int(((distances < limit) == same).sum()) for limit in np.arange(0, 4, 0.01)]
    assert most_accurate_distance(distances, same) == np.arange(0, 4, 0.01)[right.index(max(right))]


@settings(max_examples=30, deadline=None)
@given(st.integers(2, 12), st.integers(12, 60))
def test_folds_in_order_are_those_of_scikit_learn(folds, pairs):
    from sklearn.model_selection import KFold

    found = in_order(np.zeros(pairs, dtype=bool), folds)
    for number, (_, test) in enumerate(KFold(folds).split(np.zeros(pairs))):
        assert np.flatnonzero(found == number).tolist() == test.tolist()


@pytest.mark.parametrize("rule", ["facex", "insightface"])
def test_an_absent_kind_outside_a_fold_has_a_rate_of_nothing(rule):
    """All matching pairs first and two folds: outside each fold there is one kind alone."""
    same = np.arange(8) < 4
    found = k_fold(np.where(same, 0.9, 0.1), same, 2, rule)
    assert all(np.isfinite(found["fold_thresholds"])) and 0 <= found["accuracy"] <= 1


def test_the_default_rule_says_its_name():
    scores, same = draw(4)
    found = k_fold(scores, same, 10)
    assert found == k_fold(scores, same, 10, "calibrated") and found["rule"] == "calibrated"
    assert found["standard_deviation"] == pytest.approx(np.std(found["fold_accuracies"]))


def test_insightface_takes_cosines():
    with pytest.raises(InputError, match="takes cosines, and a score is -3.5"):
        k_fold(np.array([-3.5, -1, -2, -0.5]), np.array([False, True, False, True]), 2, "insightface")
    with pytest.raises(InputError, match="similarity 'euclidean'; use 'calibrated' or 'facex'"):
        check_fold_rule("insightface", "euclidean")
    for rule, similarity in (("facex", "euclidean"), ("calibrated", "euclidean"), ("insightface", "cosine")):
        check_fold_rule(rule, similarity)
