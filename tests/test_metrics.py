import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.errors import InputError
from verification.decisions import calibrate
from verification.metrics import breakdown, equal_error_rate, k_fold, natural, roc, verification_metrics


def draw(seed, count=300, share=0.5, step=None):
    """Scores of which the matching ones tend to be higher; `step` rounds them, which makes ties."""
    random = np.random.default_rng(seed)
    same = random.random(count) < share
    same[:2] = True, False
    scores = random.normal(size=count) + 1.5 * same
    return (np.round(scores / step) * step if step else scores), same


CASES = [
    draw(0),
    draw(1, step=0.25),
    draw(2, share=0.01),
    draw(3, share=0.99, step=0.5),
    draw(4, count=2),
    draw(5, count=3000, step=0.01),
]


def rates(scores, same):
    """The oracle's ROC: false and true accepts counted anew at every threshold, the strictest first."""
    points = [(0.0, 0.0)]
    for limit in sorted(set(scores), reverse=True):
        accepted = [answer for score, answer in zip(scores, same, strict=True) if score >= limit]
        true = sum(accepted)
        points.append(((len(accepted) - true) / np.sum(~same), true / np.sum(same)))
    return points


@pytest.mark.parametrize(("scores", "same"), CASES[:5])
def test_measures_by_naive_loops(scores, same):
    measures = verification_metrics(scores, same, 0.6)
    hits = [(score >= 0.6) == answer for score, answer in zip(scores, same, strict=True)]
    assert measures["accuracy"] == pytest.approx(np.mean(hits))
    wins = [(one > other) + 0.5 * (one == other) for one in scores[same] for other in scores[~same]]
    assert measures["auc"] == pytest.approx(np.mean(wins))
    points = rates(scores, same)
    for name, target in (("tar_at_far_1e-2", 0.01), ("tar_at_far_1e-3", 0.001)):
        assert measures[name] == pytest.approx(max(tar for far, tar in points if far <= target))
    # the EER lies between the last point with fewer false accepts than false rejects and the first with as many
    below = max((point for point in points if point[0] < 1 - point[1]))
    above = min((point for point in points if point[0] >= 1 - point[1]))
    assert below[0] <= measures["eer"] <= above[0]
    assert 1 - above[1] <= measures["eer"] + 1e-12 and measures["eer"] <= 1 - below[1] + 1e-12


def test_equal_error_rate_by_hand():
    assert equal_error_rate(np.array([0.0, 0.0, 1.0]), np.array([0.0, 1.0, 1.0])) == 0.0
    assert equal_error_rate(np.array([0.0, 1.0]), np.array([0.0, 1.0])) == 0.5
    assert equal_error_rate(np.array([0.0, 1.0, 1.0]), np.array([0.0, 0.0, 1.0])) == 1.0
    assert equal_error_rate(np.array([0.0, 0.2, 1.0]), np.array([0.0, 0.6, 1.0])) == pytest.approx(1 / 3)


def test_perfect_and_perfectly_wrong_scores():
    same = np.array([True] * 5 + [False] * 5)
    right = verification_metrics(same.astype(float), same, 0.5)
    assert right == {"accuracy": 1, "auc": 1, "eer": 0, "tar_at_far_1e-2": 1, "tar_at_far_1e-3": 1}
    wrong = verification_metrics((~same).astype(float), same, 0.5)
    assert wrong == {"accuracy": 0, "auc": 0, "eer": 1, "tar_at_far_1e-2": 0, "tar_at_far_1e-3": 0}


def test_tar_at_far_allows_exactly_the_target():
    same = np.array([True, True] + [False] * 1000)
    scores = np.concatenate([[0.5, -1.0], np.zeros(1000)])
    scores[2] = 0.9  # one false accept in a thousand lies above the better match
    measures = verification_metrics(scores, same, 0.0)
    assert measures["tar_at_far_1e-3"] == 0.5
    scores[3] = 0.8
    measures = verification_metrics(scores, same, 0.0)
    assert measures["tar_at_far_1e-3"] == 0.0 and measures["tar_at_far_1e-2"] == 0.5


MIXED = st.lists(st.tuples(st.integers(-50, 50), st.booleans()), min_size=2).filter(lambda rows: len({b for _, b in rows}) == 2)


@settings(max_examples=30, deadline=None)
@given(MIXED)
def test_a_monotone_change_of_the_scores_changes_neither_auc_nor_eer_nor_tar(rows):
    scores, same = np.array([score for score, _ in rows], dtype=float), np.array([answer for _, answer in rows])
    plain, changed = (verification_metrics(values, same, 0.0) for values in (scores, np.arctan(scores) * 3 - 7))
    for name in plain.keys() - {"accuracy"}:
        assert changed[name] == pytest.approx(plain[name], abs=1e-12)
        assert 0 <= plain[name] <= 1


def test_one_kind_of_pairs_has_an_accuracy_and_nothing_else():
    measures = verification_metrics(np.array([0.1, 0.9]), np.array([True, True]), 0.5)
    assert measures == {"accuracy": 0.5, "auc": None, "eer": None, "tar_at_far_1e-2": None, "tar_at_far_1e-3": None}
    with pytest.raises(InputError, match="no pairs"):
        verification_metrics(np.array([]), np.array([], dtype=bool), 0.5)
    with pytest.raises(InputError, match="not finite"):
        verification_metrics(np.array([np.nan]), np.array([True]), 0.5)


