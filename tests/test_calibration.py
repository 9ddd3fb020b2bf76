"""Calibration, temperature scaling and dark knowledge, against explicit formulas, scipy, scikit-learn and known results."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy import special, stats
from scipy.spatial import distance
from sklearn.calibration import calibration_curve
from sklearn.decomposition import PCA

from distill_core import analysis
from distill_core.data import cifar10h, datasets


def calibrated_sample(n, *, classes=4, seed=0, size=2.0):
    """Logits `(n, C)` of a calibrated network with labels `(n,)`: each label is drawn from its soft target."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(n, classes)) * size
    p = special.softmax(logits, axis=1)
    labels = (p.cumsum(axis=1) < rng.uniform(size=(n, 1))).sum(axis=1)
    return torch.from_numpy(logits), torch.from_numpy(labels)


# --- reliability ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("bins", (1, 5, 15))
def test_the_gaps_of_the_reliability_table_weighted_by_count_are_the_calibration_error(bins):
    logits, labels = calibrated_sample(500)
    table = analysis.reliability(3 * logits, labels, bins=bins)
    full = table["count"] > 0
    gaps = np.abs(table["accuracy"] - table["confidence"])[full]
    weighted = (table["count"][full] * gaps).sum() / 500
    assert weighted == pytest.approx(analysis.expected_calibration_error(3 * logits, labels, bins=bins), abs=1e-12)
    assert table["count"].sum() == 500


def test_the_reliability_table_is_scikit_learns_calibration_curve():
    logits, labels = calibrated_sample(800)
    confidence, prediction = torch.softmax(logits, dim=1).max(dim=1)
    accuracy, mean_confidence = calibration_curve((prediction == labels).numpy(), confidence.numpy(), n_bins=10)
    table = analysis.reliability(logits, labels, bins=10)
    full = table["count"] > 0
    np.testing.assert_allclose(table["accuracy"][full], accuracy, atol=1e-12)
    np.testing.assert_allclose(table["confidence"][full], mean_confidence, atol=1e-12)


def test_a_bin_has_wilsons_interval_and_an_empty_bin_has_none():
    logits = torch.tensor([[math.log(3.0), 0.0]] * 4, dtype=torch.float64)  # confidence 75 %
    table = analysis.reliability(logits, torch.tensor([0, 0, 0, 1]), bins=4)
    assert table["count"].tolist() == [0, 0, 4, 0]
    expected = stats.binomtest(3, 4).proportion_ci(method="wilson")
    assert (table["accuracy_low"][2], table["accuracy_high"][2]) == pytest.approx((expected.low, expected.high))
    assert np.isnan(table["accuracy"][[0, 1, 3]]).all() and np.isnan(table["accuracy_low"][0])


def test_selective_accuracy_is_the_accuracy_of_the_most_confident():
    logits, labels = calibrated_sample(200)
    confidence, prediction = torch.softmax(logits, dim=1).max(dim=1)
    order = np.argsort(-confidence.numpy())
    right = (prediction == labels).numpy()[order]
    curve = analysis.selective_accuracy(logits, labels, points=20)
    np.testing.assert_allclose(curve["accuracy"], [right[:k].mean() for k in range(10, 201, 10)], atol=1e-12)
    assert curve["accuracy"][-1] == pytest.approx(analysis.accuracy(logits, labels)) and curve["share"][-1] == 1


def test_selective_accuracy_of_equal_confidences_does_not_depend_on_their_order():
    logits = torch.tensor([[2.0, 0.0]] * 4)
    curve = analysis.selective_accuracy(logits, torch.tensor([1, 1, 0, 0]), points=4)  # the wrong predictions come first
    np.testing.assert_allclose(curve["accuracy"], 0.5)


# --- temperature scaling --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("factor", (0.3, 2.0, 5.0))
def test_scaling_the_logits_scales_the_fitted_temperature(factor):
    logits, labels = calibrated_sample(1000)
    assert analysis.fit_temperature(factor * logits, labels) == pytest.approx(factor * analysis.fit_temperature(logits, labels), rel=1e-6)


