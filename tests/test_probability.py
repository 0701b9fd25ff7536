"""Platt scaling against scikit-learn's, and whether its probabilities are what they say."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression

from common.errors import InputError
from verification.probability import Scaling, fit_scaling, probability, stored_scaling


def by_scikit_learn(scores, same):
    """Platt's targets as weights: each pair counts as the same person by its target, and as different people by the rest."""
    matching, different = same.sum(), (~same).sum()
    target = np.where(same, (matching + 1) / (matching + 2), 1 / (different + 2))
    values = (np.concatenate([scores, scores]) - scores.mean()) / scores.std()
    answers = np.repeat([1, 0], len(scores))
    fitted = LogisticRegression(C=np.inf, tol=1e-10, max_iter=10_000)
    fitted.fit(values[:, None], answers, sample_weight=np.concatenate([target, 1 - target]))
    slope = fitted.coef_[0, 0] / scores.std()
    return Scaling(slope, fitted.intercept_[0] - slope * scores.mean())


@pytest.mark.parametrize("separation", [0.0, 0.5, 3.0, 50.0])  # at 50 no score of one kind lies among those of the other
@pytest.mark.parametrize(("matching", "different"), [(200, 200), (30, 600), (3, 2)])
def test_the_scaling_is_scikit_learns(matching, different, separation):
    random = np.random.default_rng(1)
    same = np.arange(matching + different) < matching
    scores = (random.normal(size=len(same)) + separation * same) * 0.01 - 3
    ours, theirs = fit_scaling(scores, same), by_scikit_learn(scores, same)
    if theirs.slope <= 0:
        assert ours.slope == 0
        return
    assert probability(scores, ours) == pytest.approx(probability(scores, theirs), abs=1e-4)
    assert ours.slope == pytest.approx(theirs.slope, rel=1e-3)


def test_probabilities_are_what_they_say():
    """The scores are drawn so that the log odds are known: normal distributions that differ by their mean alone."""
    random = np.random.default_rng(2)
    same = random.random(40_000) < 0.5
    scores = random.normal(np.where(same, 0.6, 0.2), 0.2)
    scaling = fit_scaling(scores, same)
    assert scaling.slope == pytest.approx(0.4 / 0.2**2, rel=0.05)
    assert -scaling.intercept / scaling.slope == pytest.approx(0.4, abs=0.01)  # as probable as not
    fresh = random.random(40_000) < 0.5
    said = probability(random.normal(np.where(fresh, 0.6, 0.2), 0.2), scaling)
    for low in np.arange(0, 1, 0.1):
        some = (said >= low) & (said < low + 0.1)
        assert fresh[some].mean() == pytest.approx(said[some].mean(), abs=0.03)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.floats(-1e6, 1e6), st.booleans()), min_size=2, max_size=30), st.floats(-1e30, 1e30))
def test_probabilities_never_fall_and_are_never_certain(rows, other):
    scores, same = np.array([score for score, _ in rows]), np.array([answer for _, answer in rows])
    same[:2] = [True, False]
    scaling = fit_scaling(scores, same)
    said = probability(np.sort(np.append(scores, other)), scaling)
    assert (np.diff(said) >= 0).all() and (said > 0).all() and (said < 1).all()


def test_scores_that_say_nothing_give_the_share_of_matching_pairs():
    same = np.arange(100) < 30
    for scores in (np.full(100, 0.3), -same.astype(float)):  # all alike; the wrong way round
        scaling = fit_scaling(scores, same)
        assert scaling.slope == 0 and probability(scores, scaling) == pytest.approx(0.3, abs=0.02)


def test_the_order_of_the_pairs_hardly_matters():
    random = np.random.default_rng(3)
    same = random.random(300) < 0.5
    scores, order = random.normal(size=300) + same, random.permutation(300)
    assert fit_scaling(scores[order], same[order]) == pytest.approx(fit_scaling(scores, same), rel=1e-6)


def test_what_a_weight_file_says():
    numbers = {"slope": 2.0, "intercept": -1.0}
    about = {"validation": {"probability": {"plain": numbers, "flip": {"slope": 3.0, "intercept": 0.0}}}}
    assert stored_scaling(about, False) == (2.0, -1.0) and stored_scaling(about, True) == (3.0, 0.0)
    assert stored_scaling({}, False) is None and stored_scaling({"validation": {"thresholds": {}}}, True) is None
    for fault in (3, [], {}, {"plain": 2.0}, {"plain": {"slope": 2.0}}, {"plain": numbers | {"slope": float("inf")}}):
        with pytest.raises(InputError, match="corrupt: its scaling of probabilities"):
            stored_scaling({"validation": {"probability": fault}}, False)
    with pytest.raises(InputError, match="fall with the score"):
        stored_scaling({"validation": {"probability": {"plain": numbers | {"slope": -2.0}}}}, False)
