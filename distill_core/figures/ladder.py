"""The ladder as a chart: error against bytes of every rung, and the Pareto front."""

from __future__ import annotations

import math
from collections.abc import Sequence

import plotly.graph_objects as go

from distill_core.figures.palette import ROLES
from distill_core.figures.sweep.size import TEXT, pareto_front

NEAR = 0.04  # of an axis: markers and numbers of points that are nearer overlap
MOST_TICKS = 8
NAMES = {"teacher": "teacher, compressed too", "baseline": "recovered with labels only", "student": "student, compressed too"}


def role_of(row: dict) -> str:
    """In which style a rung is drawn."""
    if row["rung"].endswith("labels only"):
        return "baseline"
    return "teacher" if row["rung"].startswith("teacher") and "recovered" not in row["rung"] else "student"


def ladder_figure(rows: Sequence[dict]) -> go.Figure:
    """One point with its interval and its number for each rung; the line joins those than which no other is as small and as accurate.

    Both axes are logarithmic: a rung with 1 % of errors and one with 60 % stand in one chart. Up is better.
    """
    sizes, errors = [row["bytes"] / 1000 for row in rows], [100 - 100 * row["test_accuracy"] for row in rows]
    front = pareto_front(sizes, [-error for error in errors])
    line = {
        "type": "scatter", "uid": "front", "mode": "lines", "name": "Pareto front", "hoverinfo": "skip",
        "x": [sizes[i] for i in front], "y": [errors[i] for i in front],
        "line": {"color": ROLES["student"].light, "width": 3, "shape": "hv"},
    }  # fmt: skip
    traces = [line]
    for role, name in NAMES.items():
        chosen = [i for i, row in enumerate(rows) if role_of(row) == role]
        traces.append(
            {
                "type": "scatter", "uid": role, "mode": "markers+text", "name": name,
                "x": [sizes[i] for i in chosen], "y": [errors[i] for i in chosen],
                "text": _numbers(chosen, sizes, errors), "textposition": "middle right" if role == "student" else "middle left",
                "error_y": {
                    "type": "data", "symmetric": False, "thickness": 1.5,
                    "array": [100 - 100 * rows[i]["low"] - errors[i] for i in chosen],
                    "arrayminus": [errors[i] - 100 + 100 * rows[i]["high"] for i in chosen],
                },
                "marker": {"color": ROLES[role].light, "size": 12, "symbol": ROLES[role].symbol},
                "customdata": [f"{i + 1}, {rows[i]['rung']}: {100 * rows[i]['test_accuracy']:.2f} % correct" for i in chosen],
                "hovertemplate": "%{customdata}, %{x:,.3g} kB<extra></extra>",
            }
        )  # fmt: skip
    layout = {
        "height": 460,
        "margin": {"l": 64, "r": 20, "t": 30, "b": 60},
        "font": {"size": TEXT},
        "legend": {"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom", "font": {"size": TEXT}},
        "xaxis": {"type": "log", "title": {"text": "file (kB)", "font": {"size": TEXT}}, **_ticks(sizes)},
        "yaxis": {
            "type": "log", "autorange": "reversed", "title": {"text": "test errors (%)", "font": {"size": TEXT}},
            **_ticks([100 - 100 * row[end] for row in rows for end in ("low", "high")]),
        },
        "template": {},
    }  # fmt: skip
    return go.Figure({"data": traces, "layout": layout})


def _numbers(chosen: Sequence[int], sizes: Sequence[float], errors: Sequence[float]) -> list[str]:
    """The numbers of these rungs; where points of one style nearly coincide, the first has the numbers of all."""

    def is_near(i: int, j: int) -> bool:
        shares = (math.log(axis[i] / axis[j]) / math.log(max(axis) / min(axis)) for axis in (sizes, errors) if max(axis) > min(axis))
        return all(abs(share) < NEAR for share in shares)

    groups: dict[int, list[int]] = {}
    for i in chosen:
        first = next((j for j in groups if is_near(i, j)), i)
        groups.setdefault(first, []).append(i + 1)
    return [f" {', '.join(map(str, groups.get(i, [])))} " for i in chosen]


def _ticks(values: Sequence[float]) -> dict:
    """The powers of ten around the values, with as many steps between them as there is room for."""
    for steps in ((1, 1.5, 2, 3, 4, 5, 7), (1, 2, 5), (1,)):
        ticks = [step * 10.0**power for power in range(-2, 6) for step in steps]
        low = max((tick for tick in ticks if tick <= min(values)), default=ticks[0])
        high = min((tick for tick in ticks if tick >= max(values)), default=ticks[-1])
        shown = [tick for tick in ticks if low <= tick <= high]
        if len(shown) <= MOST_TICKS:
            break
    return {"tickvals": shown, "ticktext": [f"{tick:,g}" for tick in shown]}
