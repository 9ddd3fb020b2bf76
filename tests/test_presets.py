"""The presets: each effect is significant, and is reproduced when it is measured again."""

import math

import pytest
from scipy import stats

from distill_core.data.datasets import DATASETS
from distill_core.studies.presets import PRESETS, measure, preset_of

QUICK = [
    name
    for name in (
        "first-race",
        "missing-3",
        "noisy-labels",
        "noisy-teacher",
        "impatient",
        "few-images",
        "weak-teacher",
        "smoothed-teacher",
        "too-small",
    )
    if DATASETS[PRESETS[name].experiment.dataset].is_here()
]


def standard_error(low, high, seeds):
    """The standard error of a mean, from its 95 % interval by Student's t."""
    return (high - low) / 2 / stats.t.ppf(0.975, seeds - 1)


@pytest.mark.parametrize("name", PRESETS)
def test_the_effect_of_a_preset_is_three_standard_errors_from_zero(name):
    measured = PRESETS[name].measured
    assert measured.seeds >= 10 and measured.low < measured.difference < measured.high
    assert abs(measured.difference) / standard_error(measured.low, measured.high, measured.seeds) >= 3


@pytest.mark.parametrize("name", QUICK)
def test_a_preset_measured_again_reproduces_its_effect(name):
    *_, claim = measure(PRESETS[name], seeds=PRESETS[name].measured.seeds, device="cpu")
    came, expected = claim["came"], claim["expected"]
    error = standard_error(came["low"], came["high"], came["seeds"])
    assert came["difference"] / error * math.copysign(1, expected["difference"]) >= 3
    assert came["low"] <= expected["difference"] <= came["high"]


def test_the_preset_of_an_experiment_is_found_for_every_seed():
    for preset in PRESETS.values():
        assert all(preset_of(experiment) is preset for experiment in preset.experiments())
    assert preset_of(PRESETS["first-race"].experiments()[0].baseline) is None