def test_a_calibrated_network_has_temperature_one():
    logits, labels = calibrated_sample(60_000)
    assert analysis.fit_temperature(logits, labels) == pytest.approx(1, abs=0.02)


def test_no_other_temperature_has_a_smaller_loss():
    logits, labels = calibrated_sample(400, seed=3)
    best = analysis.fit_temperature(4 * logits, labels)
    loss = [torch.nn.functional.cross_entropy(4 * logits / t, labels).item() for t in (best, 0.98 * best, 1.02 * best)]
    assert loss[0] < min(loss[1:])


def test_the_fitted_temperature_is_smallest_if_all_predictions_are_right_and_largest_if_all_are_wrong(refused):
    logits, labels = torch.eye(3).double(), torch.arange(3)
    assert analysis.fit_temperature(logits, labels) == analysis.MIN_SCALE
    assert analysis.fit_temperature(-logits, labels) == analysis.MAX_SCALE
    with refused("finite"):
        analysis.fit_temperature(torch.tensor([[0.0, -math.inf]]), torch.tensor([0]))


def test_temperature_scaling_improves_an_overconfident_network_on_held_out_images():
    logits, labels = calibrated_sample(4000)
    found = analysis.calibrate(5 * logits, labels)
    assert found["temperature"] == pytest.approx(5, rel=0.1) and found["fitted"] + found["reported"] == 4000
    for measure in ("ece", "nll"):
        assert found[measure]["after"][0] < found[measure]["before"][0] and found[measure]["difference"][2] < 0
        value = found[measure]["after"][0] - found[measure]["before"][0]
        assert found[measure]["difference"][0] == pytest.approx(value, abs=1e-12)
    assert found == analysis.calibrate(5 * logits, labels), "the split is seeded"


# --- intervals ------------------------------------------------------------------------------------------------------


def test_the_bootstrap_interval_of_a_mean_is_scipys_basic_interval():
    values = np.random.default_rng(1).exponential(size=300)
    found = analysis.bootstrap_interval(np.mean, values, resamples=4000)
    expected = stats.bootstrap((values,), np.mean, method="basic", n_resamples=4000, rng=2).confidence_interval
    assert found[0] == values.mean() and found[1:] == pytest.approx((expected.low, expected.high), abs=0.015)


def test_the_bootstrap_resamples_rows_jointly_and_is_seeded(refused):
    values = np.random.default_rng(0).normal(size=50)
    assert analysis.bootstrap_interval(lambda a, b: (a - b).mean(), values, values) == (0, 0, 0)
    assert analysis.bootstrap_interval(np.mean, values, seed=3) == analysis.bootstrap_interval(np.mean, values, seed=3)
    assert analysis.bootstrap_interval(np.mean, values, seed=3) != analysis.bootstrap_interval(np.mean, values, seed=4)
    with refused("example"):
        analysis.bootstrap_interval(np.mean, np.empty(0))


def test_the_interval_of_a_calibrated_networks_calibration_error_reaches_nearly_zero():
    logits, labels = calibrated_sample(3000)
    value, low, high = analysis.calibration_interval(logits, labels)
    assert value == pytest.approx(analysis.expected_calibration_error(logits, labels), abs=1e-12) and low < 0.005 and low <= high


# --- disagreement ---------------------------------------------------------------------------------------------------


def test_the_divergence_of_two_networks_is_scipys_jensen_shannon_distance_squared():
    a, b = (torch.from_numpy(np.random.default_rng(seed).normal(size=(20, 5)) * 3) for seed in (0, 1))
    p, q = (special.softmax(z.numpy() / 2, axis=1) for z in (a, b))
    expected = distance.jensenshannon(p, q, axis=1) ** 2
    np.testing.assert_allclose(analysis.divergence(a, b, temperature=2).numpy(), expected, atol=1e-12)


def test_three_networks_certain_of_different_classes_diverge_by_ln_three():
    sure = [torch.full((1, 3), -math.inf).index_fill(1, torch.tensor([c]), 0.0) for c in range(3)]
    assert analysis.divergence(*sure).item() == pytest.approx(math.log(3))
    assert analysis.divergence(sure[0], sure[0], sure[0]).item() == 0