def test_the_roc_runs_from_corner_to_corner():
    far, tar = roc(*CASES[1])
    assert (far[0], tar[0], far[-1], tar[-1]) == (0, 0, 1, 1)
    assert np.all(np.diff(far) >= 0) and np.all(np.diff(tar) >= 0)
    assert np.column_stack([far, tar]) == pytest.approx(np.array(rates(*CASES[1])))


@pytest.mark.parametrize(("scores", "same", "folds"), [(*CASES[0], 10), (*CASES[1], 7), (*CASES[3], 2), (*CASES[5], 10)])
def test_k_fold_by_a_naive_loop(scores, same, folds):
    result = k_fold(scores, same, folds)
    blocks = [[], []]
    for kind in (0, 1):
        members = [number for number in range(len(same)) if same[number] == kind]
        sizes = [len(members) // folds + (number < len(members) % folds) for number in range(folds)]
        ends = np.cumsum([0, *sizes])
        blocks[kind] = [members[start:end] for start, end in zip(ends[:-1], ends[1:], strict=True)]
    accuracies = []
    for fold in range(folds):
        test = blocks[0][fold] + blocks[1][fold]
        train = [number for number in range(len(same)) if number not in set(test)]
        limit = calibrate(scores[train], same[train])
        assert result["fold_thresholds"][fold] == limit
        accuracies.append(sum((scores[number] >= limit) == same[number] for number in test) / len(test))
    assert result["fold_accuracies"] == pytest.approx(accuracies)
    mean = sum(accuracies) / folds
    assert result["accuracy"] == pytest.approx(mean)
    deviation = (sum((value - mean) ** 2 for value in accuracies) / (folds - 1)) ** 0.5
    assert result["standard_error"] == pytest.approx(deviation / folds**0.5)


def test_k_fold_keeps_the_published_folds_however_the_two_kinds_are_listed():
    """LFW lists each fold's matches and then its mismatches; CPLFW lists all the matches first."""
    scores, same = draw(6, count=600)
    same = np.sort(same)[::-1]
    same[:300], same[300:] = True, False
    interleaved = np.arange(600).reshape(2, 10, 30).swapaxes(0, 1).ravel()
    assert k_fold(scores[interleaved], same[interleaved], 10) == k_fold(scores, same, 10)
    for fold in range(10):  # a fold that is all wrong is found in its own place
        spoilt = np.where(same, 1.0, 0.0)
        members = interleaved[60 * fold : 60 * fold + 60]
        spoilt[members] = 1 - spoilt[members]
        accuracies = k_fold(spoilt[interleaved], same[interleaved], 10)["fold_accuracies"]
        assert accuracies == [0.0 if number == fold else 1.0 for number in range(10)]


@pytest.mark.parametrize(
    ("count", "folds", "word"),
    [(4, 5, "given are 4 same and 6 different"), (5, 1, "at least 2"), (5, 0, "at least 2"), (0, 2, "0 same")],
)
def test_k_fold_refuses_too_few_pairs_or_folds(count, folds, word):
    with pytest.raises(InputError, match=word):
        k_fold(np.arange(10.0), np.arange(10) < count, folds)


def test_breakdown_by_a_naive_loop():
    scores, same = draw(7, count=400, step=0.5)
    random = np.random.default_rng(8)
    angles = np.array(["C1", "C2", "C10", None, "C3"], dtype=object)
    first, second = angles[random.integers(0, 5, 400)], angles[random.integers(0, 5, 400)]
    rows = breakdown(scores, same, 0.5, list(first), list(second))
    order = ["C1", "C2", "C3", "C10"]
    assert [(row["first"], row["second"]) for row in rows] == [(a, b) for i, a in enumerate(order) for b in order[i:]]
    for row in rows:
        members = [i for i in range(400) if {first[i], second[i]} == {row["first"], row["second"]}]
        assert row["pairs"] == len(members)
        assert row["accuracy"] == pytest.approx(np.mean([(scores[i] >= 0.5) == same[i] for i in members]))
        assert row["auc"] == pytest.approx(verification_metrics(scores[members], same[members], 0.5)["auc"])


def test_breakdown_leaves_out_missing_values_and_marks_what_it_cannot_know():
    rows = breakdown(np.array([1.0, 2.0, 3.0]), np.ones(3, dtype=bool), 1.5, ["b", "a", None], ["a", "b", float("nan")])
    assert rows == [{"first": "a", "second": "b", "pairs": 2, "accuracy": 0.5, "auc": None}]
    assert breakdown(np.array([1.0]), np.array([True]), 1.5, [None], ["a"]) == []
    assert breakdown(np.array([]), np.array([], dtype=bool), 1.5, [], []) == []


def test_natural_order():
    ordered = ["7", "C1", "C02", "C2", "C10", "C13", "left", "right"]
    assert sorted(sorted(ordered), key=natural) == sorted(ordered[::-1], key=natural) == ordered
