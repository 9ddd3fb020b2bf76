"""The comparison of methods: what is compared, what is kept, and that the kept figures are what they say."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from distill_core import analysis, comparison, trainer
from distill_core.cohort import Cohort
from distill_core.comparison import SET_UPS, SETTINGS, compare, cost, entries
from distill_core.experiment import Experiment
from distill_core.figures.methods import comparison_figure, panels_figure, points, ranked, sign
from distill_core.objectives import METHODS

SMALL = Experiment(images=80, epochs=2)


@pytest.fixture
def small(monkeypatch):
    monkeypatch.setitem(SETTINGS, "small", comparison.Setting("digits", SMALL))


def test_everything_but_the_mistakes_is_compared():
    assert set(entries(SMALL)) == {name for name, method in METHODS.items() if method.kind != "mistake"} | set(SET_UPS)


def test_a_row_is_the_paired_difference_of_the_same_races(small):
    (row,) = compare("small", seeds=3, only=["correlation"])
    for seed in range(3):
        *_, result = trainer.train(replace(SMALL, method="correlation", seed=seed))
        assert row["students"][seed] == pytest.approx(100 * result["student"]["test_accuracy"], abs=0.3)  # an image on the border
        assert row["baselines"][seed] == pytest.approx(100 * result["baseline"]["test_accuracy"], abs=0.3)
    assert (row["difference"], row["low"], row["high"]) == analysis.paired_difference(row["students"], row["baselines"])
    assert json.loads(json.dumps(row)) == row and row["step_ms"] > 0


def test_what_does_not_go_together_is_told_in_a_sentence_and_does_not_end_the_comparison(small):
    rows = list(compare("small", seeds=2, only=["attention", "born-again"]))
    assert [row["name"] for row in rows] == ["attention", "born-again"]
    assert "feature maps" in rows[0]["refused"]
    assert rows[1]["experiment"]["assistants"] == [SMALL.student]


def test_peers_and_a_regressor_cost_memory_and_soft_targets_the_least():
    costs = {name: cost(replace(SMALL, method=name), steps=2)["step_mb"] for name in ("soft-targets", "mutual-2", "mutual-4", "hints")}
    assert costs["soft-targets"] < costs["mutual-2"] < costs["mutual-4"] and costs["soft-targets"] < costs["hints"]


def test_a_quiet_cohort_of_students_alone_has_the_students_of_a_race():
    experiments = [replace(SMALL, seed=seed) for seed in (0, 1)]
    loud, quiet = Cohort(experiments, device="cpu"), Cohort(experiments, device="cpu", roles=("student",), quiet=True)
    told = {name: [r for records in cohort.steps() for r in records] for name, cohort in (("loud", loud), ("quiet", quiet))}
    results = {name: [r["student"]["test_errors"] for r in records if r["event"] == "result"] for name, records in told.items()}
    assert results["loud"] == results["quiet"] and "baseline" not in told["quiet"][-1]
    assert {r["step"] for r in told["quiet"] if r["event"] == "record"} == {max(r["step"] for r in told["loud"] if r["event"] == "record")}


@pytest.fixture(scope="module")
def kept():
    return comparison.kept()


def test_the_shipped_comparison_has_every_method_on_each_setting_that_was_measured_over_ten_seeds(kept):
    assert {"mnist-1000", "mnist-60000"} <= set(kept["measured"]) <= set(SETTINGS)
    for setting in kept["measured"]:
        entry = SETTINGS[setting]
        rows = {row["name"]: row for row in kept["rows"] if row["setting"] == setting}
        assert set(rows) == set(entries(entry.experiment))
        for row in rows.values():
            if "refused" not in row:
                assert len(row["students"]) == len(row["baselines"]) == 10 and row["step_ms"] > 0 and row["step_mb"] > 0
                assert (row["difference"], row["low"], row["high"]) == pytest.approx(
                    analysis.paired_difference(row["students"], row["baselines"])
                )
        measured = [row for row in rows.values() if "refused" not in row]
        assert len({tuple(row["baselines"]) for row in measured}) == 1  # one baseline for all
        assert (
            kept["measured"][setting]["command"].startswith("python -m distill_core compare") and kept["measured"][setting]["seconds"] > 0
        )


def test_the_shipped_comparison_was_made_with_the_experiments_of_today(kept):
    for row in kept["rows"]:
        if "refused" not in row:
            usual = SETTINGS[row["setting"]].experiment
            assert Experiment.from_fields(row["experiment"]) == replace(usual, **entries(usual)[row["name"]][1])


def test_soft_targets_help_where_images_are_few(kept):
    (row,) = (row for row in kept["rows"] if (row["setting"], row["name"]) == ("mnist-1000", "soft-targets"))
    assert sign(row) == 1


# --- the picture ----------------------------------------------------------------------------------------------------

COST = {"step_ms": 1.0, "step_mb": 2.0}
ROWS = [
    {"setting": "a", "name": n, "title": n.upper(), "difference": d, "low": low, "high": high, "students": [90.0 + d] * 2, **COST}
    for n, d, low, high in (("x", 1.0, 0.5, 1.5), ("y", -2.0, -3.0, -1.0), ("z", 0.1, -0.2, 0.4))
]


def test_methods_are_ranked_and_coloured_by_their_interval():
    rows = [*ROWS, {"setting": "a", "name": "w", "title": "W", "refused": "no"}, {**ROWS[0], "setting": "b"}]
    assert [row["name"] for row in ranked(rows, "a")] == ["x", "z", "y"]
    assert [sign(row) for row in ROWS] == [1, -1, 0]
    figure = comparison_figure(rows, "a", marked="z")
    told = {trace.name: (list(trace.x), list(trace.y)) for trace in figure.data}
    assert told == {"helps": ([1.0], ["X"]), "no difference to be seen": ([0.1], ["<b>Z</b>"]), "hurts": ([-2.0], ["Y"])}
    helps = figure.data[0]
    assert helps.error_x.array[0] == pytest.approx(0.5) and helps.error_x.arrayminus[0] == pytest.approx(0.5)
    assert list(figure.layout.yaxis.categoryarray) == ["Y", "<b>Z</b>", "X"]  # the best on top
    assert points(ROWS[1]) == "\u22122.00 points (\u22123.00 to \u22121.00)"


def test_panels_hold_their_arrays_and_do_not_overlap():
    panels = [[("one", np.eye(2)), ("two", np.ones((3, 2)))], [("three", np.zeros((2, 2)))]]
    figure = panels_figure(panels)
    assert [trace.z.shape for trace in figure.data] == [(2, 2), (3, 2), (2, 2)]
    assert [a.text for a in figure.layout.annotations] == ["one", "two", "three"]
    first, second = figure.layout.xaxis.domain, figure.layout.xaxis2.domain
    assert first[1] < second[0] and figure.layout.yaxis.domain[0] >= figure.layout.yaxis3.domain[1]


def test_a_method_that_is_measured_later_joins_the_others_and_its_time_theirs(monkeypatch, tmp_path):
    monkeypatch.setattr(comparison, "FILE", tmp_path / "comparison.json")
    row = {"setting": "mnist-1000", "seconds": 10.0}
    comparison.keep("mnist-1000", [{**row, "name": "one"}, {**row, "name": "two"}], command="all", seconds=25, date="2026-01-01")
    comparison.keep("mnist-1000", [{**row, "name": "three"}], command="all", seconds=12, date="2026-01-02")
    comparison.keep("mnist-1000", [{**row, "name": "one", "seconds": 11.0}], command="all", seconds=13, date="2026-01-03")
    told = comparison.kept()
    assert [row["name"] for row in told["rows"]] == ["two", "three", "one"]
    assert told["measured"]["mnist-1000"]["seconds"] == 25 + 12 + 13 - 10
    comparison.keep("mnist-1000", [{**row, "name": name} for name in ("one", "two", "three")], command="all", seconds=30, date="2026-01-04")
    assert comparison.kept()["measured"]["mnist-1000"]["seconds"] == 30