# --- dark knowledge -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("temperature", (0.5, 4.0, 30.0))
def test_mean_soft_targets_equal_a_loop_over_classes_and_their_rows_sum_to_one(temperature):
    logits, labels = calibrated_sample(300)
    mean = analysis.mean_soft_targets(logits, labels, temperature=temperature, classes=4)
    p = special.softmax(logits.numpy() / temperature, axis=1)
    np.testing.assert_allclose(mean, [p[labels.numpy() == c].mean(axis=0) for c in range(4)], atol=1e-12)
    np.testing.assert_allclose(mean.sum(axis=1), 1, atol=1e-12)


def test_a_class_without_images_has_no_mean_and_a_high_temperature_gives_equal_probabilities():
    logits, labels = calibrated_sample(100)
    mean = analysis.mean_soft_targets(logits, labels.clamp(max=2), temperature=1e6, classes=4)
    assert np.isnan(mean[3]).all()
    np.testing.assert_allclose(mean[:3], 0.25, atol=1e-4)


def test_class_spread_is_the_explicit_formula_and_ignores_scale_and_shift():
    logits, labels = (t.numpy() for t in calibrated_sample(150))
    z = logits - logits.mean(axis=1, keepdims=True)
    mu = np.stack([z[labels == c].mean(axis=0) for c in range(4)])
    within = np.mean([((z[i] - mu[labels[i]]) ** 2).sum() for i in range(150)])
    between = np.mean([((mu[a] - mu[b]) ** 2).sum() for a in range(4) for b in range(a)])
    assert analysis.class_spread(logits, labels) == pytest.approx(math.sqrt(within / between), rel=1e-10)
    moved = 3 * logits + np.arange(150)[:, None]
    assert analysis.class_spread(moved, labels) == pytest.approx(analysis.class_spread(logits, labels), rel=1e-9)
    assert math.isnan(analysis.class_spread(logits, np.zeros(150, dtype=int)))
    assert analysis.class_spread(np.eye(3)[[0, 0, 1, 1]], np.array([0, 0, 1, 1])) == 0


def test_principal_components_equal_scikit_learns_up_to_sign():
    logits = calibrated_sample(120)[0].numpy()
    places, share = analysis.principal_components(logits)
    pca = PCA(2).fit(logits - logits.mean(axis=1, keepdims=True))
    np.testing.assert_allclose(np.abs(places), np.abs(pca.transform(logits - logits.mean(axis=1, keepdims=True))), atol=1e-9)
    assert share == pytest.approx(pca.explained_variance_ratio_.sum())


def test_a_neighbour_map_keeps_clusters_apart_and_is_deterministic():
    rng = np.random.default_rng(0)
    logits = np.eye(3)[np.repeat(range(3), 15)] * 20 + rng.normal(size=(45, 3))
    places = analysis.neighbour_map(logits)
    np.testing.assert_array_equal(places, analysis.neighbour_map(logits))
    nearest = distance.cdist(places, places) + np.eye(45) * 1e9
    assert (np.repeat(range(3), 15)[nearest.argmin(axis=1)] == np.repeat(range(3), 15)).all()


# --- what people said -----------------------------------------------------------------------------------------------


def small(name="cifar10"):
    images, labels = torch.zeros(6, 3, 2, 2, dtype=torch.uint8), torch.tensor([0, 1, 2, 0, 1, 2])
    return datasets.Dataset(name, name, ("a", "b", "c"), images, labels, images, labels)


def test_people_stand_beside_networks_only_for_the_original_and_only_where_the_file_is(data):
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
def test_a_file_of_people_that_is_not_what_it_should_be_is_refused(data, refused, wrong, word):
    data.mkdir()
    (data / cifar10h.FILE).write_bytes(wrong) if isinstance(wrong, bytes) else np.save(data / cifar10h.FILE, wrong)
    with refused(word, cifar10h.SOURCE):
        cifar10h.human_logits(small())
