"""Intervals and paired differences, against scipy."""

from __future__ import annotations

import math
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from distill_core import statistics


@given(st.integers(1, 20_000), st.floats(0, 1), st.sampled_from([0.5, 0.8, 0.95, 0.99]))
def test_accuracy_interval_is_scipys_wilson_interval(total, share, level):
    correct = round(share * total)
    low, high = statistics.accuracy_interval(correct, total, level=level)
    expected = stats.binomtest(correct, total).proportion_ci(confidence_level=level, method="wilson")
    assert (low, high) == pytest.approx((expected.low, expected.high), rel=1e-9, abs=1e-12)
    assert 0 <= low <= correct / total <= high <= 1


@pytest.mark.parametrize(("correct", "total", "level"), [(0, 0, 0.95), (-1, 5, 0.95), (6, 5, 0.95), (1, 5, 0), (1, 5, 1), (1, 5, math.nan)])
def test_an_impossible_fraction_or_level_is_refused(refused, correct, total, level):
    with refused("give"):
        statistics.accuracy_interval(correct, total, level=level)


def test_mean_interval_is_students_t_interval():
    values = [0.91, 0.93, 0.90, 0.95, 0.92]
    mean, low, high = statistics.mean_interval(values)
    expected = stats.t.interval(0.95, len(values) - 1, loc=np.mean(values), scale=stats.sem(values))
    assert (mean, low, high) == pytest.approx((np.mean(values), *expected), rel=1e-12)


def test_a_single_value_has_no_interval():
    mean, low, high = statistics.mean_interval([0.9], within=(0, 1))
    assert mean == 0.9 and math.isnan(low) and math.isnan(high)


def test_the_interval_of_a_mean_stays_within_what_is_possible():
    assert statistics.mean_interval([90.0, 100.0]) == pytest.approx((95, 95 - 5 * 12.706, 95 + 5 * 12.706), rel=1e-4)
    assert statistics.mean_interval([90.0, 100.0], within=(50, 100)) == (95, 50, 100)


# --- the paired difference of a race --------------------------------------------------------------------------------


def accuracies(wrong, images):
    """Test accuracies in percent of networks with so many errors."""
    return 100 * (1 - np.asarray(wrong) / images)


def test_paired_difference_is_the_interval_of_the_paired_t_test():
    students, baselines = [91.0, 93.0, 90.0, 95.0], [90.0, 91.0, 90.0, 92.0]
    interval = statistics.paired_difference(students, baselines, test_images=1000)
    expected = stats.ttest_rel(students, baselines).confidence_interval(0.95)
    assert interval == pytest.approx((1.5, expected.low, expected.high), rel=1e-9)


def test_the_paired_difference_of_a_table_is_that_of_each_row():
    students, baselines = accuracies(np.random.default_rng(0).integers(20, 40, size=(2, 5, 4)), 1000)
    table = np.array(statistics.paired_difference(students, baselines, test_images=1000))
    for row in range(5):
        assert table[:, row] == pytest.approx(statistics.paired_difference(students[row], baselines[row], test_images=1000))


@pytest.mark.parametrize("images", [150, 359, 10_000])
@pytest.mark.parametrize("seeds", [2, 3, 5, 10])
@pytest.mark.parametrize("sign", [1, -1])
def test_seeds_that_all_gain_one_image_show_nothing_yet(seeds, images, sign):
    errors = np.full(seeds, images // 20)
    mean, low, high = statistics.paired_difference(accuracies(errors - sign, images), accuracies(errors, images), test_images=images)
    assert mean == pytest.approx(sign * 100 / images)
    assert low <= 0 <= high and high - low >= 2 * 100 / images - 1e-9


@given(st.sampled_from([10, 359]), st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=1, max_size=4))
def test_an_interval_contains_its_mean_and_only_what_the_baseline_allows(images, pairs):
    students, baselines = accuracies(np.round(images * np.array(pairs)), images).T
    mean, low, high = statistics.paired_difference(students, baselines, test_images=images)
    assert low - 1e-8 <= mean <= high + 1e-8 and low < high
    assert low >= -100 and high <= 100
    assert low >= -baselines.mean() - 1e-8 and high <= 100 - baselines.mean() + 1e-8


def test_the_discordant_margin_is_that_of_half_an_image_added_to_each_count():
    student_only, baseline_only, images = 12, 4, 359
    counts = np.array([student_only, baseline_only, 100, images - 100 - student_only - baseline_only]) + 0.5
    shares, total = counts / counts.sum(), counts.sum()
    variance = (shares[0] + shares[1] - (shares[0] - shares[1]) ** 2) / total  # of the mean of +1, -1 and 0 over the images
    margin = statistics.discordant_margin(16, total=images, difference=8 / images, level=0.9)
    assert margin == pytest.approx(stats.norm.ppf(0.95) * math.sqrt(variance), rel=1e-12)


