import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.errors import InputError
from verification.decisions import calibrate, decide, finite, threshold

COARSE = st.integers(-4, 4).map(lambda number: number / 4)  # many ties
FINE = st.floats(-1e6, 1e6)


def pairs_of(score):
    """Scores with answers of both kinds."""
    mixed = st.lists(st.tuples(score, st.booleans()), min_size=2, max_size=40)
    return mixed.filter(lambda rows: len({same for _, same in rows}) == 2).map(
        lambda rows: (np.array([score for score, _ in rows]), np.array([same for _, same in rows]))
    )


def best_accuracy(scores, same):
    """The oracle: tries a threshold on every score and one above all of them."""
    best = 0.0
    for limit in [*scores, max(scores) + 1]:
        hits = sum((score >= limit) == answer for score, answer in zip(scores, same, strict=True))
        best = max(best, hits / len(scores))
    return best


@settings(max_examples=120, deadline=None)
@given(pairs_of(COARSE) | pairs_of(FINE))
def test_no_threshold_is_more_accurate_than_the_calibrated_one(pairs):
    scores, same = pairs
    limit = calibrate(scores, same)
    assert np.isfinite(limit)
    assert (decide(scores, limit) == same).mean() == pytest.approx(best_accuracy(scores, same), abs=1e-12)


@settings(max_examples=50, deadline=None)
@given(pairs_of(COARSE), st.randoms(use_true_random=False))
def test_the_order_of_the_pairs_does_not_matter(pairs, random):
    scores, same = pairs
    order = list(range(len(scores)))
    random.shuffle(order)
    assert calibrate(scores[order], same[order]) == calibrate(scores, same)


@pytest.mark.parametrize(
    ("scores", "same", "expected"),
    [
        ([0.0, 1.0], [0, 1], 0.5),  # the middle of the one good gap
        ([0.0, 1.0, 2.0, 4.0], [0, 1, 0, 1], 3.0),  # three of four right in two gaps: the wider one
        ([0.0, 1.0, 2.0, 3.0], [0, 1, 0, 1], 0.5),  # as wide as one another: the lower one
        ([0.5, 0.5, 0.5], [1, 1, 0], 0.5),  # all tied, mostly same: all same
        ([0.5, 0.5, 0.5], [1, 0, 0], np.nextafter(0.5, 1)),  # all tied, mostly different: all different
        ([0.0, 1.0, 2.0], [1, 0, 0], np.nextafter(2.0, 3)),  # the wrong way round, mostly different
        ([0.1, np.nextafter(0.1, 1)], [0, 1], np.nextafter(0.1, 1)),  # no number lies between these two
    ],
)
def test_calibrated_threshold_of_small_cases(scores, same, expected):
    assert calibrate(np.array(scores), np.array(same, dtype=bool)) == expected


def test_one_rare_match_among_many_is_found():
    scores = np.append(np.linspace(0, 0.5, 10_000), 0.9)
    same = np.arange(10_001) == 10_000
    assert calibrate(scores, same) == pytest.approx(0.7)


def test_float32_scores_are_decided_without_rounding_the_threshold():
    low = np.float32(0.1)
    high = np.nextafter(low, np.float32(1))
    scores, same = np.array([low, high]), np.array([False, True])
    assert decide(scores, calibrate(scores, same)).tolist() == [False, True]


@pytest.mark.parametrize(
    ("same", "word"),
    [([True] * 3, "3 of the same person and 0"), ([False] * 3, "0 of the same person and 3"), ([], "0 of the same person and 0")],
)
def test_calibration_needs_both_kinds_of_pairs(same, word):
    with pytest.raises(InputError, match=word):
        calibrate(np.zeros(len(same)), np.array(same, dtype=bool))


def test_rules():
    scores = np.array([0.1, 0.2, 0.4, 0.9])
    assert threshold(scores, "calibrated", 0.37) == 0.37
    assert threshold(scores, "median", None) == pytest.approx(0.3)
    assert threshold(scores, "median", 0.37) == pytest.approx(0.3)
    assert threshold(scores, 0.25, 0.37) == 0.25
    assert threshold(scores, 0, None) == 0.0


def test_the_median_calls_half_of_the_pairs_the_same_person():
    scores = np.random.default_rng(0).normal(size=1000)
    assert decide(scores, threshold(scores, "median", None)).sum() == 500


def test_faulty_rules_are_named():
    scores = np.array([0.1, 0.2])
    with pytest.raises(InputError, match="median"):
        threshold(scores, "calibrated", None)
    for rule in ("mean", float("nan"), float("inf")):
        with pytest.raises(InputError, match="should be"):
            threshold(scores, rule, 0.5)
    with pytest.raises(InputError, match="at least one pair"):
        threshold(np.array([]), "median", None)


def test_a_score_on_the_threshold_is_the_same_person():
    """The original calls a pair different only if its distance lies above the threshold."""
    distances = np.array([0.5, 1.0, 1.5])
    assert decide(-distances, -1.0).tolist() == [not distance > 1.0 for distance in distances]


@pytest.mark.parametrize("fault", [np.nan, np.inf, -np.inf])
def test_scores_that_are_not_finite_are_refused(fault):
    scores, same = np.array([0.1, fault, 0.3]), np.array([True, False, True])
    for call in (lambda: finite(scores), lambda: decide(scores, 0.2), lambda: calibrate(scores, same)):
        with pytest.raises(InputError, match="1 of 3 scores are not finite .*pair 2"):
            call()
