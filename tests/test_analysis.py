"""Measures of trained networks, against scipy, scikit-learn and formulas written out."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy import special
from scipy.spatial import distance
from sklearn import metrics
from sklearn.decomposition import PCA

from distill_core import analysis, calibration, statistics


def labelled_logits(n, *, classes=4, seed=0):
    """Logits `(n, C)` and labels `(n,)`, each label drawn from its own soft target."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(n, classes)) * 2
    p = special.softmax(logits, axis=1)
    labels = (p.cumsum(axis=1) < rng.uniform(size=(n, 1))).sum(axis=1)
    return torch.from_numpy(logits), torch.from_numpy(labels)


@pytest.fixture
def predictions():
    """Logits `(N, C)` of every confidence, labels `(N,)` that they often predict, and another network's logits."""
    rng = np.random.default_rng(0)
    labels = rng.integers(5, size=400)
    logits = rng.normal(size=(400, 5)) * rng.uniform(0, 6, size=(400, 1))
    logits[np.arange(400), labels] += 1.5
    return torch.from_numpy(logits), torch.from_numpy(labels), torch.from_numpy(rng.normal(size=(400, 5)))


def test_accuracy_is_scikit_learns(predictions):
    logits, labels, _ = predictions
    assert analysis.accuracy(logits, labels) == pytest.approx(metrics.accuracy_score(labels, logits.argmax(1)), abs=1e-15)


def test_agreement_counts_equal_predictions_correct_or_not(predictions):
    student, labels, teacher = predictions
    expected = np.mean([int(np.argmax(s)) == int(np.argmax(t)) for s, t in zip(student.numpy(), teacher.numpy(), strict=True)])
    assert analysis.agreement(student, teacher) == pytest.approx(expected, abs=1e-15) == analysis.agreement(teacher, student)
    assert analysis.agreement(student, student) == 1 and analysis.accuracy(student, labels) < 1


def test_confusion_is_scikit_learns(predictions):
    logits, labels, _ = predictions
    ours = analysis.confusion(logits.argmax(1).tolist(), labels.tolist(), classes=6)  # the last class never occurs
    np.testing.assert_array_equal(ours, metrics.confusion_matrix(labels, logits.argmax(1), labels=range(6)))


def test_scores_agree_with_each_other(predictions):
    logits, labels, teacher = predictions
    scores = analysis.scores(logits, labels, teacher, classes=5, parameters=7)
    assert list(scores) == [
        *("test_accuracy", "low", "high", "test_errors", "test_images", "errors_by_class", "agreement", "ece"),
        *("nll", "teacher_kl", "parameters"),
    ]
    wrong = analysis.confusion(logits.argmax(1).tolist(), labels.tolist(), classes=5)
    np.fill_diagonal(wrong, 0)
    assert scores["errors_by_class"] == wrong.sum(axis=1).tolist() and sum(scores["errors_by_class"]) == scores["test_errors"]
    assert scores["test_accuracy"] == 1 - scores["test_errors"] / 400 and scores["low"] < scores["test_accuracy"] < scores["high"]


def test_nll_and_the_kl_to_the_teacher_are_scipys_and_none_for_a_network_that_diverged(predictions):
    logits, labels, teacher = predictions
    scores = analysis.scores(logits, labels, teacher, classes=5, parameters=7)
    p, q = (special.softmax(z.numpy(), axis=1) for z in (teacher, logits))
    assert scores["teacher_kl"] == pytest.approx(special.rel_entr(p, q).sum(axis=1).mean())
    assert scores["nll"] == pytest.approx(metrics.log_loss(labels, q))
    diverged = analysis.scores(torch.full_like(logits, math.nan), labels, teacher, classes=5, parameters=7)
    assert diverged["teacher_kl"] is None and diverged["nll"] is None


# --- disagreement ---------------------------------------------------------------------------------------------------


def test_the_divergence_of_two_is_scipys_jensen_shannon_distance_squared():
    a, b = (torch.from_numpy(np.random.default_rng(seed).normal(size=(20, 5)) * 3) for seed in (0, 1))
    p, q = (special.softmax(z.numpy() / 2, axis=1) for z in (a, b))
    expected = distance.jensenshannon(p, q, axis=1) ** 2
    np.testing.assert_allclose(analysis.divergence(a, b, temperature=2).numpy(), expected, atol=1e-12)


