"""Each bug is visible at the T and alpha of its entry, and invisible where its symptoms say that there is no difference."""

from __future__ import annotations

import functools
import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from distill_core.figures.bugs import BUGS, bug_drawing, combine_races
from distill_core.figures.curves import PERCENT, bands
from distill_core.objectives import METHODS
from distill_core.training.shards import Shards
from pages.sections.bugs import ALPHAS, BASE, TEMPERATURES, experiments

SEEDS = 8


@functools.cache  # several bugs are compared with the same correct code
def records_of(method, temperature, alpha, epochs=BASE.epochs, **options):
    """All records and results of a race over `SEEDS` seeds."""
    first = replace(experiments(method, temperature, alpha)[0], epochs=epochs)
    shards = Shards([replace(first, seed=seed) for seed in range(SEEDS)], device="cpu", **options)
    return [record for step in shards.steps() for record in step]


def last(records, field, member="student"):
    """The last value `(SEEDS,)` of a field; fractions in percent."""
    scale = 100 if field in PERCENT else 1
    values = {
        r["experiment"]: scale * r[field] for r in records if r["event"] == "record" and r["member"] == member and r[field] is not None
    }
    return np.array([values[seed] for seed in range(SEEDS)])


def curves(records):
    return bands(record for record in records if record["event"] == "record")


@pytest.mark.parametrize("name", BUGS)
def test_a_bug_differs_visibly_from_the_correct_code_at_the_settings_of_its_entry(name):
    bug = BUGS[name]
    assert bug.temperature in TEMPERATURES and bug.alpha in ALPHAS
    correct, suspect = records_of(bug.correct, bug.temperature, bug.alpha), records_of(name, bug.temperature, bug.alpha)
    difference = last(suspect, bug.field) - last(correct, bug.field)
    error = difference.std(ddof=1) / np.sqrt(SEEDS)
    assert abs(difference.mean()) > 3 * error
    drawing = bug_drawing(combine_races(curves(correct), curves(suspect)), field=bug.field, epochs=BASE.epochs, height=320)
    low, high = drawing["layout"]["yaxis"]["range"]
    ends = {trace["uid"].split()[0]: trace["y"][-1] for trace in drawing["data"] if trace["mode"] == "lines+markers" and len(trace["y"])}
    assert abs(ends["correct"] - ends["suspect"]) > 0.035 * (high - low)  # 7 of about 200 pixels


@pytest.mark.parametrize(
    ("name", "temperature", "alpha"),
    [
        ("soft-targets-without-t2", 1.0, 0.1),
        ("alpha-swapped", 8.0, 0.5),
        ("shuffled-targets", 4.0, 1.0),
        ("teacher-in-train-mode", 4.0, 1.0),
        ("logits-in-kl-div", 4.0, 1.0),
    ],
)
def test_a_bug_changes_nothing_where_its_symptoms_say_so(name, temperature, alpha):
    # float64: in float32 the rounding of reordered products grows to 1 % of so small a loss.
    buggy, correct = (records_of(one, temperature, alpha, epochs=4, dtype=torch.float64) for one in (name, "soft-targets"))
    assert last(buggy, "test_accuracy") == pytest.approx(last(correct, "test_accuracy"))
    assert last(buggy, "hard_loss") == pytest.approx(last(correct, "hard_loss"), rel=1e-6)


def test_at_alpha_one_the_student_equals_the_baseline_unless_alpha_is_swapped():
    for name in ("soft-targets", "alpha-swapped"):
        records = records_of(name, 8.0, 1.0)
        equal = np.array_equal(last(records, "test_accuracy"), last(records, "test_accuracy", member="baseline"))
        assert equal == (name == "soft-targets")


def test_the_records_of_a_bug_whose_loss_has_no_minimum_are_finite_or_missing():
    records = records_of("logits-in-kl-div", 20.0, 0.0)
    json.dumps(records, allow_nan=False)
    assert len({(record["experiment"], record["step"]) for record in records if record["event"] == "record"}) > 5 * SEEDS
    assert curves(records)["student", "test_accuracy"]["n"] == SEEDS


def test_every_mistake_is_a_bug_of_the_page_with_symptoms_and_a_fix():
    assert set(BUGS) == {name for name, method in METHODS.items() if method.kind == "mistake"} | {"shuffled-targets"}
    for bug in BUGS.values():
        assert len(bug.symptoms) > 80 and bug.fix
