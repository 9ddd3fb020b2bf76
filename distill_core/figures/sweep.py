"""A map of students, cell by cell: first the numbers (`cells`), the words, then the pictures."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import plotly.graph_objects as go
from scipy import special

from distill_core.figures.palette import OTHERS, ROLES

TEXT = 16  # px
STEPS = (0.5, 1, 2, 3, 5, 10, 20, 50, 100)  # points at which the colours end
NAMES = {
    "temperature": "temperature T",
    "alpha": "alpha, the weight of the hard loss",
    "student": "student",
    "images": "images",
    "label_noise": "share of wrong labels",
    "teacher": "teacher",
    "method": "method",
}

History = Mapping[tuple[int, str], Sequence[tuple[float, float]]]  # (race, member) to its (epoch, test accuracy)


@dataclass(frozen=True, eq=False)
class Cells:
    """Arrays `(rows, columns)`: accuracies in percent, their paired difference in points with its interval, and the epoch.

    NaN where nothing was measured yet.
    """

    student: np.ndarray
    baseline: np.ndarray
    difference: np.ndarray
    low: np.ndarray
    high: np.ndarray
    epoch: np.ndarray

    @property
    def clear(self) -> np.ndarray:
        """Where the interval leaves zero out: `(rows, columns)` of True and False."""
        return (self.low > 0) | (self.high < 0)


# --- the numbers ----------------------------------------------------------------------------------------------------


def cells(history: History, *, rows: int, columns: int, seeds: int, test_images: int, level: float = 0.95) -> Cells:
    """The cells as they stand: each at the last epoch at which all of its students were tested.

    The race of row r, column c and seed s is number `(r * columns + c) * seeds + s`. The interval is Student's t of the
    paired differences from two seeds on; one seed has only its test images to go by (two proportions). It reaches at
    least one test image to either side: a few seeds that happen to agree know no more than that.
    """
    found = np.full((6, rows, columns), np.nan)
    for row in range(rows):
        for column in range(columns):
            first = (row * columns + column) * seeds
            curves = [[dict(history.get((first + seed, member), ())) for seed in range(seeds)] for member in ("student", "baseline")]
            common = set.intersection(*(set(curve) for side in curves for curve in side))
            if common:
                last = max(common)
                student, baseline = (100 * np.array([curve[last] for curve in side]) for side in curves)
                found[:, row, column] = student.mean(), baseline.mean(), *_difference(student, baseline, test_images, level), last
    return Cells(*found)


def _difference(student: np.ndarray, baseline: np.ndarray, test_images: int, level: float) -> tuple[float, float, float]:
    differences = student - baseline
    n = len(differences)
    if n > 1:
        half = special.stdtrit(n - 1, (1 + level) / 2) * differences.std(ddof=1) / math.sqrt(n)
    else:
        half = special.ndtri((1 + level) / 2) * math.sqrt(sum(float(p * (100 - p)) for (p,) in (student, baseline)) / test_images)
    half = max(half, 100 / test_images)
    return float(differences.mean()), float(differences.mean() - half), float(differences.mean() + half)


def around(row: int, column: int, shape: tuple[int, int]) -> list[tuple[int, int]]:
    """The cells that touch this one, corners too."""
    beside = [(row + down, column + right) for down in (-1, 0, 1) for right in (-1, 0, 1) if down or right]
    return [(r, c) for r, c in beside if 0 <= r < shape[0] and 0 <= c < shape[1]]


def words(found: Cells, *, x: str, xs: Sequence, y: str, ys: Sequence) -> str:
    """What the map says: its best cell with the interval, that cell's neighbours, and how much of the map is noise."""
    if np.isnan(found.difference).all():
        return "The first cells appear in a moment."
    row, column = best_cell(found)
    beside = np.array([found.difference[place] for place in around(row, column, found.difference.shape)])
    beside = beside[~np.isnan(beside)]
    clear, total = int(found.clear.sum()), int((~np.isnan(found.difference)).sum())
    hurt = int((found.high < 0).sum())
    name, best = best_in_words(found, x=x, xs=xs, y=y, ys=ys)
    said = f"**Best cell: {name}**: {best}"
    said += f"; its neighbours have {beside.mean():+.1f} on average.\n\n" if len(beside) else ".\n\n"
    said += f"In {clear or 'none'} of {total} cells the difference is more than noise"
    said += f" (about {total / 20:.0f} would be by luck alone)" if total >= 20 else ""
    said += f"; in {hurt} of them the teacher hurts. " if hurt else ". "
    if total > 1:
        said += "The best of many owes something to luck: trust a cell whose neighbours agree."
    return said.replace(" -", " \u2212")