def test_three_networks_certain_of_different_classes_diverge_by_ln_three():
    certain = [torch.full((1, 3), -math.inf).index_fill(1, torch.tensor([c]), 0.0) for c in range(3)]
    assert analysis.divergence(*certain).item() == pytest.approx(math.log(3))
    assert analysis.divergence(certain[0], certain[0], certain[0]).item() == 0


# --- dark knowledge -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("temperature", (0.5, 4.0, 30.0))
def test_mean_soft_targets_are_a_loop_over_classes_and_their_rows_sum_to_one(temperature):
    logits, labels = labelled_logits(300)
    mean = analysis.mean_soft_targets(logits, labels, temperature=temperature, classes=4)
    p = special.softmax(logits.numpy() / temperature, axis=1)
    np.testing.assert_allclose(mean, [p[labels.numpy() == c].mean(axis=0) for c in range(4)], atol=1e-12)
    np.testing.assert_allclose(mean.sum(axis=1), 1, atol=1e-12)


def test_a_class_without_images_has_no_mean_and_a_high_temperature_gives_a_uniform_one():
    logits, labels = labelled_logits(100)
    mean = analysis.mean_soft_targets(logits, labels.clamp(max=2), temperature=1e6, classes=4)
    assert np.isnan(mean[3]).all()
    np.testing.assert_allclose(mean[:3], 0.25, atol=1e-4)


def test_class_spread_is_the_formula_pair_by_pair_and_ignores_scale_and_shift():
    logits, labels = (t.numpy() for t in labelled_logits(150))
    z = logits - logits.mean(axis=1, keepdims=True)
    mu = np.stack([z[labels == c].mean(axis=0) for c in range(4)])
    within = np.mean([((z[i] - mu[labels[i]]) ** 2).sum() for i in range(150)])
    between = np.mean([((mu[a] - mu[b]) ** 2).sum() for a in range(4) for b in range(a)])
    assert analysis.class_spread(logits, labels) == pytest.approx(math.sqrt(within / between), rel=1e-10)
    moved = 3 * logits + np.arange(150)[:, None]
    assert analysis.class_spread(moved, labels) == pytest.approx(analysis.class_spread(logits, labels), rel=1e-9)
    assert math.isnan(analysis.class_spread(logits, np.zeros(150, dtype=int)))
    assert analysis.class_spread(np.eye(3)[[0, 0, 1, 1]], np.array([0, 0, 1, 1])) == 0


def test_principal_components_are_scikit_learns_up_to_sign():
    logits = labelled_logits(120)[0].numpy()
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


def test_notebooks_find_intervals_and_calibration_error_in_analysis():
    assert analysis.accuracy_interval is statistics.accuracy_interval
    assert analysis.expected_calibration_error is calibration.expected_calibration_error


# --- the conclusion of a race ---------------------------------------------------------------------------------------


def race(student, baseline, *, images=1000, only=None, **more):
    """The result of one seed, as far as a verdict reads it. `only`: correct only by the student, only by the baseline."""
    result = {"student": {"test_accuracy": student, "test_images": images}, "baseline": {"test_accuracy": baseline}, **more}
    for role, count in zip(("student", "baseline"), only or (), strict=False):
        result[role]["discordant"] = count
    return result


def races(gain, *, spread=0.01, images=1000, **more):
    """Three seeds of a baseline at 80 %, whose gains have this mean and spread."""
    return [race(0.8 + gain + n * spread, 0.8, images=images, **more) for n in (-1, 0, 1)]


def test_a_verdict_over_seeds_is_the_paired_difference_in_points():
    students, baselines = [0.91, 0.93, 0.90, 0.95], [0.90, 0.91, 0.90, 0.92]
    verdict = analysis.verdict([race(*pair) for pair in zip(students, baselines, strict=True)])
    expected = statistics.paired_difference(100 * np.array(students), 100 * np.array(baselines), test_images=1000)
    assert (verdict.difference, verdict.low, verdict.high) == pytest.approx(tuple(map(float, expected)), rel=1e-9)
    assert "Over 4 seeds, 1,000 test images" in verdict.sentence and "+1.5 points" in verdict.sentence


@pytest.mark.parametrize(("gain", "sign", "words"), [(0.05, 1, "helped"), (-0.05, -1, "hurt"), (0.0, 0, "cannot tell")])
def test_the_conclusion_follows_the_sign_of_the_whole_interval(gain, sign, words):
    verdict = analysis.verdict(races(gain))
    assert verdict.sign == sign and words in verdict.sentence and "-" not in verdict.sentence


