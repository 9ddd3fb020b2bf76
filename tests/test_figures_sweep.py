"""The cells of a sweep as numbers and in words; and that the figures show these numbers."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from distill_core.analysis import verdict
from distill_core.figures import sweep
from distill_core.statistics import paired_difference


def history(students, baselines, *, epochs=(1.0, 2.0)):
    """Races in order, each with its accuracies at the epochs: `students[race][epoch]`."""
    accuracies_of = {}
    for member, accuracies in (("student", students), ("baseline", baselines)):
        for race, curve in enumerate(accuracies):
            accuracies_of[race, member] = list(zip(epochs, curve, strict=False))
    return accuracies_of


def random_sweep(rows=2, columns=3, seeds=4, *, gain=0.02, seed=0):
    draw = np.random.default_rng(seed)
    baselines = 0.9 + 0.005 * draw.standard_normal((rows * columns * seeds, 2))
    return baselines + gain + 0.002 * draw.standard_normal(baselines.shape), baselines


def test_a_cells_interval_is_that_of_the_paired_t_test():
    students, baselines = random_sweep()
    cells = sweep.cells(history(students, baselines), rows=2, columns=3, seeds=4, test_images=100_000)
    for row in range(2):
        for column in range(3):
            races = slice((row * 3 + column) * 4, (row * 3 + column + 1) * 4)
            test = stats.ttest_rel(100 * students[races, 1], 100 * baselines[races, 1])
            low, high = test.confidence_interval(0.95)
            assert cells.low[row, column] == pytest.approx(low) and cells.high[row, column] == pytest.approx(high)
            assert cells.clear[row, column] == (test.pvalue < 0.05)
            assert cells.student[row, column] == pytest.approx(100 * students[races, 1].mean())


def test_one_seed_has_the_interval_of_two_proportions():
    cells = sweep.cells(history([[0.9]], [[0.8]]), rows=1, columns=1, seeds=1, test_images=1000)
    half = 1.959964 * 100 * math.sqrt((0.9 * 0.1 + 0.8 * 0.2) / 1000)
    assert cells.difference[0, 0] == pytest.approx(10) and cells.high[0, 0] - cells.low[0, 0] == pytest.approx(2 * half, rel=1e-6)


def test_one_seed_has_the_interval_of_its_race_once_the_discordant_images_are_known():
    test = {"test_images": 1000}
    result = {"student": {"test_accuracy": 0.9, "discordant": 30, **test}, "baseline": {"test_accuracy": 0.88, "discordant": 10, **test}}
    accuracies, shape = history([[0.9], [0.9]], [[0.88], [0.88]]), {"rows": 1, "columns": 2, "seeds": 1, "test_images": 1000}
    cells, expected = sweep.cells(accuracies, discordant={0: 40}, **shape), verdict([result], method="soft-targets")
    assert (cells.low[0, 0], cells.high[0, 0]) == pytest.approx((expected.low, expected.high)) and cells.clear[0, 0]
    assert cells.low[0, 1] < cells.low[0, 0] and not cells.clear[0, 1]  # of the second race they are not known


def test_the_summary_of_one_seed_is_about_its_networks_and_says_neither_helped_nor_chance():
    students, baselines = random_sweep(5, 5, 1, gain=0.05)
    cells = sweep.cells(history(students, baselines), rows=5, columns=5, seeds=1, test_images=1000)
    values = {"x": "temperature", "xs": [1.0, 2.0, 3.0, 4.0, 8.0], "y": "alpha", "ys": [0.1, 0.2, 0.3, 0.4, 0.5]}
    text = sweep.summary(cells, **values)
    assert "not the variation between seeds" in text and "these networks and not about the settings" in text
    assert "helped" not in text and "by chance alone" not in text
    several = sweep.cells(history(*random_sweep(5, 5, 2, gain=0.05)), rows=5, columns=5, seeds=2, test_images=1000)
    assert "by chance alone" in sweep.summary(several, **values) and "these networks" not in sweep.summary(several, **values)


def test_an_interval_is_at_least_one_test_image_to_either_side():
    cells = sweep.cells(history([[0.91], [0.91]], [[0.90], [0.90]]), rows=1, columns=1, seeds=2, test_images=50)
    assert cells.difference[0, 0] - cells.low[0, 0] == cells.high[0, 0] - cells.difference[0, 0] >= 2.0
    assert not cells.clear[0, 0]


def test_a_cell_has_the_interval_of_the_race_of_its_seeds():
    students, baselines = [[0.91], [0.91], [0.92]], [[0.90], [0.90], [0.90]]
    cells = sweep.cells(history(students, baselines), rows=1, columns=1, seeds=3, test_images=100)
    expected = paired_difference(100 * np.ravel(students), 100 * np.ravel(baselines), test_images=100)
    assert (cells.difference[0, 0], cells.low[0, 0], cells.high[0, 0]) == pytest.approx(tuple(map(float, expected)))


def test_a_cell_shows_the_last_epoch_at_which_all_its_students_were_tested():
    accuracies = history([[0.5, 0.9], [0.6]], [[0.5, 0.8], [0.6, 0.7]])
    cells = sweep.cells(accuracies, rows=1, columns=1, seeds=2, test_images=100)
    assert cells.epoch[0, 0] == 1.0 and cells.student[0, 0] == pytest.approx(55)


def test_cells_without_a_test_are_empty_and_the_summary_announces_them():
    cells = sweep.cells({}, rows=2, columns=2, seeds=1, test_images=100)
    assert np.isnan(cells.difference).all()
    assert "in a moment" in sweep.summary(cells, x="temperature", xs=[1.0, 2.0], y="alpha", ys=[0.1, 0.5])
    figure = sweep.sweep_figure(cells, x="temperature", xs=[1.0, 2.0], y="alpha", ys=[0.1, 0.5]).to_dict()
    assert not any(text for text in figure["data"][2]["text"])


def test_cells_whose_interval_includes_zero_are_hatched_and_others_are_not():
    students, baselines = random_sweep(gain=0.02)
    students[:4] = baselines[:4] + np.array([[0.01], [-0.01], [0.02], [-0.02]])  # the first cell has no clear difference
    cells = sweep.cells(history(students, baselines), rows=2, columns=3, seeds=4, test_images=1000)
    assert cells.clear.sum() == 5 and not cells.clear[0, 0]
    lines = sweep.sweep_figure(cells, x="temperature", xs=[1.0, 2.0, 4.0], y="alpha", ys=[0.1, 0.5]).to_dict()["data"][1]
    points = [(x, y) for x, y in zip(lines["x"], lines["y"], strict=True) if x is not None]
    assert points and all(abs(x) < 0.5 and 0.19 < abs(y) < 0.5 for x, y in points)  # in the first cell, and not over its number


def test_the_best_cell_is_framed():
    students, baselines = random_sweep()
    students[4:8] += 0.05  # row 0, column 1
    cells = sweep.cells(history(students, baselines), rows=2, columns=3, seeds=4, test_images=1000)
    frame = sweep.sweep_figure(cells, x="temperature", xs=[1.0, 2.0, 4.0], y="alpha", ys=[0.1, 0.5]).to_dict()["data"][3]
    assert (np.mean([min(frame["x"]), max(frame["x"])]), np.mean([min(frame["y"]), max(frame["y"])])) == (1, 0)


def test_the_figure_writes_each_difference_into_its_cell():
    students, baselines = random_sweep()
    cells = sweep.cells(history(students, baselines), rows=2, columns=3, seeds=4, test_images=1000)
    figure = sweep.sweep_figure(cells, x="temperature", xs=[1.0, 2.0, 4.0], y="alpha", ys=[0.1, 0.5]).to_dict()
    heat, _, values, _ = figure["data"]
    for x, y, text in zip(values["x"], values["y"], values["text"], strict=True):
        assert float(text.replace("\u2212", "-")) == pytest.approx(cells.difference[y, x], abs=0.051)
        assert heat["z"][y][x] == pytest.approx(cells.difference[y, x]) and heat["customdata"][y][x] == y * 3 + x
    assert list(figure["layout"]["xaxis"]["ticktext"]) == ["1", "2", "4"] and list(figure["layout"]["yaxis"]["ticktext"]) == ["0.1", "0.5"]
    assert heat["zmin"] == -heat["zmax"] and heat["zmax"] >= np.abs(cells.difference).max()


def test_the_summary_names_the_best_cell_its_interval_its_neighbours_and_the_clear_cells():
    students, baselines = random_sweep(3, 3, gain=0.0)
    middle = slice(4 * 4, 5 * 4)
    students[middle] = baselines[middle] + 0.05 + np.linspace(-0.001, 0.001, 4)[:, None]
    cells = sweep.cells(history(students, baselines), rows=3, columns=3, seeds=4, test_images=1000)
    text = sweep.summary(cells, x="temperature", xs=[1.0, 4.0, 20.0], y="alpha", ys=[0.1, 0.3, 0.5])
    assert "T 4, alpha 0.3" in text and "+5.0 points" in text
    beside = np.delete(cells.difference.flatten(), 4).mean()
    assert f"mean of {beside:+.1f}".replace("-", "\u2212") in text
    assert f"in {int(cells.clear.sum())} of 9 cells" in text


def validated_sweep():
    """Two rows of three cells and four seeds: the middle cell of the first row is best by validation, the last by test images."""
    students, baselines = random_sweep(gain=0.0)
    on_validation = students.copy()
    students[8:12] += 0.03
    on_validation[4:8] += 0.05
    histories = history(students, baselines), history(on_validation, baselines)
    return sweep.cells(histories[0], validation=histories[1], rows=2, columns=3, seeds=4, test_images=1000)


def test_the_best_cell_is_chosen_on_validation_images_and_reported_on_test_images():
    cells = validated_sweep()
    axes = {"x": "temperature", "xs": [1.0, 4.0, 20.0], "y": "alpha", "ys": [0.1, 0.5]}
    assert sweep.best_cell(cells) == (0, 1) and int(np.argmax(cells.difference)) == 2
    text = sweep.summary(cells, **axes, validation=2000)
    reported = f"{cells.difference[0, 1]:+.1f} points over its baseline on the test images".replace("-", "\u2212")
    assert f"**Best cell, chosen on 2,000 validation images: T 4, alpha 0.1**: {reported}" in text
    assert "biased" not in text and "The seeds had" in text
    frame = sweep.sweep_figure(cells, **axes).to_dict()["data"][3]
    assert (np.mean([min(frame["x"]), max(frame["x"])]), np.mean([min(frame["y"]), max(frame["y"])])) == (1, 0)


def test_a_best_cell_that_was_chosen_on_test_images_is_called_biased():
    students, baselines = random_sweep()
    cells = sweep.cells(history(students, baselines), validation={}, rows=2, columns=3, seeds=4, test_images=1000)
    assert not cells.validated and sweep.best_cell(cells) == np.unravel_index(np.argmax(cells.difference), (2, 3))
    text = sweep.summary(cells, x="temperature", xs=[1.0, 4.0, 20.0], y="alpha", ys=[0.1, 0.5])
    assert "chosen on the test images" in text and "biased upwards. Hold out validation images" in text


def test_the_best_temperature_of_each_row_is_chosen_on_validation_images_with_all_that_may_be_the_best():
    axes = {"x": "temperature", "xs": [1.0, 4.0, 20.0], "y": "student", "ys": ["mlp-5x2", "mlp-30x2"]}
    text = sweep.best_by_row(validated_sweep(), **axes, validation=2000)
    assert "The best T by student accuracy on 2,000 validation images is 4 at student mlp-5x2 (4), " in text
    assert "confidence set over 4 seeds" in text
    axes |= {"y": "alpha", "ys": [0.1]}
    cells = sweep.cells(history([[0.9], [0.8], [0.7]], [[0.5]] * 3), rows=1, columns=3, seeds=1, test_images=100)
    text = sweep.best_by_row(cells, **axes, test_images=100)
    assert text.startswith("The best T by student accuracy on the test images is 1. With one seed")
    assert sweep.best_by_row(cells, **axes | {"x": "images"}) == ""  # more images are better: nothing to choose


def test_the_best_cell_of_a_student_is_chosen_on_validation_images():
    cells = validated_sweep()
    best = sweep.best_along(cells, 1)
    assert best["student"][0] == cells.student[0, 1] < cells.student[0].max()
    assert len(sweep.best_along(cells, 0)["baseline"]) == 3


@pytest.mark.parametrize(("position", "count"), [((0, 0), 3), ((0, 1), 5), ((1, 1), 8)])
def test_neighbours_are_the_cells_that_touch(position, count):
    assert len(set(sweep.neighbours(*position, (3, 3)))) == count and position not in sweep.neighbours(*position, (3, 3))


def test_the_curves_of_a_cell_are_means_over_its_seeds():
    lines = sweep.cell_lines(history([[0.5, 0.7], [0.7, 0.9]], [[0.4, 0.4], [0.4, 0.6]]), (0, 0), columns=1, seeds=2)
    assert lines["student"] == [[1.0, 2.0], [60.0, 80.0]] and lines["baseline"] == [[1.0, 2.0], [40.0, 50.0]]


@pytest.mark.parametrize("sizes", [(415, 650, 16_010), (650,), (1660, 2_000_000), (0.8, 3.1)])
def test_the_size_axis_has_space_for_every_name_and_equal_ticks(sizes):
    accuracies = {"student": [90.0] * len(sizes), "baseline": [89.0] * len(sizes)}
    figure = sweep.front_figure(sizes, accuracies, [f"mlp-{size}x2" for size in sizes], size="parameters").to_dict()
    axis = figure["layout"]["xaxis"]
    low, high = axis["range"]
    assert low < math.log10(min(sizes)) and math.log10(max(sizes)) < high
    assert len(axis["ticktext"]) == len(axis["tickvals"]) <= 10 and all(low <= math.log10(tick) <= high for tick in axis["tickvals"])
    names = [text for trace in figure["data"] for text in trace.get("text", ()) if text]
    assert sorted(names) == sorted(f"mlp-{size}x2" for size in sizes)


def test_validation_images_decide_who_is_on_the_front_and_test_accuracies_are_drawn():
    test, validation = {"student": [80.0, 95.0, 90.0]}, {"student": [80.0, 79.0, 90.0]}
    common = {"sizes": [1, 2, 3], "sides": test, "names": ["a", "b", "c"], "size": "parameters"}
    line = sweep.front_figure(**common, chosen_by=validation).to_dict()["data"][0]
    assert list(line["x"]) == [1, 3] and list(line["y"]) == [80.0, 90.0]
    assert list(sweep.front_figure(**common).to_dict()["data"][0]["x"]) == [1, 2]
    cells = validated_sweep()
    assert sweep.choice_along(cells, 1)["student"] == pytest.approx(cells.choice[0].mean(axis=-1).max(axis=1))


@given(st.lists(st.tuples(st.integers(1, 50), st.integers(0, 50)), min_size=1, max_size=20))
def test_the_front_holds_the_students_that_no_other_dominates(students):
    sizes, accuracies = zip(*students, strict=True)
    front = sweep.pareto_front(sizes, accuracies)
    for i in range(len(students)):
        others = [j for j in range(len(students)) if students[j] != students[i]]
        dominated = any(sizes[j] <= sizes[i] and accuracies[j] >= accuracies[i] for j in others)
        assert (students[i] in [students[j] for j in front]) == (not dominated)
    assert [sizes[i] for i in front] == sorted({sizes[i] for i in front})