def best_in_words(found: Cells, *, x: str, xs: Sequence, y: str, ys: Sequence) -> tuple[str, str]:
    """Which cell is best, and by how much."""
    row, column = best_cell(found)
    name = ", ".join(f"{label(axis)} {shown(values[i])}" for axis, values, i in ((x, xs, column), (y, ys, row)) if len(values) > 1)
    best, low, high = (values[row, column] for values in (found.difference, found.low, found.high))
    said = f"{best:+.1f} points over its baseline (95 % interval {low:+.1f} to {high:+.1f})"
    return name or "the only one", said.replace("-", "\u2212")


def best_cell(found: Cells) -> tuple[int, int]:
    """Row and column of the largest difference."""
    row, column = np.unravel_index(np.nanargmax(found.difference), found.difference.shape)
    return int(row), int(column)


LEGEND = "Blue: above the baseline, in points; orange: below it; hatched: inside the noise; framed: the best cell."


def best_along(found: Cells, *, x: str, xs: Sequence, y: str, ys: Sequence) -> str:
    """For each row the column that did best: how the best temperature moves with the width, for one."""
    if len(xs) < 2 or len(ys) < 2 or np.isnan(found.difference).any():
        return ""
    names, columns = shown_on(y, ys), shown_on(x, xs)
    best = [f"{columns[int(np.argmax(found.student[row]))]} at {label(y)} {name}" for row, name in enumerate(names)]
    return f"The best {label(x)} is {', '.join(best)}."


def label(axis: str) -> str:
    """An axis in as few words as a sentence needs."""
    return {"temperature": "T", "label_noise": "wrong labels", "student": "student"}.get(axis, axis)


def shown(value: object) -> str:
    """A value as it stands at an axis."""
    return f"{value:,g}" if isinstance(value, int | float) and not isinstance(value, bool) else str(value)


def shown_on(axis: str, values: Sequence) -> list[str]:
    """All values of an axis; no images means all of them."""
    return ["all" if axis == "images" and value == 0 else shown(value) for value in values]


# --- the pictures ---------------------------------------------------------------------------------------------------


def map_figure(found: Cells, *, x: str, xs: Sequence, y: str, ys: Sequence, height: int = 460, widest: float | None = None) -> go.Figure:
    """The difference in every cell, written and coloured; cells inside the noise are hatched.

    Blue where the student is above its baseline, vermillion where it is below. `widest`: where the colours end, in
    points; by default a round number above the largest difference.
    """
    rows, columns = found.difference.shape
    most = widest or extent(found)
    said = [[points(value) if not np.isnan(value) else "" for value in row] for row in found.difference]
    places = [(column, row) for row in range(rows) for column in range(columns)]
    traces = [
        {
            "type": "heatmap",
            "uid": "difference",
            "z": np.where(np.isnan(found.difference), None, found.difference).tolist(),
            "zmin": -most,
            "zmax": most,
            "colorscale": [[0, "rgba(213,94,0,0.9)"], [0.5, "rgba(128,128,128,0.06)"], [1, "rgba(0,114,178,0.9)"]],
            "customdata": [[row * columns + column for column in range(columns)] for row in range(rows)],
            "text": _tellings(found),
            "hovertemplate": "%{text}<extra></extra>",
            "xgap": 3,
            "ygap": 3,
            "showscale": False,
        },
        {"type": "scatter", "uid": "hatches", "mode": "lines", "hoverinfo": "skip", "showlegend": False, **_hatches(found)},
        {
            "type": "scatter",
            "uid": "values",
            "mode": "text",
            "x": [column for column, _ in places],
            "y": [row for _, row in places],
            "text": [said[row][column] for column, row in places],
            "textfont": {"size": TEXT if columns > 8 else TEXT + 3},
            "hoverinfo": "skip",
            "showlegend": False,
        },
        {"type": "scatter", "uid": "best", "mode": "lines", "hoverinfo": "skip", "showlegend": False, **_frame(found)},
    ]
    layout = {
        "height": height,
        "margin": {"l": _beside(y, ys) if len(ys) > 1 else 6, "r": 6, "t": 6, "b": 54},
        "font": {"size": TEXT},
        "hoverlabel": {"font": {"size": TEXT}, "align": "left"},
        "xaxis": _axis(x, xs),
        "yaxis": {**_axis(y, ys), "visible": len(ys) > 1},
        "template": {},
    }
    return go.Figure({"data": traces, "layout": layout})


