"""The map's numbers, its words, and that the picture shows the numbers."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from distill_core.figures import sweep as pictures


def history(students, baselines, *, epochs=(1.0, 2.0)):
    """Races in order, each with its accuracies at the epochs: `students[race][epoch]`."""
    told = {}
    for member, accuracies in (("student", students), ("baseline", baselines)):
        for race, curve in enumerate(accuracies):
            told[race, member] = list(zip(epochs, curve, strict=False))
    return told


def random_map(rows=2, columns=3, seeds=4, *, gain=0.02, seed=0):
    draw = np.random.default_rng(seed)
    baselines = 0.9 + 0.005 * draw.standard_normal((rows * columns * seeds, 2))
    return baselines + gain + 0.002 * draw.standard_normal(baselines.shape), baselines


def test_a_cells_interval_is_that_of_the_paired_t_test():
    students, baselines = random_map()
    found = pictures.cells(history(students, baselines), rows=2, columns=3, seeds=4, test_images=1000)
    for row in range(2):
        for column in range(3):
            own = slice((row * 3 + column) * 4, (row * 3 + column + 1) * 4)
            test = stats.ttest_rel(100 * students[own, 1], 100 * baselines[own, 1])
            low, high = test.confidence_interval(0.95)
            assert found.low[row, column] == pytest.approx(low) and found.high[row, column] == pytest.approx(high)
            assert found.clear[row, column] == (test.pvalue < 0.05)
            assert found.student[row, column] == pytest.approx(100 * students[own, 1].mean())


def test_one_seed_has_the_interval_of_two_proportions():
    found = pictures.cells(history([[0.9]], [[0.8]]), rows=1, columns=1, seeds=1, test_images=1000)
    half = 1.959964 * 100 * math.sqrt((0.9 * 0.1 + 0.8 * 0.2) / 1000)
    assert found.difference[0, 0] == pytest.approx(10) and found.high[0, 0] - found.low[0, 0] == pytest.approx(2 * half, rel=1e-6)


def test_seeds_that_agree_by_chance_know_no_more_than_one_test_image():
    found = pictures.cells(history([[0.91], [0.91]], [[0.90], [0.90]]), rows=1, columns=1, seeds=2, test_images=50)
    assert found.high[0, 0] - found.difference[0, 0] == found.difference[0, 0] - found.low[0, 0] == pytest.approx(2.0)
    assert not found.clear[0, 0]


def test_a_cell_stands_at_the_last_epoch_that_all_its_students_have_reached():
    told = history([[0.5, 0.9], [0.6]], [[0.5, 0.8], [0.6, 0.7]])
    found = pictures.cells(told, rows=1, columns=1, seeds=2, test_images=100)
    assert found.epoch[0, 0] == 1.0 and found.student[0, 0] == pytest.approx(55)


def test_what_was_not_measured_is_empty_and_is_said():
    found = pictures.cells({}, rows=2, columns=2, seeds=1, test_images=100)
    assert np.isnan(found.difference).all()
    assert "in a moment" in pictures.words(found, x="temperature", xs=[1.0, 2.0], y="alpha", ys=[0.1, 0.5])
    figure = pictures.map_figure(found, x="temperature", xs=[1.0, 2.0], y="alpha", ys=[0.1, 0.5]).to_dict()
    assert not any(text for text in figure["data"][2]["text"])


def test_cells_inside_the_noise_are_hatched_and_others_are_not():
    students, baselines = random_map(gain=0.02)
    students[:4] = baselines[:4] + np.array([[0.01], [-0.01], [0.02], [-0.02]])  # the first cell is noise
    found = pictures.cells(history(students, baselines), rows=2, columns=3, seeds=4, test_images=1000)
    assert found.clear.sum() == 5 and not found.clear[0, 0]
    lines = pictures.map_figure(found, x="temperature", xs=[1.0, 2.0, 4.0], y="alpha", ys=[0.1, 0.5]).to_dict()["data"][1]
    points = [(x, y) for x, y in zip(lines["x"], lines["y"], strict=True) if x is not None]
    assert points and all(abs(x) < 0.5 and 0.19 < abs(y) < 0.5 for x, y in points)  # in the first cell, and not over its number


def test_the_best_cell_is_framed():
    students, baselines = random_map()
    students[4:8] += 0.05  # row 0, column 1
    found = pictures.cells(history(students, baselines), rows=2, columns=3, seeds=4, test_images=1000)
    frame = pictures.map_figure(found, x="temperature", xs=[1.0, 2.0, 4.0], y="alpha", ys=[0.1, 0.5]).to_dict()["data"][3]
    assert (np.mean([min(frame["x"]), max(frame["x"])]), np.mean([min(frame["y"]), max(frame["y"])])) == (1, 0)


@pytest.mark.parametrize(("value", "said"), [(0.04, "0.0"), (-0.04, "0.0"), (0.06, "+0.1"), (-1.23, "\u22121.2")])
def test_no_difference_has_no_sign(value, said):
    assert pictures.points(value) == said


def test_the_picture_writes_each_difference_where_its_values_are():
    students, baselines = random_map()
    found = pictures.cells(history(students, baselines), rows=2, columns=3, seeds=4, test_images=1000)
    figure = pictures.map_figure(found, x="temperature", xs=[1.0, 2.0, 4.0], y="alpha", ys=[0.1, 0.5]).to_dict()
    heat, _, values, _ = figure["data"]
    for x, y, text in zip(values["x"], values["y"], values["text"], strict=True):
        assert float(text.replace("\u2212", "-")) == pytest.approx(found.difference[y, x], abs=0.051)
        assert heat["z"][y][x] == pytest.approx(found.difference[y, x]) and heat["customdata"][y][x] == y * 3 + x
    assert list(figure["layout"]["xaxis"]["ticktext"]) == ["1", "2", "4"] and list(figure["layout"]["yaxis"]["ticktext"]) == ["0.1", "0.5"]
    assert heat["zmin"] == -heat["zmax"] and heat["zmax"] >= np.abs(found.difference).max()


def test_the_words_name_the_best_cell_its_interval_its_neighbours_and_the_noise():
    students, baselines = random_map(3, 3, gain=0.0)
    own = slice(4 * 4, 5 * 4)
    students[own] = baselines[own] + 0.05 + np.linspace(-0.001, 0.001, 4)[:, None]  # the middle
    found = pictures.cells(history(students, baselines), rows=3, columns=3, seeds=4, test_images=1000)
    said = pictures.words(found, x="temperature", xs=[1.0, 4.0, 20.0], y="alpha", ys=[0.1, 0.3, 0.5])
    assert "T 4, alpha 0.3" in said and "+5.0 points" in said
    beside = np.delete(found.difference.flatten(), 4).mean()
    assert f"{beside:+.1f} on average".replace("-", "\u2212") in said
    assert f"In {int(found.clear.sum())} of 9 cells" in said


@pytest.mark.parametrize(("place", "count"), [((0, 0), 3), ((0, 1), 5), ((1, 1), 8)])
def test_a_cell_has_the_neighbours_that_touch_it(place, count):
    assert len(set(pictures.around(*place, (3, 3)))) == count and place not in pictures.around(*place, (3, 3))


def test_the_curve_of_a_cell_is_the_mean_over_its_seeds():
    lines = pictures.cell_lines(history([[0.5, 0.7], [0.7, 0.9]], [[0.4, 0.4], [0.4, 0.6]]), (0, 0), columns=1, seeds=2)
    assert lines["student"] == [[1.0, 2.0], [60.0, 80.0]] and lines["baseline"] == [[1.0, 2.0], [40.0, 50.0]]


@pytest.mark.parametrize("sizes", [(415, 650, 16_010), (650,), (1660, 2_000_000), (0.8, 3.1)])
def test_the_front_has_room_for_every_name_and_no_small_print(sizes):
    accuracies = {"student": [90.0] * len(sizes), "baseline": [89.0] * len(sizes)}
    figure = pictures.front_figure(sizes, accuracies, [f"mlp-{size}x2" for size in sizes], size="parameters").to_dict()
    axis = figure["layout"]["xaxis"]
    low, high = axis["range"]
    assert low < math.log10(min(sizes)) and math.log10(max(sizes)) < high
    assert len(axis["ticktext"]) == len(axis["tickvals"]) <= 10 and all(low <= math.log10(tick) <= high for tick in axis["tickvals"])
    names = [text for trace in figure["data"] for text in trace.get("text", ()) if text]
    assert sorted(names) == sorted(f"mlp-{size}x2" for size in sizes)


@given(st.lists(st.tuples(st.integers(1, 50), st.integers(0, 50)), min_size=1, max_size=20))
def test_the_front_is_what_no_other_student_beats(students):
    sizes, accuracies = zip(*students, strict=True)
    front = pictures.pareto_front(sizes, accuracies)
    for i in range(len(students)):
        beaten = any(sizes[j] <= sizes[i] and accuracies[j] >= accuracies[i] and students[j] != students[i] for j in range(len(students)))
        assert (students[i] in [students[j] for j in front]) == (not beaten)
    assert [sizes[i] for i in front] == sorted({sizes[i] for i in front})
