"""The figures of a sweep: the heat map of its cells, the curves of one cell, and a slice along one axis."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import plotly.graph_objects as go

from distill_core.figures.palette import OTHERS, ROLES
from distill_core.figures.sweep.numbers import Cells, best_cell
from distill_core.figures.sweep.units import digits, format_gain, format_interval, format_value_of, gain_title, limits, value_title
from distill_core.figures.sweep.words import axis_title, tick_labels
from distill_core.statistics import ACCURACY, BITS, Score, format_points

TEXT = 16  # px, the smallest size that can be read across a room
HALF = 0.46  # half the side of a cell inside its border, in cells


def sweep_figure(cells: Cells, *, x: str, xs: Sequence, y: str, ys: Sequence, height: int = 460, limit: float | None = None) -> go.Figure:
    """The difference in every cell, as a number and a colour; cells whose interval includes zero are hatched.

    Blue is better than the baseline, vermillion worse. `limit`: the difference at which the colours end, in points, or in bits a
    character; by default a round number above the largest.
    """
    limit = limit or colour_limit(cells)
    layout = {
        "height": height,
        "margin": {"l": _left_margin(y, ys) if len(ys) > 1 else 6, "r": 6, "t": 6, "b": 54},
        "font": {"size": TEXT},
        "hoverlabel": {"font": {"size": TEXT}, "align": "left"},
        "xaxis": _axis(x, xs, cells),
        "yaxis": {**_axis(y, ys, cells), "visible": len(ys) > 1},
        "template": {},
    }
    common = {"type": "scatter", "hoverinfo": "skip", "showlegend": False}
    traces = [
        _colours(cells, limit),
        {**common, "uid": "hatches", "mode": "lines", **_hatches(cells)},
        {**common, "uid": "values", "mode": "text", **_values(cells)},
        {**common, "uid": "best", "mode": "lines", **_frame(cells)},
    ]
    return go.Figure({"data": traces, "layout": layout})


def colour_limit(*sweeps: Cells) -> float:
    """The end of the colour scale: a round number above the largest difference of all sweeps, which have one unit."""
    largest = max((float(np.nanmax(np.abs(one.difference))) for one in sweeps if not np.isnan(one.difference).all()), default=0.0)
    ends = limits(sweeps[0].score)
    return next((limit for limit in ends if limit >= largest), ends[-1])


def _left_margin(axis: str, values: Sequence) -> int:
    """Pixels for the longest tick label and the title of the vertical axis."""
    return 34 + 8 * max(map(len, tick_labels(axis, values)))


def _axis(axis: str, values: Sequence, cells: Cells) -> dict:
    labels = tick_labels(axis, values)
    return {
        "title": {"text": axis_title(axis, cells), "font": {"size": TEXT}, "standoff": 8},
        "tickvals": list(range(len(values))),
        "ticktext": labels,
        "range": [-0.5, len(values) - 0.5],
        "showgrid": False,
        "zeroline": False,
        "automargin": max(map(len, labels)) > 6,  # long labels are turned where there is little space
        "autotickangles": [0, -45, -90],
    }


def _colours(cells: Cells, limit: float) -> dict:
    """The heat map; `customdata` is the number of each cell."""
    rows, columns = cells.difference.shape
    return {
        "type": "heatmap",
        "uid": "difference",
        "name": gain_title(cells.score),
        "z": np.where(np.isnan(cells.difference), None, cells.difference).tolist(),
        "zmin": -limit,
        "zmax": limit,
        "colorscale": [[0, "rgba(213,94,0,0.9)"], [0.5, "rgba(128,128,128,0.06)"], [1, "rgba(0,114,178,0.9)"]],
        "customdata": [[row * columns + column for column in range(columns)] for row in range(rows)],
        "text": [[_hover(cells, (row, column)) for column in range(columns)] for row in range(rows)],
        "hovertemplate": "%{text}<extra></extra>",
        "xgap": 3,
        "ygap": 3,
        "showscale": False,
    }


def _hover(cells: Cells, position: tuple[int, int]) -> str:
    """The hover text of one cell."""
    if np.isnan(cells.difference[position]):
        return "not tested yet"
    score, low, high = cells.score, cells.low[position], cells.high[position]
    unclear = "<br>interval includes zero" if low <= 0 <= high else ""
    gain = "gain " if score is BITS else ""
    numbers = f"{gain}{format_gain(score, cells.difference[position], more=1)} ({format_interval(score, low, high, more=1)})"
    reached = ", ".join(f"{name} {format_value_of(score, getattr(cells, name)[position])}" for name in ("student", "baseline"))
    held_out = "windows" if score is BITS else "images"
    validated = f"<br>on validation {held_out} {format_gain(score, cells.gain[position], more=1)}" if cells.validated else ""
    return f"{reached}<br>{numbers}{unclear}{validated}"


def _values(cells: Cells) -> dict:
    """The number written in each cell."""
    rows, columns = cells.difference.shape
    positions = [(column, row) for row in range(rows) for column in range(columns)]
    return {
        "x": [column for column, _ in positions],
        "y": [row for _, row in positions],
        "text": [
            "" if np.isnan(cells.difference[row, column]) else format_points(cells.difference[row, column], digits(cells.score))
            for column, row in positions
        ],
        "textfont": {"size": TEXT if columns > 8 else TEXT + 3},
    }


def _hatches(cells: Cells, *, lines: int = 5) -> dict:
    """Diagonal lines above and below the number of every cell whose interval includes zero, as one broken line."""
    xs: list[float | None] = []
    ys: list[float | None] = []
    for row, column in zip(*np.nonzero(~np.isnan(cells.difference) & ~cells.clear), strict=True):
        for offset in np.linspace(-0.7, 0.7, lines):  # the line y = x + offset, cut at the borders of the cell and at its number
            for low, high in ((-HALF, -0.2), (0.2, HALF)):
                left, right = max(-HALF, low - offset), min(HALF, high - offset)
                if left < right:
                    xs += [column + left, column + right, None]
                    ys += [row + left + offset, row + right + offset, None]
    return {"x": xs, "y": ys, "line": {"width": 1.5, "color": "rgba(128,128,128,0.8)"}}


def _frame(cells: Cells) -> dict:
    """A frame around the best cell, chosen by `Cells.gain`; empty while there is none."""
    line = {"width": 4, "color": OTHERS[1].light}
    if np.isnan(cells.difference).all():
        return {"x": [], "y": [], "line": line}
    row, column = best_cell(cells)
    return {
        "x": [column + right * HALF for right in (-1, 1, 1, -1, -1)],
        "y": [row + up * HALF for up in (-1, -1, 1, 1, -1)],
        "line": line,
    }


def cell_figure(*, epochs: float, height: int = 460, between: tuple[float, float] = (0.0, 100.0), score: Score = ACCURACY) -> go.Figure:
    """The curves of one cell, still empty; `cell_lines` has their data. `between`: the ends of the vertical axis."""
    traces, number = [], "%{y:.3f} bits" if score is BITS else "%{y:.1f} %"
    for member in ("student", "baseline"):
        style = ROLES[member]
        traces.append(
            {
                "type": "scatter",
                "uid": member,
                "name": member,
                "mode": "lines+markers",
                "x": [],
                "y": [],
                "line": {"color": style.light, "width": 4, "dash": style.dash},
                "marker": {"color": style.light, "size": 9, "symbol": style.symbol},
                "hovertemplate": f"{member} {number}<extra></extra>",
            }
        )
    layout = {
        "height": height,
        "margin": {"l": 56, "r": 14, "t": 40, "b": 54},
        "font": {"size": TEXT},
        "title": {"text": "", "font": {"size": TEXT}, "x": 0.02},
        "legend": {"x": 0.98, "xanchor": "right", **_legend_corner(score), "font": {"size": TEXT}},
        "xaxis": {"range": [0, 1.03 * epochs], "title": {"text": "epoch", "font": {"size": TEXT}}},
        "yaxis": {"range": list(between), "title": {"text": value_title(score), "font": {"size": TEXT}}},
        "template": {},
    }
    return go.Figure({"data": traces, "layout": layout})


def _legend_corner(score: Score) -> dict:
    """Where curves of accuracies, which rise, or of bits, which fall, leave room."""
    return {"y": 0.98, "yanchor": "top"} if score is BITS else {"y": 0.02, "yanchor": "bottom"}


def slice_figure(cells: Cells, *, axis: str, values: Sequence, row: int | None = None, column: int | None = None) -> go.Figure:
    """One row or one column of the sweep: the difference with its interval against the axis that varies."""
    cut = (row, slice(None)) if row is not None else (slice(None), column)
    difference, low, high = (part[cut] for part in (cells.difference, cells.low, cells.high))
    style = ROLES["student"]
    trace = {
        "type": "scatter",
        "uid": "difference",
        "mode": "lines+markers",
        "x": list(range(len(values))),
        "y": np.where(np.isnan(difference), None, difference).tolist(),
        "error_y": {
            "type": "data",
            "array": np.nan_to_num(high - difference).tolist(),
            "arrayminus": np.nan_to_num(difference - low).tolist(),
            "thickness": 3,
        },
        "line": {"color": style.light, "width": 4},
        "marker": {"color": style.light, "size": 10, "symbol": style.symbol},
        "hovertemplate": f"%{{y:+.{cells.score.digits}f}} {cells.score.unit}<extra></extra>",
    }
    layout = {
        "height": 300,
        "margin": {"l": 60, "r": 10, "t": 10, "b": 60},
        "font": {"size": TEXT},
        "xaxis": {**_axis(axis, values, cells), "showgrid": True},
        "yaxis": {"title": {"text": gain_title(cells.score), "font": {"size": TEXT}}, "zeroline": True, "zerolinewidth": 3},
        "template": {},
    }
    return go.Figure({"data": [trace], "layout": layout})