def extent(*maps: Cells) -> float:
    """Where the colours end: a round number above the largest difference of all maps."""
    largest = max((float(np.nanmax(np.abs(m.difference))) for m in maps if not np.isnan(m.difference).all()), default=0.0)
    return next((step for step in STEPS if step >= largest), STEPS[-1])


def points(value: float) -> str:
    """A difference as it stands in its cell."""
    return f"{value:+.1f}".replace("-", "\u2212") if round(value, 1) else "0.0"


def _beside(axis: str, values: Sequence) -> int:
    """Pixels that the longest name of a value and the axis's own take up at the left."""
    return 34 + 8 * max(map(len, shown_on(axis, values)))


def _axis(axis: str, values: Sequence) -> dict:
    places = list(range(len(values)))
    return {
        "title": {"text": NAMES[axis], "font": {"size": TEXT}, "standoff": 8},
        "tickvals": places,
        "ticktext": shown_on(axis, values),
        "range": [-0.5, len(values) - 0.5],
        "showgrid": False,
        "zeroline": False,
        "automargin": max(map(len, shown_on(axis, values))) > 6,  # where there is little room, long names are turned
        "autotickangles": [0, -45, -90],
    }


def _tellings(found: Cells) -> list[list[str]]:
    """What each cell tells under the pointer."""

    def tell(place: tuple[int, int]) -> str:
        if np.isnan(found.difference[place]):
            return "not yet"
        noise = "" if found.clear[place] else "<br>inside the noise"
        numbers = f"{found.difference[place]:+.2f} points ({found.low[place]:+.2f} to {found.high[place]:+.2f})".replace("-", "\u2212")
        return f"student {found.student[place]:.2f} %, baseline {found.baseline[place]:.2f} %<br>{numbers}{noise}"

    rows, columns = found.difference.shape
    return [[tell((row, column)) for column in range(columns)] for row in range(rows)]


def _hatches(found: Cells, *, lines: int = 5) -> dict:
    """Slanting lines above and below the number of every cell inside the noise, as one broken line."""
    xs: list[float | None] = []
    ys: list[float | None] = []
    for row, column in zip(*np.nonzero(~np.isnan(found.difference) & ~found.clear), strict=True):
        for offset in np.linspace(-0.7, 0.7, lines):  # the line y = x + offset, cut at the borders of the cell and at its number
            for low, high in ((-0.46, -0.2), (0.2, 0.46)):
                left, right = max(-0.46, low - offset), min(0.46, high - offset)
                if left < right:
                    xs += [column + left, column + right, None]
                    ys += [row + left + offset, row + right + offset, None]
    return {"x": xs, "y": ys, "line": {"width": 1.5, "color": "rgba(128,128,128,0.8)"}}


def _frame(found: Cells) -> dict:
    """A frame around the best cell, once there is one."""
    line = {"width": 4, "color": OTHERS[1].light}
    if np.isnan(found.difference).all():
        return {"x": [], "y": [], "line": line}
    row, column = best_cell(found)
    side = 0.46
    return {
        "x": [column + right * side for right in (-1, 1, 1, -1, -1)],
        "y": [row + up * side for up in (-1, -1, 1, 1, -1)],
        "line": line,
    }


def cell_figure(*, epochs: float, height: int = 460, lowest: float = 0.0) -> go.Figure:
    """The frame of one cell's curves; `cell_lines` fills it."""
    traces = []
    for member in ("student", "baseline"):
        look = ROLES[member]
        traces.append(
            {
                "type": "scatter",
                "uid": member,
                "name": member,
                "mode": "lines+markers",
                "x": [],
                "y": [],
                "line": {"color": look.light, "width": 4, "dash": look.dash},
                "marker": {"color": look.light, "size": 9, "symbol": look.symbol},
                "hovertemplate": f"{member} %{{y:.1f}} %<extra></extra>",
            }
        )
    layout = {
        "height": height,
        "margin": {"l": 56, "r": 14, "t": 40, "b": 54},
        "font": {"size": TEXT},
        "title": {"text": "", "font": {"size": TEXT}, "x": 0.02},
        "legend": {"x": 0.98, "xanchor": "right", "y": 0.02, "yanchor": "bottom", "font": {"size": TEXT}},
        "xaxis": {"range": [0, 1.03 * epochs], "title": {"text": "epoch", "font": {"size": TEXT}}},
        "yaxis": {"range": [lowest, 100], "title": {"text": "test accuracy (%)", "font": {"size": TEXT}}},
        "template": {},
    }
    return go.Figure({"data": traces, "layout": layout})


