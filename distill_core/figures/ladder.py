"""The ladder as a chart: accuracy against bytes of every rung, and the Pareto front."""

from __future__ import annotations

from collections.abc import Sequence

import plotly.graph_objects as go

from distill_core.figures.palette import ROLES
from distill_core.figures.sweep.size import TEXT, pareto_front


def ladder_figure(rows: Sequence[dict]) -> go.Figure:
    """One point with its interval for each rung; the line joins those than which no other is as small and at least as accurate."""
    sizes, accuracies = [row["bytes"] / 1000 for row in rows], [100 * row["test_accuracy"] for row in rows]
    front, style = pareto_front(sizes, accuracies), ROLES["student"]
    line = {
        "type": "scatter", "uid": "front", "mode": "lines", "name": "Pareto front", "hoverinfo": "skip",
        "x": [sizes[i] for i in front], "y": [accuracies[i] for i in front], "line": {"color": style.light, "width": 3, "shape": "hv"},
    }  # fmt: skip
    groups = {"teacher": lambda row: row["rung"] == "teacher", "baseline": lambda row: row["rung"].endswith("labels only")}
    traces = [line]
    for role, name in (("teacher", "teacher"), ("baseline", "recovered with labels only"), ("student", "student")):
        chosen = [
            i for i, row in enumerate(rows) if (groups[role](row) if role in groups else not any(test(row) for test in groups.values()))
        ]
        traces.append(
            {
                "type": "scatter", "uid": role, "mode": "markers", "name": name,
                "x": [sizes[i] for i in chosen], "y": [accuracies[i] for i in chosen],
                "error_y": {
                    "type": "data", "symmetric": False, "thickness": 1.5,
                    "array": [100 * rows[i]["high"] - accuracies[i] for i in chosen],
                    "arrayminus": [accuracies[i] - 100 * rows[i]["low"] for i in chosen],
                },
                "marker": {"color": ROLES[role].light, "size": 12, "symbol": ROLES[role].symbol},
                "customdata": [rows[i]["rung"] for i in chosen],
                "hovertemplate": "%{customdata}: %{y:.2f} %, %{x:,.3g} kB<extra></extra>",
            }
        )  # fmt: skip
    layout = {
        "height": 420,
        "margin": {"l": 64, "r": 20, "t": 30, "b": 60},
        "font": {"size": TEXT},
        "legend": {"x": 0.99, "xanchor": "right", "y": 0.03, "yanchor": "bottom", "font": {"size": TEXT}},
        "xaxis": {"type": "log", "title": {"text": "file (kB)", "font": {"size": TEXT}}},
        "yaxis": {"title": {"text": "test accuracy (%)", "font": {"size": TEXT}}},
        "template": {},
    }
    return go.Figure({"data": traces, "layout": layout})
