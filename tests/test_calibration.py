"""Calibration against formulas written out, scikit-learn and known answers; and the human labels of CIFAR-10H."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy import special, stats
from sklearn.calibration import calibration_curve

from distill_core import analysis, calibration
from distill_core.data import cifar10h, datasets


def calibrated(n, *, classes=4, seed=0, size=2.0):
    """Logits `(n, C)` and labels `(n,)` of a calibrated network: each label is drawn from its own soft target."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(n, classes)) * size
    p = special.softmax(logits, axis=1)
    labels = (p.cumsum(axis=1) < rng.uniform(size=(n, 1))).sum(axis=1)
    return torch.from_numpy(logits), torch.from_numpy(labels)


# --- reliability ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("bins", (1, 5, 15))
def test_the_gaps_of_the_reliability_table_weighted_by_count_are_the_calibration_error(bins):
    logits, labels = calibrated(500)
    table = calibration.reliability(3 * logits, labels, bins=bins)
    full = table["count"] > 0
    gaps = np.abs(table["accuracy"] - table["confidence"])[full]
    weighted = (table["count"][full] * gaps).sum() / 500
    assert weighted == pytest.approx(calibration.expected_calibration_error(3 * logits, labels, bins=bins), abs=1e-12)
    assert table["count"].sum() == 500


def test_the_reliability_table_is_scikit_learns_calibration_curve():
    logits, labels = calibrated(800)
    confidence, predictions = torch.softmax(logits, dim=1).max(dim=1)
    accuracy, mean_confidence = calibration_curve((predictions == labels).numpy(), confidence.numpy(), n_bins=10)
    table = calibration.reliability(logits, labels, bins=10)
    full = table["count"] > 0
    np.testing.assert_allclose(table["accuracy"][full], accuracy, atol=1e-12)
    np.testing.assert_allclose(table["confidence"][full], mean_confidence, atol=1e-12)


def test_a_bin_has_wilsons_interval_and_an_empty_bin_has_nan():
    logits = torch.tensor([[math.log(3.0), 0.0]] * 4, dtype=torch.float64)  # a confidence of 75 %
    table = calibration.reliability(logits, torch.tensor([0, 0, 0, 1]), bins=4)
    assert table["count"].tolist() == [0, 0, 4, 0]
    expected = stats.binomtest(3, 4).proportion_ci(method="wilson")
    assert (table["accuracy_low"][2], table["accuracy_high"][2]) == pytest.approx((expected.low, expected.high))
    assert np.isnan(table["accuracy"][[0, 1, 3]]).all() and np.isnan(table["accuracy_low"][0])


def test_selective_accuracy_is_the_accuracy_of_the_most_confident():
    logits, labels = calibrated(200)
    confidence, predictions = torch.softmax(logits, dim=1).max(dim=1)
    order = np.argsort(-confidence.numpy())
    right = (predictions == labels).numpy()[order]
    curve = calibration.selective_accuracy(logits, labels, points=20)
    np.testing.assert_allclose(curve["accuracy"], [right[:k].mean() for k in range(10, 201, 10)], atol=1e-12)
    assert curve["accuracy"][-1] == pytest.approx(analysis.accuracy(logits, labels)) and curve["share"][-1] == 1


def test_selective_accuracy_does_not_depend_on_the_order_of_equal_confidences():
    logits = torch.tensor([[2.0, 0.0]] * 4)
    curve = calibration.selective_accuracy(logits, torch.tensor([1, 1, 0, 0]), points=4)  # the errors come first
    np.testing.assert_allclose(curve["accuracy"], 0.5)


# --- expected calibration error ------------------------------------------------------------------------------------


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
def test_calibration_error_is_the_formula_bin_by_bin(bins):
    logits, labels = calibrated(400, classes=5)
    assert calibration.expected_calibration_error(logits, labels, bins=bins) == pytest.approx(by_hand(logits, labels, bins), abs=1e-12)


def test_a_confidence_on_an_edge_belongs_to_the_lower_bin():
    """At 0.5 and 0.9, with two bins `(0, 0.5]` and `(0.5, 1]`: errors 0.5 and 0.1 do not cancel each other."""
    logits = torch.tensor([[0.0, 0.0], [0.0, 0.0], [math.log(9.0), 0.0], [math.log(9.0), 0.0]], dtype=torch.float64)
    labels = torch.tensor([1, 1, 0, 0])  # the first two are errors, at a confidence of one half
    assert calibration.expected_calibration_error(logits, labels, bins=2) == pytest.approx((2 * 0.5 + 2 * 0.1) / 4, abs=1e-12)
    assert calibration.expected_calibration_error(logits, labels, bins=1) == pytest.approx(abs(0.5 - 0.7), abs=1e-12)


