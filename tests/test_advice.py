"""The advisor's grid: a row is what the lab trains, and is measured once."""

from dataclasses import replace

import numpy as np
import pytest

from distill_core.experiment import Experiment
from distill_core.figures import sweep
from distill_core.statistics import paired_difference
from distill_core.studies import advice
from distill_core.trainer import train

QUICK = Experiment(dataset="digits", validation=300, images=60, epochs=2, student="mlp-5x2")


@pytest.fixture(scope="module")
def row():
    return advice.measure_row(QUICK, seeds=2)


def test_a_row_has_the_accuracies_of_the_races_with_its_settings(row):
    for place in (1, len(row["settings"]) - 1):  # a distilled student, and labels alone
        setting = row["settings"][place]
        chosen = replace(QUICK, temperature=setting["temperature"], alpha=setting["alpha"], seed=1)
        found = next(one for one in train(chosen) if one["event"] == "result")
        for part in ("test", "validation"):
            assert setting[part][1] == pytest.approx(100 * found["student"][f"{part}_accuracy"], abs=0.4)  # one image
    assert row["settings"][-1]["alpha"] == advice.LABELS_ALONE and row["parameters"] == found["student"]["parameters"]


def test_a_row_as_a_sweep_has_its_gains_over_labels_alone_with_their_intervals(row):
    grid, test, validation = advice.as_sweep(row)
    shape = {"rows": len(grid.ys), "columns": len(grid.xs), "seeds": grid.seeds}
    cells = sweep.cells(test, validation=validation, test_images=row["test_images"], **shape)
    alone = row["settings"][-1]
    for setting in row["settings"][:-1]:
        place = grid.ys.index(setting["alpha"]), grid.xs.index(setting["temperature"])
        expected = paired_difference(np.array(setting["test"]), np.array(alone["test"]), test_images=row["test_images"])
        assert [part[place] for part in (cells.difference, cells.low, cells.high)] == pytest.approx([float(one) for one in expected])
        assert cells.gain[place] == pytest.approx(np.mean(setting["validation"]) - np.mean(alone["validation"]))


def test_a_row_is_measured_again_only_for_more_seeds_or_another_recipe(row):
    assert advice.is_current(row, QUICK, 2)
    assert not advice.is_current(row, QUICK, 3)
    assert not advice.is_current(row, replace(QUICK, epochs=3), 2)
    assert not advice.is_current(row | {"version": 0}, QUICK, 2)


def test_the_measurement_goes_on_where_it_was_stopped(row, tmp_path, monkeypatch):
    others = ("mlp-5x2", "linear")
    monkeypatch.setattr(advice, "SHIPPED", tmp_path / "advice.json")
    monkeypatch.setattr(advice, "CELLS", {("digits", 60): (replace(QUICK, student=Experiment.student), others)})
    advice.keep(row)
    measured = []
    for one in advice.measure(seeds=2, before=advice.kept()):
        advice.keep(one)
        measured.append(one["experiment"]["student"])
    assert measured == ["linear"] and len(advice.kept()) == 2
    assert list(advice.measure(seeds=2, before=advice.kept())) == []


def test_every_cell_was_measured_over_ten_seeds_by_the_recipe_of_today():
    rows = advice.kept()
    for cell, (_, students) in advice.CELLS.items():
        for student in students:
            assert any(advice.is_current(row, advice.experiment_of(*cell, student), advice.SEEDS) for row in rows), (cell, student)
