"""The bug zoo: every mistake shows itself where its card says so, and hides where its card says that it hides."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from distill_core.figures.bugs import ZOO, beside_each_other, bug_drawing
from distill_core.figures.curves import PERCENT, bands
from distill_core.objectives import METHODS
from distill_core.training.shards import Shards
from pages.sections.bugs import ALPHAS, TEMPERATURES, USUAL, experiments

SEEDS = 10


def told(method, temperature, alpha, **options):
    """All records of a race over ten seeds."""
    first = experiments(method, temperature, alpha)[0]
    return [
        one for records in Shards([replace(first, seed=seed) for seed in range(SEEDS)], device="cpu", **options).steps() for one in records
    ]


def last(records, field, member="student"):
    """The last value of each seed; fractions in percent."""
    scale = 100 if field in PERCENT else 1
    values = {
        r["experiment"]: scale * r[field] for r in records if r["event"] == "record" and r["member"] == member and r[field] is not None
    }
    return np.array([values[seed] for seed in range(SEEDS)])


def curves(records):
    return bands(record for record in records if record["event"] == "record")


@pytest.mark.parametrize("name", ZOO)
def test_a_bug_differs_visibly_from_the_right_code_where_its_card_says(name):
    bug = ZOO[name]
    assert bug.temperature in TEMPERATURES and bug.alpha in ALPHAS
    right, suspect = told("soft-targets", bug.temperature, bug.alpha), told(name, bug.temperature, bug.alpha)
    apart = last(suspect, bug.field) - last(right, bug.field)
    error = apart.std(ddof=1) / np.sqrt(SEEDS)
    assert abs(apart.mean()) > 3 * error
    drawing = bug_drawing(beside_each_other(curves(right), curves(suspect)), field=bug.field, epochs=USUAL.epochs, height=320)
    low, high = drawing["layout"]["yaxis"]["range"]
    ends = {trace["uid"].split()[0]: trace["y"][-1] for trace in drawing["data"] if trace["mode"] == "lines+markers"}
    assert abs(ends["right"] - ends["suspect"]) > 0.05 * (high - low)  # ten pixels of two hundred


@pytest.mark.parametrize(
    ("name", "temperature", "alpha"),
    [
        ("soft-targets-without-t2", 1.0, 0.1),
        ("alpha-swapped", 8.0, 0.5),
        ("shuffled-targets", 4.0, 1.0),
        ("teacher-in-train-mode", 4.0, 1.0),
    ],
)
def test_a_bug_hides_where_its_card_says_that_nothing_differs(name, temperature, alpha):
    # In float32 the order of two products grows, over forty epochs, to a hundredth of so small a loss.
    hidden, right = (told(one, temperature, alpha, dtype=torch.float64) for one in (name, "soft-targets"))
    assert last(hidden, "test_accuracy") == pytest.approx(last(right, "test_accuracy"))
    assert last(hidden, "hard_loss") == pytest.approx(last(right, "hard_loss"), rel=1e-6)


def test_at_alpha_one_only_the_turned_alpha_is_not_the_baseline():
    for name in ("soft-targets", "alpha-swapped"):
        records = told(name, 8.0, 1.0)
        equal = np.array_equal(last(records, "test_accuracy"), last(records, "test_accuracy", member="baseline"))
        assert equal == (name == "soft-targets")


def test_the_zoo_has_six_bugs_which_are_methods_and_are_explained():
    assert len(ZOO) == 6
    for name, bug in ZOO.items():
        assert METHODS[name].kind == "mistake" or name == "shuffled-targets"
        assert len(bug.tells) > 80 and bug.repair
