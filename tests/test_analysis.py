"""What a run shows, against scipy, scikit-learn and formulas written out."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import special, stats
from sklearn import metrics

from distill_core import analysis


@pytest.fixture
def predictions():
    """Logits `(N, C)` with every degree of confidence, labels that they often hit, and another network's logits."""
    rng = np.random.default_rng(0)
    labels = rng.integers(5, size=400)
    logits = rng.normal(size=(400, 5)) * rng.uniform(0, 6, size=(400, 1))
    logits[np.arange(400), labels] += 1.5
    return torch.from_numpy(logits), torch.from_numpy(labels), torch.from_numpy(rng.normal(size=(400, 5)))


def test_accuracy_is_scikit_learns(predictions):
    logits, labels, _ = predictions
    assert analysis.accuracy(logits, labels) == pytest.approx(metrics.accuracy_score(labels, logits.argmax(1)), abs=1e-15)


def test_agreement_counts_examples_on_which_both_name_the_same_class_right_or_wrong(predictions):
    student, labels, teacher = predictions
    expected = np.mean([int(np.argmax(s)) == int(np.argmax(t)) for s, t in zip(student.numpy(), teacher.numpy(), strict=True)])
    assert analysis.agreement(student, teacher) == pytest.approx(expected, abs=1e-15) == analysis.agreement(teacher, student)
    assert analysis.agreement(student, student) == 1 and analysis.accuracy(student, labels) < 1


@given(st.integers(1, 20_000), st.floats(0, 1), st.sampled_from([0.5, 0.8, 0.95, 0.99]))
def test_accuracy_interval_is_scipys_wilson_interval(total, share, level):
    correct = round(share * total)
    low, high = analysis.accuracy_interval(correct, total, level=level)
    expected = stats.binomtest(correct, total).proportion_ci(confidence_level=level, method="wilson")
    assert (low, high) == pytest.approx((expected.low, expected.high), rel=1e-9, abs=1e-12)
    assert 0 <= low <= correct / total <= high <= 1


@pytest.mark.parametrize(("correct", "total", "level"), [(0, 0, 0.95), (-1, 5, 0.95), (6, 5, 0.95), (1, 5, 0), (1, 5, 1), (1, 5, math.nan)])
def test_an_interval_of_nothing_is_refused(refused, correct, total, level):
    with refused("give"):
        analysis.accuracy_interval(correct, total, level=level)


def by_hand(logits, labels, bins):
    """Guo et al. 2017, equation 3, bin by bin."""
    p = special.softmax(logits.numpy(), axis=1)
    confidence, right = p.max(axis=1), p.argmax(axis=1) == labels.numpy()
    error = 0.0
    for b in range(bins):
        inside = (confidence > b / bins) & (confidence <= (b + 1) / bins)
        if inside.any():
            error += inside.sum() / len(labels) * abs(right[inside].mean() - confidence[inside].mean())
    return error


@pytest.mark.parametrize("bins", (1, 2, 10, 15, 100))
def test_calibration_error_is_the_formula_bin_by_bin(predictions, bins):
    logits, labels, _ = predictions
    assert analysis.expected_calibration_error(logits, labels, bins=bins) == pytest.approx(by_hand(logits, labels, bins), abs=1e-12)


def test_a_confidence_on_an_edge_belongs_to_the_lower_bin():
    """At 0.5 and 0.9, with two bins `(0, 0.5]` and `(0.5, 1]`: errors 0.5 and 0.1 do not cancel each other."""
    logits = torch.tensor([[0.0, 0.0], [0.0, 0.0], [math.log(9.0), 0.0], [math.log(9.0), 0.0]], dtype=torch.float64)
    labels = torch.tensor([1, 1, 0, 0])  # the first two are wrong, at a confidence of one half
    assert analysis.expected_calibration_error(logits, labels, bins=2) == pytest.approx((2 * 0.5 + 2 * 0.1) / 4, abs=1e-12)
    assert analysis.expected_calibration_error(logits, labels, bins=1) == pytest.approx(abs(0.5 - 0.7), abs=1e-12)


def test_a_network_that_is_as_often_right_as_it_says_has_no_calibration_error():
    logits = torch.tensor([[math.log(3.0), 0.0]] * 4, dtype=torch.float64)  # 75 % sure
    assert analysis.expected_calibration_error(logits, torch.tensor([0, 0, 0, 1])) == pytest.approx(0, abs=1e-12)


def test_a_sure_and_wrong_network_has_the_largest_calibration_error():
    logits = torch.tensor([[1000.0, -1000.0]] * 3)
    assert analysis.expected_calibration_error(logits, torch.ones(3, dtype=torch.int64)) == 1


def test_calibration_of_no_example_is_refused(refused):
    with refused("example"):
        analysis.expected_calibration_error(torch.empty(0, 3), torch.empty(0, dtype=torch.int64))


def test_mean_interval_is_students_t_interval():
    values = [0.91, 0.93, 0.90, 0.95, 0.92]
    mean, low, high = analysis.mean_interval(values)
    expected = stats.t.interval(0.95, len(values) - 1, loc=np.mean(values), scale=stats.sem(values))
    assert (mean, low, high) == pytest.approx((np.mean(values), *expected), rel=1e-12)


def test_one_value_alone_has_no_interval():
    mean, low, high = analysis.mean_interval([0.9])
    assert mean == 0.9 and math.isnan(low) and math.isnan(high)


def test_paired_difference_is_the_interval_of_the_paired_t_test():
    students, baselines = [0.91, 0.93, 0.90, 0.95], [0.90, 0.91, 0.90, 0.92]
    found = analysis.paired_difference(students, baselines)
    expected = stats.ttest_rel(students, baselines).confidence_interval(0.95)
    assert found == pytest.approx((0.015, expected.low, expected.high), rel=1e-9)


def test_confusion_is_scikit_learns(predictions):
    logits, labels, _ = predictions
    ours = analysis.confusion(logits.argmax(1).tolist(), labels.tolist(), classes=6)  # the last class never occurs
    np.testing.assert_array_equal(ours, metrics.confusion_matrix(labels, logits.argmax(1), labels=range(6)))


def test_scores_agree_with_each_other(predictions):
    logits, labels, teacher = predictions
    found = analysis.scores(logits, labels, teacher, classes=5, parameters=7)
    assert list(found) == [
        *("test_accuracy", "low", "high", "test_errors", "test_images", "errors_by_class", "agreement", "ece", "parameters")
    ]
    wrong = analysis.confusion(logits.argmax(1).tolist(), labels.tolist(), classes=5)
    np.fill_diagonal(wrong, 0)
    assert found["errors_by_class"] == wrong.sum(axis=1).tolist() and sum(found["errors_by_class"]) == found["test_errors"]
    assert found["test_accuracy"] == 1 - found["test_errors"] / 400 and found["low"] < found["test_accuracy"] < found["high"]