def test_the_interval_of_one_seed_excludes_zero_where_mcnemars_mid_p_test_does():
    images = 10_000
    student_only, baseline_only = (counts[1:] for counts in np.tril_indices(80, -1))
    discordant = student_only + baseline_only
    p = 2 * stats.binom.sf(student_only - 1, discordant, 0.5) - stats.binom.pmf(student_only, discordant, 0.5)  # mid-p
    for case in (5, 500, 3000):  # the exact p of scipy's test, less half of what is observed in either tail
        exact = stats.binomtest(int(student_only[case]), int(discordant[case])).pvalue
        assert p[case] == pytest.approx(exact - stats.binom.pmf(student_only[case], discordant[case], 0.5))
    students, baselines = accuracies([100 - student_only + baseline_only, np.full(len(p), 100)], images)[..., None]
    _, low, _ = statistics.paired_difference(students, baselines, test_images=images, discordant=discordant)
    clear = abs(p - 0.05) > 0.0011
    np.testing.assert_array_equal((low > 0)[clear], (p < 0.05)[clear])
    assert (~clear).sum() < 0.01 * len(p)


def test_one_seed_whose_discordant_images_are_unknown_has_the_wider_interval_of_two_proportions():
    _, low, high = statistics.paired_difference([90.0], [80.0], test_images=1000)
    assert (high - low) / 2 == pytest.approx(stats.norm.ppf(0.975) * 100 * math.sqrt((0.9 * 0.1 + 0.8 * 0.2) / 1000), rel=1e-6)
    _, paired_low, paired_high = statistics.paired_difference([90.0], [80.0], test_images=1000, discordant=120)
    assert low < paired_low < paired_high < high
    _, low, high = statistics.paired_difference([100.0], [100.0], test_images=1000)
    assert low < 0 == high  # no error at all, and yet not a width of zero


RACES = 10_000


def drawn_races(seeds, images, discordant, effect):
    """Accuracies `(RACES, seeds)` of students and baselines, which differ in `discordant` test images on either side.

    The student gains `effect` images on average beyond these: as many in each seed, up to one image.
    """
    draw = np.random.default_rng([seeds, images, int(10 * discordant)])
    shape = (RACES, seeds)
    gained = np.floor(effect) + (draw.random(shape) < effect % 1)
    both_wrong = draw.poisson(0.02 * images, size=(RACES, 1)) + 2 * math.ceil(effect)
    baselines = both_wrong + draw.poisson(discordant, shape)
    students = both_wrong + draw.poisson(discordant, shape) - gained
    return accuracies(students, images), accuracies(baselines, images)


@pytest.mark.parametrize(("images", "discordant"), [(359, 0.3), (359, 1), (359, 3), (359, 10), (10_000, 1), (10_000, 30), (10_000, 100)])
@pytest.mark.parametrize("seeds", [2, 3, 5, 10])
def test_drawn_races_without_an_effect_are_rarely_called_one_and_an_effect_of_two_standard_errors_is_covered(seeds, images, discordant):
    _, low, high = statistics.paired_difference(*drawn_races(seeds, images, discordant, 0), test_images=images)
    assert ((low > 0) | (high < 0)).mean() <= 0.06
    effect = 2 * math.sqrt(2 * discordant / seeds)  # images: a Poisson number has its mean as its variance
    _, low, high = statistics.paired_difference(*drawn_races(seeds, images, discordant, effect), test_images=images)
    assert ((low <= 100 * effect / images) & (100 * effect / images <= high)).mean() >= 0.94


def test_students_interval_alone_is_wrong_twice_as_often_with_two_seeds():
    """What the floor is for: where two seeds gain the same few images, Student's interval has the width zero."""
    students, baselines = drawn_races(2, 359, 1, 0)
    differences = students - baselines
    excludes_zero = abs(differences.mean(axis=1)) > statistics.t_margin(differences) + 1e-9
    assert excludes_zero.mean() > 0.1


@pytest.mark.parametrize(("value", "digits", "text"), [(0.04, 1, "0.0"), (-0.04, 1, "0.0"), (0.04, 2, "+0.04"), (-1.23, 1, "\u22121.2")])
def test_a_difference_that_rounds_to_zero_has_no_sign(value, digits, text):
    assert statistics.format_points(value, digits) == text


def test_the_bootstrap_interval_of_a_mean_is_scipys_basic_interval():
    values = np.random.default_rng(1).exponential(size=300)
    interval = statistics.bootstrap_interval(np.mean, values, resamples=4000)
    expected = stats.bootstrap((values,), np.mean, method="basic", n_resamples=4000, rng=2).confidence_interval
    assert interval[0] == values.mean() and interval[1:] == pytest.approx((expected.low, expected.high), abs=0.015)


def test_the_bootstrap_resamples_rows_together_and_is_seeded(refused):
    values = np.random.default_rng(0).normal(size=50)
    assert statistics.bootstrap_interval(lambda a, b: (a - b).mean(), values, values) == (0, 0, 0)
    assert statistics.bootstrap_interval(np.mean, values, seed=3) == statistics.bootstrap_interval(np.mean, values, seed=3)
    assert statistics.bootstrap_interval(np.mean, values, seed=3) != statistics.bootstrap_interval(np.mean, values, seed=4)
    with refused("example"):
        statistics.bootstrap_interval(np.mean, np.empty(0))