def test_calibration_error_is_zero_when_accuracy_equals_confidence():
    logits = torch.tensor([[math.log(3.0), 0.0]] * 4, dtype=torch.float64)  # a confidence of 75 %
    assert calibration.expected_calibration_error(logits, torch.tensor([0, 0, 0, 1])) == pytest.approx(0, abs=1e-12)


def test_calibration_error_is_one_for_full_confidence_and_no_correct_prediction():
    logits = torch.tensor([[1000.0, -1000.0]] * 3)
    assert calibration.expected_calibration_error(logits, torch.ones(3, dtype=torch.int64)) == 1


def test_calibration_of_no_example_is_refused(refused):
    with refused("example"):
        calibration.expected_calibration_error(torch.empty(0, 3), torch.empty(0, dtype=torch.int64))


def test_the_interval_of_a_calibrated_networks_error_reaches_zero():
    logits, labels = calibrated(3000)
    value, low, high = calibration.calibration_interval(logits, labels)
    assert value == pytest.approx(calibration.expected_calibration_error(logits, labels), abs=1e-12) and low < 0.005 and low <= high


# --- temperature scaling --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("factor", (0.3, 2.0, 5.0))
def test_logits_times_a_factor_have_that_factor_times_the_temperature(factor):
    logits, labels = calibrated(1000)
    assert calibration.fit_temperature(factor * logits, labels) == pytest.approx(
        factor * calibration.fit_temperature(logits, labels), rel=1e-6
    )


def test_a_calibrated_network_has_temperature_one():
    logits, labels = calibrated(60_000)
    assert calibration.fit_temperature(logits, labels) == pytest.approx(1, abs=0.02)


def test_no_other_temperature_has_a_lower_loss():
    logits, labels = calibrated(400, seed=3)
    best = calibration.fit_temperature(4 * logits, labels)
    loss = [torch.nn.functional.cross_entropy(4 * logits / t, labels).item() for t in (best, 0.98 * best, 1.02 * best)]
    assert loss[0] < min(loss[1:])


def test_the_temperature_without_errors_is_the_lowest_and_with_errors_alone_the_highest(refused):
    logits, labels = torch.eye(3).double(), torch.arange(3)
    assert calibration.fit_temperature(logits, labels) == calibration.MIN_TEMPERATURE
    assert calibration.fit_temperature(-logits, labels) == calibration.MAX_TEMPERATURE
    with refused("finite"):
        calibration.fit_temperature(torch.tensor([[0.0, -math.inf]]), torch.tensor([0]))


def test_calibrate_lowers_the_error_of_an_overconfident_network_on_held_out_images():
    logits, labels = calibrated(4000)
    result = calibration.calibrate(5 * logits, labels)
    assert result["temperature"] == pytest.approx(5, rel=0.1) and result["fitted"] + result["reported"] == 4000
    for measure in ("ece", "nll"):
        assert result[measure]["after"][0] < result[measure]["before"][0] and result[measure]["difference"][2] < 0
        value = result[measure]["after"][0] - result[measure]["before"][0]
        assert result[measure]["difference"][0] == pytest.approx(value, abs=1e-12)
    assert result == calibration.calibrate(5 * logits, labels)  # seeded


# --- CIFAR-10H ------------------------------------------------------------------------------------------------------


def small(name="cifar10"):
    images, labels = torch.zeros(6, 3, 2, 2, dtype=torch.uint8), torch.tensor([0, 1, 2, 0, 1, 2])
    return datasets.Dataset(name, name, ("a", "b", "c"), images, labels, images, labels)


def test_human_labels_exist_only_for_the_original_cifar10_and_only_where_the_file_is(data):
    assert cifar10h.human_logits(small()) is None
    data.mkdir()
    shares = np.full((6, 3), 0.1) + 0.7 * np.eye(3)[[0, 1, 2, 0, 1, 2]]
    shares[0] = [0.9, 0.1, 0]
    np.save(data / cifar10h.FILE, shares)
    np.testing.assert_allclose(torch.softmax(cifar10h.human_logits(small()), dim=1), shares, atol=1e-12)
    assert cifar10h.human_logits(small("cifar10-jpeg")) is None


@pytest.mark.parametrize(
    ("wrong", "word"),
    [
        (np.eye(3)[[0, 1]], "instead of"),
        (np.ones((6, 3)), "sum to 1"),
        (np.full((6, 3), np.nan), "sum to 1"),
        (np.eye(3)[[1, 2, 0, 1, 2, 0]], "order"),
        (b"no array", "cannot be read"),
    ],
)
def test_an_invalid_file_of_human_labels_is_refused(data, refused, wrong, word):
    data.mkdir()
    (data / cifar10h.FILE).write_bytes(wrong) if isinstance(wrong, bytes) else np.save(data / cifar10h.FILE, wrong)
    with refused(word, cifar10h.SOURCE):
        cifar10h.human_logits(small())
