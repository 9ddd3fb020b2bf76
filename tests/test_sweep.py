"""A sweep can be recovered from its experiments, and invalid axes are refused."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from distill_core.experiment import Experiment
from distill_core.runs.limits import MAX_EXPERIMENTS
from distill_core.studies.sweep import AXES, MAX_RACES, Grid, best_settings, grid_of

MEASURES = ("test_accuracy", "validation_accuracy")

VALUES = {
    "temperature": [1.0, 2.0, 4.0, 20.0],
    "alpha": [0.0, 0.1, 0.5],
    "student": ["linear", "mlp-10x1", "mlp-30x2"],
    "images": [100, 200, 500],
    "label_noise": [0.0, 0.2],
    "teacher": ["mlp-1200x2", "cnn-32"],
    "method": ["soft-targets", "logits", "correlation"],  # that alpha 0 suits
}
axes = st.permutations(sorted(VALUES)).map(lambda order: order[:2])


@given(axes, st.data(), st.integers(1, 4))
def test_a_sweep_is_recovered_from_its_experiments(chosen, data, seeds):
    x, y = chosen
    xs, ys = (tuple(data.draw(st.lists(st.sampled_from(VALUES[axis]), min_size=2, unique=True))) for axis in chosen)
    grid = Grid(x, xs, y, ys, seeds)
    experiments = grid.experiments(Experiment())
    assert grid_of(experiments) == grid
    for row, y_value in enumerate(ys):
        for column, x_value in enumerate(xs):
            for seed in range(seeds):
                one = experiments[grid.place(row, column, seed)]
                assert (getattr(one, x), getattr(one, y), one.seed) == (x_value, y_value, seed)


@pytest.mark.parametrize(
    ("axis", "values", "method"),
    [("beta", (0.0, 0.5, 1.0), "jensen-shannon"), ("top_k", (1, 5, 40), "top-k"), ("on_policy_share", (0.0, 0.5), "on-policy")],
)
def test_a_setting_of_a_method_is_an_axis(axis, values, method, refused):
    grid = Grid("alpha", (0.1, 0.5), axis, values, 2)
    experiments = grid.experiments(Experiment(dataset="little-language", method=method))
    assert grid_of(experiments) == grid and len({one.baseline for one in experiments}) == 2
    assert set(AXES) == {*VALUES, "beta", "top_k", "on_policy_share"}
    with refused("has no effect on method 'soft-targets'"):
        grid.experiments(Experiment(dataset="little-language"))


def test_a_sweep_of_one_choice_is_a_single_row():
    experiments = Grid("student", ("linear", "mlp-10x1"), "alpha", (0.1,), 3).experiments(Experiment())
    grid = grid_of(experiments)
    assert (grid.x, grid.xs, len(grid.ys), grid.seeds) == ("student", ("linear", "mlp-10x1"), 1, 3)


@pytest.mark.parametrize(
    ("grid", "message"),
    [
        (Grid("epochs", (1, 2), "alpha", (0.1,), 1), "axis 'epochs' is not known; choose one of: temperature"),
        (Grid("alpha", (0.1,), "alpha", (0.2,), 1), "both axes are alpha"),
        (Grid("alpha", (), "temperature", (4.0,), 1), "alpha has no value"),
        (Grid("alpha", (0.1, 0.1), "temperature", (4.0,), 1), "alpha has a value twice"),
        (Grid("alpha", (2.0,), "temperature", (4.0,), 1), "alpha 2"),
    ],
)
def test_invalid_axes_are_refused(grid, message, refused):
    with refused(message):
        grid.experiments(Experiment())


def test_the_best_setting_is_chosen_on_validation_images_and_reported_on_test_images():
    def result(test, validation):
        return {"student": {"test_accuracy": test, "validation_accuracy": validation}, "baseline": dict.fromkeys(MEASURES, 0.5)}

    experiments = [Experiment(temperature=t, seed=seed, validation=100) for t in (1.0, 4.0) for seed in (0, 1)]
    results = [result(0.9, 0.6), result(0.8, 0.7), result(0.6, 0.9), result(0.7, 0.6)]
    chosen, gain = best_settings(experiments, results)[0]
    assert chosen.temperature == 4.0 and gain == pytest.approx(15)
    on_test, gain = best_settings([replace(one, validation=0) for one in experiments], results)[0]
    assert on_test.temperature == 1.0 and gain == pytest.approx(35)


def test_experiments_that_vary_in_three_choices_are_refused(refused):
    with refused("temperature, alpha, student", "two axes"):
        grid_of([Experiment(), Experiment(temperature=1.0), Experiment(alpha=0.5), Experiment(student="linear")])


@pytest.mark.parametrize(("columns", "rows", "seeds"), [(10_000, 10_000, 1), (200, 200, 10), (401, 1, 1), (1, 1, 0)])
def test_more_races_than_a_sweep_may_have_are_refused_before_one_is_built(monkeypatch, refused, columns, rows, seeds):
    monkeypatch.setattr("distill_core.studies.sweep.replace", lambda *_, **__: pytest.fail("a race was built"))
    grid = Grid("temperature", tuple(range(1, columns + 1)), "images", tuple(range(1, rows + 1)), seeds)
    with refused(f"{columns * rows * seeds:,} races", "from 1 to 400"):
        grid.experiments(Experiment())


def test_a_sweep_may_have_as_many_races_as_the_queue_takes():
    assert MAX_EXPERIMENTS["sweep"] == MAX_RACES