def test_two_seeds_that_each_gain_one_image_do_not_show_that_the_teacher_helped():
    verdict = analysis.verdict([race(342 / 359, 341 / 359, images=359)] * 2)
    assert verdict.sign == 0 and verdict.low < 0 < verdict.high and "helped" not in verdict.sentence


def test_a_wide_interval_is_told_as_what_it_allows_and_not_as_no_difference():
    verdict = analysis.verdict([race(0.5 + 0.01 * n, 0.5, images=500) for n in (-3, 4)])
    assert "cannot tell: the difference is between \u221244.0 and +45.0 points" in verdict.sentence
    assert "no difference" not in verdict.sentence


def test_no_difference_is_said_of_an_interval_inside_the_margin_of_equivalence_only():
    narrow, wide = (analysis.verdict(races(0.0, spread=spread, images=100_000)) for spread in (0.0005, 0.005))
    margin = analysis.EQUIVALENCE_MARGIN
    assert -margin < narrow.low < 0 < narrow.high < margin < wide.high
    assert f"no difference larger than {margin} points" in narrow.sentence and "cannot tell" not in narrow.sentence
    assert "no difference" not in wide.sentence and "cannot tell" in wide.sentence


def test_a_small_and_clear_difference_is_told_with_its_bound_and_two_decimals():
    sentence = analysis.verdict(races(0.002, spread=0.0001, images=100_000)).sentence
    assert "The teacher helped, by no more than 0.5 points: the difference is +0.20 points (95 % interval +0.18 to +0.22)" in sentence


@pytest.mark.parametrize("gain", [0.05, -0.05, 0.0, 0.3])
@pytest.mark.parametrize("only", [None, (400, 100)])
def test_one_seed_is_no_claim_about_the_method(gain, only):
    only = only and (100 + round(1000 * max(gain, 0)), 100 + round(1000 * max(-gain, 0)))
    sentence = analysis.verdict([race(0.6 + gain, 0.6, only=only)]).sentence
    assert "With one seed" in sentence and "train more seeds" in sentence and "not the variation between seeds" in sentence
    assert not [word for word in ("helped", "hurt", "teacher") if word in sentence]


def test_one_seed_is_paired_on_the_same_test_images():
    verdict = analysis.verdict([race(0.82, 0.80, only=(25, 5))])
    expected = statistics.paired_difference([82.0], [80.0], test_images=1000, discordant=30)
    assert (verdict.difference, verdict.low, verdict.high) == pytest.approx(tuple(map(float, expected)), rel=1e-9)
    assert "25 images are classified correctly only by the student, 5 only by the baseline" in verdict.sentence
    assert verdict.sign == 1 and analysis.verdict([race(0.82, 0.80)]).sign == 0  # unpaired, the same difference is unclear


def test_a_result_without_the_counts_of_discordant_images_still_has_a_verdict():
    verdict = analysis.verdict([race(0.9, 0.8)])
    margin = 1.959963984540054 * 100 * math.sqrt((0.9 * 0.1 + 0.8 * 0.2) / 1000)
    assert (verdict.low, verdict.difference, verdict.high) == pytest.approx((10 - margin, 10, 10 + margin), rel=1e-6)


@pytest.mark.parametrize(
    ("method", "above", "below"),
    [
        ("soft-targets", "The teacher helped", "the teacher hurt"),
        ("hints", "The teacher helped", "the teacher hurt"),
        ("mutual-3", "Mutual learning helped", "mutual learning hurt"),
        ("label-smoothing", "The student is above its baseline", "The student is below its baseline"),
        ("shuffled-targets", "The student is above its baseline", "The student is below its baseline"),
        ("alpha-swapped", "The student is above its baseline", "The student is below its baseline"),
    ],
)
def test_the_words_fit_the_method(method, above, below):
    for gain, words in ((0.05, above), (-0.05, below)):
        told = analysis.verdict(races(gain), method=method).sentence
        assert words in told and ("teacher" in told) == ("teacher" in words)
        assert analysis.verdict(races(gain, experiment={"method": method})).sentence == told  # as `train --json` prints it
    # In the store a result has the number of its experiment.
    assert analysis.verdict(races(0.05, experiment=1), method=method).sentence == analysis.verdict(races(0.05), method=method).sentence