def cell_lines(history: History, grid_place: tuple[int, int], *, columns: int, seeds: int) -> dict[str, list[list[float]]]:
    """Mean curves of one cell over its seeds: `{member: [epochs, percents]}`."""
    first = (grid_place[0] * columns + grid_place[1]) * seeds
    lines = {}
    for member in ("student", "baseline"):
        curves = [dict(history.get((first + seed, member), ())) for seed in range(seeds)]
        epochs = sorted(set.intersection(*map(set, curves)))
        lines[member] = [epochs, [round(100 * sum(curve[epoch] for curve in curves) / seeds, 2) for epoch in epochs]]
    return lines


def slice_figure(found: Cells, *, axis: str, values: Sequence, row: int | None = None, column: int | None = None) -> go.Figure:
    """One row or one column of the map: the difference with its interval against the axis that varies."""
    cut = (row, slice(None)) if row is not None else (slice(None), column)
    difference, low, high = (part[cut] for part in (found.difference, found.low, found.high))
    look, ticks = ROLES["student"], shown_on(axis, values)
    return go.Figure(
        {
            "data": [
                {
                    "type": "scatter",
                    "uid": "difference",
                    "mode": "lines+markers",
                    "x": list(range(len(ticks))),
                    "y": np.where(np.isnan(difference), None, difference).tolist(),
                    "error_y": {
                        "type": "data",
                        "array": (high - difference).tolist(),
                        "arrayminus": (difference - low).tolist(),
                        "thickness": 3,
                    },
                    "line": {"color": look.light, "width": 4},
                    "marker": {"color": look.light, "size": 10, "symbol": look.symbol},
                    "hovertemplate": "%{y:+.2f} points<extra></extra>",
                }
            ],
            "layout": {
                "height": 300,
                "margin": {"l": 60, "r": 10, "t": 10, "b": 60},
                "font": {"size": TEXT},
                "xaxis": {**_axis(axis, values), "showgrid": True},
                "yaxis": {"title": {"text": "points over the baseline", "font": {"size": TEXT}}, "zeroline": True, "zerolinewidth": 3},
                "template": {},
            },
        }
    )


def pareto_front(sizes: Sequence[float], accuracies: Sequence[float]) -> list[int]:
    """Which students no other beats in both: none is smaller and at least as good. Their places, smallest first."""
    front, best = [], -math.inf
    for place in sorted(range(len(sizes)), key=lambda i: (sizes[i], -accuracies[i])):
        if accuracies[place] > best:
            front.append(place)
            best = accuracies[place]
    return front


def front_figure(sizes: Sequence[float], sides: Mapping[str, Sequence[float]], names: Sequence[str], *, size: str) -> go.Figure:
    """Accuracy in percent against size for each role, and a line along the front of what nothing beats."""
    traces = []
    highest = [max(sides, key=lambda member: sides[member][i]) for i in range(len(sizes))]  # which role each name stands above
    for member, accuracies in sides.items():
        look = ROLES[member]
        front = pareto_front(sizes, accuracies)
        common = {"name": member, "legendgroup": member}
        traces += [
            {
                "type": "scatter",
                "uid": f"{member} front",
                "mode": "lines",
                "x": [sizes[i] for i in front],
                "y": [accuracies[i] for i in front],
                "line": {"color": look.light, "width": 4, "dash": look.dash, "shape": "hv"},
                "hoverinfo": "skip",
                "showlegend": False,
                **common,
            },
            {
                "type": "scatter",
                "uid": member,
                "mode": "markers+text",
                "x": list(sizes),
                "y": list(accuracies),
                "text": [name if above == member else "" for name, above in zip(names, highest, strict=True)],
                "textposition": "top center",
                "marker": {"color": look.light, "size": 13, "symbol": look.symbol},
                "customdata": list(names),
                "hovertemplate": "%{customdata}: %{y:.2f} %<extra></extra>",
                **common,
            },
        ]
    layout = {
        "height": 420,
        "margin": {"l": 64, "r": 30, "t": 30, "b": 60},
        "font": {"size": TEXT},
        "legend": {"x": 0.98, "xanchor": "right", "y": 0.05, "font": {"size": TEXT}},
        "xaxis": _sizes(sizes, size),
        "yaxis": {"title": {"text": "test accuracy (%)", "font": {"size": TEXT}}},
        "template": {},
    }
    return go.Figure({"data": traces, "layout": layout})


def _sizes(sizes: Sequence[float], title: str) -> dict:
    """A logarithmic axis with room for names at both ends, and numbers that are as large as all others."""
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
