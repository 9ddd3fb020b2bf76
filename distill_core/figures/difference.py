"""The curve of the paired difference of a race, student minus baseline, with the interval that its conclusion has."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from distill_core.figures.curves import Band, band_traces, layout, panel_title, round_up, values_by_step
from distill_core.figures.palette import GREY
from distill_core.statistics import ACCURACY, BITS, Score, format_points, paired_bits, paired_difference

TITLE = "student minus baseline (points)"
TITLE_OF_BITS = "student minus baseline (bits; below 0 is better)"


def difference_band(records: Iterable[dict], *, test_images: int, level: float = 0.95) -> Band | None:
    """The mean difference over seeds with its interval, in percentage points, at every step where all seeds were tested.

    The interval is that of `paired_difference`, at each step by itself; one seed has none. `records`: as in `curves.bands`, the
    student's before its baseline's. Returns None while nothing has been tested. Of a text the difference is in bits a character.
    """
    values, epochs = values_by_step(records)
    score = BITS if values.get(("student", BITS.field)) else ACCURACY
    students, baselines = (values.get((member, score.field), {}) for member in ("student", "baseline"))
    steps = sorted(step for step in students if step in baselines and len(students[step]) == len(baselines[step]))
    if not steps:
        return None
    both = [score.scale * np.array([side[step] for step in steps]) for side in (students, baselines)]  # (steps, seeds) each
    found = paired_bits(*both, level=level) if score is BITS else paired_difference(*both, test_images=test_images, level=level)
    mean, low, high = (values.tolist() for values in found)
    n = len(students[steps[0]])
    interval = {"low": low, "high": high, "band": "interval"} if n > 1 else {"low": [], "high": [], "band": ""}
    return {"x": [epochs[step] for step in steps], "mean": mean, "n": n, **interval}


def difference_drawing(band: Band | None, *, epochs: float, from_epoch: float = 0.0, height: int = 280, score: Score = ACCURACY) -> dict:
    """The curve with its interval and a line at zero, as plotly's plain dicts, aligned with the panels of `race_drawing`.

    The vertical axis holds all points from `from_epoch` on: it only grows while a race runs.
    """
    band = band or {"x": [], "mean": [], "low": [], "high": [], "n": 0, "band": ""}
    meaning = f"epoch \u00b7 band: 95 % interval, {band['n']} seeds" if band["band"] else "epoch \u00b7 one seed" if band["x"] else "epoch"
    common = layout(height, epochs, bottom_axis="y", x_title=meaning, hover_title="epoch %{x}")
    vertical = {
        "range": _range(band, from_epoch, least=2 * score.margin),
        "anchor": "x",
        "nticks": 6,
        "zeroline": True,
        "zerolinewidth": 3,
        "zerolinecolor": GREY,
    }
    return {
        "data": [
            {"type": "scatter", **trace} for trace in band_traces("difference", band, "points", _hover(band, score), 0, float, legend=False)
        ],
        "layout": {
            **common,
            "showlegend": False,
            "annotations": [panel_title(TITLE_OF_BITS if score is BITS else TITLE, 1)],
            "template": {},
            "yaxis": vertical,
        },
    }


def _range(band: Band, from_epoch: float, *, least: float) -> list[float]:
    """A round number below and one above the points from an epoch on; zero is always inside."""
    shown = [number for number, epoch in enumerate(band["x"]) if epoch >= from_epoch]
    values = [line[number] for line in (band["mean"], band["low"], band["high"]) if line for number in shown]
    low, high = min(values, default=0), max(values, default=0)
    least = 0.2 * max(-low, high, least)  # room on the other side of zero
    return [-round_up(max(-low, least)), round_up(max(high, least))]


def _hover(band: Band, score: Score) -> list[str]:
    """One text per point."""
    digits, unit = (4, "bits") if score is BITS else (1, "points")
    if not band["band"]:
        return [f"{format_points(mean, digits)} {unit}" for mean in band["mean"]]
    return [
        f"{format_points(mean, digits)} {unit} ({format_points(low, digits)} to {format_points(high, digits)})"
        for mean, low, high in zip(band["mean"], band["low"], band["high"], strict=True)
    ]
