"""The curve of the paired difference: its numbers are those of the conclusion, and its chart does not jump."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest
from plotly.io.json import to_json_plotly

from distill_core import analysis
from distill_core.figures.difference import difference_band, difference_drawing


def records(seeds, *, steps=5, images=1000, gain=20):
    """Tests of both networks of each seed, `10 * step` steps apart; the last are `gain` images apart, more or less."""
    draw = np.random.default_rng(seeds)
    told = []
    for step in range(steps):
        for seed in range(seeds):
            wrong = {"student": 900 - 150 * step - gain, "baseline": 900 - 150 * step}
            for member, errors in wrong.items():
                accuracy = 1 - (errors + int(draw.integers(0, 9))) / images
                told.append({"member": member, "experiment": seed, "step": 10 * step, "epoch": float(step), "test_accuracy": accuracy})
    return told


@pytest.mark.parametrize("seeds", [2, 3, 5])
def test_the_last_point_is_the_difference_and_the_interval_of_the_conclusion(seeds):
    told = records(seeds)
    band = difference_band(told, test_images=1000)
    ends = {(one["experiment"], one["member"]): one["test_accuracy"] for one in told}
    results = [
        {role: {"test_accuracy": ends[seed, role], "test_images": 1000} for role in ("student", "baseline")} for seed in range(seeds)
    ]
    verdict = analysis.verdict(results)
    assert (band["mean"][-1], band["low"][-1], band["high"][-1]) == pytest.approx((verdict.difference, verdict.low, verdict.high))
    assert band["x"] == [0, 1, 2, 3, 4] and band["n"] == seeds and band["band"] == "interval"


def test_the_band_is_paired_what_a_seed_does_to_both_networks_cancels():
    told = [
        {"member": member, "experiment": seed, "step": 1, "epoch": 1.0, "test_accuracy": level + gain}
        for seed, level in enumerate((0.5, 0.7, 0.9))
        for member, gain in (("student", 0.02 + 0.001 * seed), ("baseline", 0))
    ]
    band = difference_band(told, test_images=10_000)
    assert 0 < band["low"][0] < 2.1 < band["high"][0] < 3  # though the accuracies of the seeds are 40 points apart


def test_one_seed_has_a_curve_without_a_band():
    band = difference_band(records(1), test_images=1000)
    assert len(band["mean"]) == 5 and band["low"] == band["high"] == [] and band["band"] == ""
    drawing = difference_drawing(band, epochs=4)
    assert [len(trace["x"]) for trace in drawing["data"]] == [0, 5]
    assert drawing["layout"]["xaxis"]["title"]["text"] == "epoch \u00b7 one seed"


def test_a_step_has_a_point_when_both_networks_of_all_seeds_were_tested():
    told = records(3, steps=2)
    assert difference_band(told[:-1], test_images=1000)["x"] == [0]
    assert difference_band([one for one in told if one["member"] == "student"], test_images=1000) is None
    assert difference_band([], test_images=1000) is None


def test_the_chart_keeps_its_traces_height_and_horizontal_axis_during_a_run_and_its_vertical_axis_only_grows():
    told = records(3)
    drawings = [difference_drawing(difference_band(told[:n], test_images=1000), epochs=4) for n in range(0, len(told) + 1, 6)]
    layouts = [drawing["layout"] for drawing in drawings]
    assert len({tuple(trace["uid"] for trace in drawing["data"]) for drawing in drawings}) == 1
    assert len({(layout["height"], *layout["xaxis"]["range"], *layout["margin"].values()) for layout in layouts}) == 1
    lows, highs = zip(*(layout["yaxis"]["range"] for layout in layouts), strict=True)
    assert list(lows) == sorted(lows, reverse=True) and list(highs) == sorted(highs)
    for drawing in drawings:
        json.loads(to_json_plotly(drawing))


@pytest.mark.parametrize("gain", [-300, -20, 0, 20, 300])
def test_zero_is_inside_the_axis_and_has_a_line(gain):
    band = difference_band(records(3, gain=gain), test_images=1000)
    for from_epoch in (0, 3, 9):
        axis = difference_drawing(band, epochs=4, from_epoch=from_epoch)["layout"]["yaxis"]
        assert axis["range"][0] < 0 < axis["range"][1] and axis["zeroline"] and axis["zerolinewidth"] >= 3
    whole, end = (difference_drawing(band, epochs=4, from_epoch=start)["layout"]["yaxis"]["range"] for start in (0, 3))
    assert whole[0] <= min(band["low"]) and whole[1] >= max(band["high"])
    assert end[0] <= min(band["low"][3:]) and end[1] >= max(band["high"][3:])


def test_the_hover_text_is_the_difference_with_its_interval():
    (_, line) = difference_drawing(difference_band(records(3, gain=-20), test_images=1000), epochs=4)["data"]
    assert re.fullmatch(r"\u2212\d\.\d points \(\u2212\d\.\d to \u2212\d\.\d\)", line["hovertext"][-1])