def test_the_margin_of_two_proportions_is_the_normal_one():
    expected = stats.norm.ppf(0.995) * math.sqrt((0.9 * 0.1 + 0.8 * 0.2) / 500)
    assert statistics.two_proportions_margin(0.9, 0.8, 500, level=0.99) == pytest.approx(expected, rel=1e-12)


def test_the_t_margin_of_a_table_is_that_of_each_row():
    table = np.random.default_rng(0).normal(size=(4, 6))
    for row, margin in zip(table, statistics.t_margin(table, level=0.9), strict=True):
        low, high = stats.t.interval(0.9, 5, loc=row.mean(), scale=stats.sem(row))
        assert margin == pytest.approx((high - low) / 2, rel=1e-12)


def test_statistics_need_neither_torch_nor_scipy_stats():
    code = "import sys, distill_core.statistics; print([m for m in ('torch', 'scipy.stats') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"


# --- many settings, many tests --------------------------------------------------------------------------------------


def test_the_paired_p_value_is_scipys():
    draw = np.random.default_rng(0)
    first, second = draw.normal(0.3, 1, 10), draw.normal(0, 1, 10)
    assert statistics.paired_p_value(first, second) == pytest.approx(stats.ttest_rel(first, second).pvalue, rel=1e-9)


def test_equal_differences_do_not_prove_an_effect():
    assert statistics.paired_p_value([1.0, 2.0], [0.5, 1.5]) == 0  # without a resolution there is no variation at all
    assert statistics.paired_p_value([1.0, 2.0], [0.5, 1.5], resolution=0.5) == pytest.approx(2 * stats.t.sf(math.sqrt(2), 1))
    assert statistics.paired_p_value([1.0, 2.0], [1.0, 2.0]) == 1


def test_holms_correction_of_a_hand_worked_example():
    """Sorted 0.005, 0.01, 0.03, 0.04 times 4, 3, 2, 1: 0.02, 0.03, 0.06, and 0.04, which is raised to 0.06."""
    assert statistics.holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert statistics.holm([0.5, 0.6]).tolist() == [1.0, 1.0] and statistics.holm([]).size == 0
    assert statistics.holm([0.02]).tolist() == [0.02]


def test_holms_correction_finds_an_effect_where_there_is_none_in_at_most_a_twentieth_of_the_comparisons():
    p_values = np.random.default_rng(0).uniform(size=(4000, 20))
    wrong = np.mean([(statistics.holm(row) < 0.05).any() for row in p_values])
    assert 0.04 < wrong < 0.06


def draws(means, *, sets, seeds, spread=1.0):
    """Accuracies `(sets, M, seeds)` of settings with these means; a part of the variation is shared by the settings of a seed."""
    draw = np.random.default_rng(0)
    return np.array(means)[:, None] + spread * (draw.normal(size=(sets, len(means), seeds)) + draw.normal(size=(sets, 1, seeds)))


@pytest.mark.parametrize("seeds", [2, 5, 10])
@pytest.mark.parametrize("means", [(0, 0, 0, 0), (0.2, 0, -1, -3), (0.5, 0.4, 0.3, 0)])
def test_the_best_setting_is_among_those_that_may_be_the_best_in_at_least_95_of_100_sweeps(means, seeds):
    kept = [statistics.may_be_best(values)[0] for values in draws(means, sets=2000, seeds=seeds)]
    assert np.mean(kept) > 0.94


def test_a_setting_that_is_clearly_worse_is_left_out_and_the_highest_mean_never():
    values = draws((0, -20, 0), sets=200, seeds=5)
    sets = np.array([statistics.may_be_best(one) for one in values])
    assert not sets[:, 1].any() and sets[:, [0, 2]].mean() > 0.9
    assert all(found[one.mean(axis=1).argmax()] for found, one in zip(sets, values, strict=True))


def test_less_than_an_image_never_leaves_a_setting_out():
    values = np.array([[90.0, 91.0], [89.9, 90.9]])
    assert statistics.may_be_best(values).tolist() == [True, False]  # equal differences, no variation
    assert statistics.may_be_best(values, resolution=0.1001).all()
    assert statistics.may_be_best(values[:1]).tolist() == [True]


def test_a_share_is_written_with_two_decimals_and_a_space_before_the_sign():
    assert statistics.format_percent(0.94817) == "94.82 %" and statistics.format_percent(1) == "100.00 %"
    assert statistics.format_interval(0.9, 0.95) == "90.00 % to 95.00 %"


@pytest.mark.parametrize(
    ("p", "text"), [(0.9996, "> 99.9 %"), (0.5, "50.0 %"), (0.001, "0.1 %"), (0.00012, "0.01 %"), (1e-6, "0.0001 %"), (0, "< 0.0001 %")]
)
def test_a_probability_is_never_written_as_none_or_all(p, text):
    assert statistics.format_probability(p) == text
