"""Accuracy against the size of the student, and the Pareto front."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import plotly.graph_objects as go

from distill_core.figures.palette import ROLES
from distill_core.figures.sweep.units import value_title
from distill_core.statistics import ACCURACY, BITS, Score

TEXT = 16  # px, the smallest size that can be read across a room


def pareto_front(sizes: Sequence[float], accuracies: Sequence[float]) -> list[int]:
    """The indices of the students on the Pareto front, smallest first: no other student is as small and at least as accurate."""
    front, best = [], -math.inf
    for index in sorted(range(len(sizes)), key=lambda i: (sizes[i], -accuracies[i])):
        if accuracies[index] > best:
            front.append(index)
            best = accuracies[index]
    return front


def front_figure(
    sizes: Sequence[float],
    sides: Mapping[str, Sequence[float]],
    names: Sequence[str],
    *,
    size: str,
    chosen_by: Mapping[str, Sequence[float]] | None = None,
    score: Score = ACCURACY,
) -> go.Figure:
    """Accuracy against size: one marker per student and role, and a line along the Pareto front of each role.

    `sides`: for each role the accuracies in percent, in the order of `sizes` and `names`, or the bits a character of a text;
    `size`: the title of the horizontal axis. `chosen_by`: the values that decide who is on the front, those on validation
    images; by default `sides`.
    """
    traces, number = [], "%{y:.3f} bits" if score is BITS else "%{y:.2f} %"
    highest = [max(sides, key=lambda member: sides[member][i]) for i in range(len(sizes))]  # the role above which each name is written
    for member, accuracies in sides.items():
        style = ROLES[member]
        front = pareto_front(sizes, [score.sign * value for value in (chosen_by or sides)[member]])
        common = {"type": "scatter", "name": member, "legendgroup": member}
        line = {
            "uid": f"{member} front",
            "mode": "lines",
            "x": [sizes[i] for i in front],
            "y": [accuracies[i] for i in front],
            "line": {"color": style.light, "width": 4, "dash": style.dash, "shape": "hv"},
            "hoverinfo": "skip",
            "showlegend": False,
        }
        markers = {
            "uid": member,
            "mode": "markers+text",
            "x": list(sizes),
            "y": list(accuracies),
            "text": [name if above == member else "" for name, above in zip(names, highest, strict=True)],
            "textposition": "top center",
            "marker": {"color": style.light, "size": 13, "symbol": style.symbol},
            "customdata": list(names),
            "hovertemplate": f"{member} %{{customdata}}: {number}<extra></extra>",
        }
        traces += [{**common, **line}, {**common, **markers}]
    layout = {
        "height": 420,
        "margin": {"l": 64, "r": 30, "t": 30, "b": 60},
        "font": {"size": TEXT},
        "legend": {"x": 0.98, "xanchor": "right", "y": 0.95 if score is BITS else 0.05, "font": {"size": TEXT}},
        "xaxis": _size_axis(sizes, size),
        "yaxis": {"title": {"text": value_title(score), "font": {"size": TEXT}}},
        "template": {},
    }
    return go.Figure({"data": traces, "layout": layout})


def _size_axis(sizes: Sequence[float], title: str) -> dict:
    """A logarithmic axis with space for names at both ends and tick labels of equal size."""
    low, high = math.log10(min(sizes)), math.log10(max(sizes))
    beyond = 0.18 * max(high - low, 1)
    steps = (1, 2, 5) if high - low < 2 else (1,)
    ticks = [step * 10.0**power for power in range(math.floor(low) - 1, math.ceil(high) + 1) for step in steps]
    ticks = [tick for tick in ticks if low - beyond <= math.log10(tick) <= high + beyond]
    return {
        "type": "log",
        "range": [low - beyond, high + beyond],
        "tickvals": ticks,
        "ticktext": [f"{tick / 1000:g}k" if tick >= 1000 else f"{tick:g}" for tick in ticks],
        "title": {"text": title, "font": {"size": TEXT}},
    }
