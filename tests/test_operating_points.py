"""Thresholds by false accept rate against counting, their intervals against another library, and files that say anything."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import beta, binomtest

from common.config import make_config
from common.errors import InputError
from common.rules import RATES, far_rate
from verification.decisions import check_rule, decide, threshold
from verification.operating_points import check_shown, clopper_pearson, operating_point, operating_points


def false_accepts(scores, same, limit):
    """The oracle: a loop over the pairs."""
    return sum(1 for score, answer in zip(scores, same, strict=True) if not answer and score >= limit)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 300), st.integers(0, 20), st.sampled_from([3, 40, 10**6]))
def test_no_lower_threshold_keeps_the_rate(seed, different, matching, levels):
    random = np.random.default_rng(seed)
    scores = random.integers(0, levels, different + matching) / levels - 0.5  # few levels: many ties
    same = random.permutation(np.arange(different + matching) < matching)
    points = operating_points(scores, same)
    assert list(points) == [rate for rate in RATES if different * float(rate) >= 1 - 1e-9]
    for rate, point in points.items():
        most = float(rate) * different + 1e-9
        assert false_accepts(scores, same, point["threshold"]) == point["accepted"] <= most
        assert false_accepts(scores, same, np.nextafter(point["threshold"], -np.inf)) > most


def test_rates_are_counted_without_rounding():
    """0.1 * 30 and the like are not always whole in floating point; a hundred scores at 1e-2 allow exactly one."""
    for count in (*range(1, 120), 999, 1000, 1999, 2000, 4999, 5000):
        points = operating_points(np.arange(count, dtype=float), np.zeros(count, dtype=bool))
        for rate in ("1e-1", "1e-2", "1e-3"):
            allowed = count // round(1 / float(rate))
            assert points.get(rate, {"accepted": 0})["accepted"] == allowed


@pytest.mark.parametrize(("hits", "trials"), [(0, 1), (0, 1000), (1, 1000), (37, 350), (9, 10), (10, 10)])
def test_the_interval_is_that_of_clopper_and_pearson(hits, trials):
    expected = binomtest(hits, trials).proportion_ci(0.95, method="exact")
    assert clopper_pearson(hits, trials) == pytest.approx((expected.low, expected.high), rel=1e-9, abs=1e-15)


def test_the_chosen_thresholds_real_rate_lies_below_the_upper_end_as_often_as_said():
    """The threshold is chosen on the very pairs; scores are uniform, so its real rate is what lies above it."""
    random = np.random.default_rng(5)
    upper = clopper_pearson(2, 200)[1]
    real = np.array([1 - operating_points(random.random(200), np.zeros(200, bool))["1e-2"]["threshold"] for _ in range(1000)])
    assert np.mean(real <= upper) == pytest.approx(0.975, abs=0.02)
    assert real.mean() == pytest.approx(beta(3, 198).mean(), rel=0.05)


def about(**far):
    points = operating_points(np.random.default_rng(0).normal(size=1000), np.zeros(1000, bool))
    return {"validation": {"far": {"different": 1000, "plain": points, "flip": points, **far}}}


def test_a_weight_file_gives_threshold_counts_and_interval():
    point = operating_point(about(), False, "1e-2")
    assert point.accepted == 10 and point.different == 1000
    said = point.summary()
    assert said["far"] == 0.01 and said["interval"][0] < 0.01 < said["interval"][1] and said["rate"] == "1e-2"
    assert "(10 of 1,000 pairs of different people; 95% interval 0.4806% to 1.8313%)" in str(point)
    scores = np.array([point.threshold, np.nextafter(point.threshold, -1)])
    assert decide(scores, threshold(scores, "far:1e-2", point.threshold)).tolist() == [True, False]


def test_too_few_pairs_are_told_with_what_they_can_show():
    with pytest.raises(InputError, match="at least 10,000 validation pairs of different people, and .* 1,000; .* far:1e-3$"):
        operating_point(about(), False, "1e-4")
    with pytest.raises(InputError, match="takes at least 10 .* has 9$"):
        check_shown("1e-1", 9, "it has")
    check_shown("1e-1", 10, "it has")
    check_shown("2e-3", 500, "it has")


@pytest.mark.parametrize(
    "description",
    [
        {"validation": {"far": 3}},
        {"validation": {"far": []}},
        about(different="x"),
        about(different=True),
        about(plain=None),
        about(plain={"1e-2": 0.5}),
        about(plain={}),
        about(plain={"1e-2": {"threshold": float("nan"), "accepted": 1}}),
        about(plain={"1e-2": {"threshold": 1, "accepted": 1}}),
        about(plain={"1e-2": {"threshold": 0.5, "accepted": 1001}}),
        about(plain={"1e-2": {"threshold": 0.5}}),
    ],
)
def test_a_damaged_description_is_told(description):
    with pytest.raises(InputError, match="corrupt: its thresholds by false accept rate"):
        operating_point(description, False, "1e-2")


def test_a_file_without_such_thresholds_is_told():
    for description in ({}, {"validation": {"thresholds": {"plain": 0.5}}}):
        with pytest.raises(InputError, match="this one has none for a false accept rate.*use --calibrate"):
            operating_point(description, False, "1e-2")


def test_rates_may_be_written_in_any_way():
    assert [far_rate(f"far:{text}") for text in ("1e-3", "0.001", ".001", "1E-03", "10e-4")] == ["1e-3"] * 5
    assert RATES[:5] == ("1e-1", "5e-2", "2e-2", "1e-2", "5e-3") and RATES[-1] == "1e-6"
    assert far_rate("calibrated") is None and far_rate(0.001) is None


@pytest.mark.parametrize(
    "rule",
    ["far:", "far:x", "far:3e-3", "far:0", "far:-1e-3", "far:nan", "far:inf", "far:1", "far:1e-999999999", "FAR:1e-3"]
    + ["1e-3 far", "mean", "", True, None, [0.5], {"far": 1e-3}],
)
def test_rules_that_are_none(rule):
    with pytest.raises(InputError, match="should be 'calibrated', 'median', .*5e-2"):
        check_rule(rule)
    with pytest.raises(InputError, match="setting 'evaluate.rule' is .*5e-2"):
        make_config({"evaluate": {"rule": rule}})


def test_rules_that_are_some():
    for rule in ("calibrated", "median", "far:1e-3", 0.5, -1.0):
        assert make_config({"evaluate": {"rule": rule}}).evaluate.rule == rule
    assert type(make_config({"evaluate": {"rule": 2}}).evaluate.rule) is float
