"""Dark knowledge: mean soft targets as a heat map and as a similarity graph. First the numbers, then the figures."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import plotly.graph_objects as go

from distill_core.figures.palette import ROLES
from distill_core.statistics import format_probability

TEXT = 16  # px, the smallest size that can be read across a room
MIN_WIDTH, MAX_WIDTH = 3, 14  # px of a line in the graph
TICKS = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0)  # percent, on a logarithmic colour scale
FLOOR = 1e-5  # the lowest probability on a logarithmic colour scale


# --- the numbers ----------------------------------------------------------------------------------------------------


def shades(mean: np.ndarray, *, diagonal: bool, log: bool) -> np.ndarray:
    """Mean soft targets `(C, C)` as values on the colour scale: percent, or its logarithm to base 10; NaN is not drawn."""
    shown = mean.astype(float).copy()
    if not diagonal:
        np.fill_diagonal(shown, np.nan)
    return np.log10(100 * np.maximum(shown, FLOOR)) if log else 100 * shown


@dataclass(frozen=True)
class Edge:
    """One arrow of the similarity graph: the mean probability of class `end` on images of class `start`."""

    start: int
    end: int
    probability: float


def edges(mean: np.ndarray, *, per_class: int = 2) -> list[Edge]:
    """From each class `per_class` edges to its most similar other classes; weakest edge first, so that strong ones are drawn on top.

    A class without images has no edges.
    """
    others = mean.astype(float).copy()
    np.fill_diagonal(others, -1.0)
    result = []
    for start, row in enumerate(others):
        if np.isfinite(mean[start]).all():
            result += [Edge(start, int(end), float(row[end])) for end in np.argsort(-row, kind="stable")[: min(per_class, len(row) - 1)]]
    return sorted(result, key=lambda edge: edge.probability)


def circular_order(mean: np.ndarray) -> list[int]:
    """An order of the classes on a circle that puts similar classes next to each other. It is deterministic.

    Local search: reverse a section of the circle or swap two classes as long as that lowers the sum of similarity times
    steps apart.
    """
    c = len(mean)
    similarity = np.nan_to_num(mean + mean.T)
    steps = np.abs(np.subtract.outer(np.arange(c), np.arange(c)))
    steps = np.minimum(steps, c - steps)

    def length(order: list[int]) -> float:
        return float((similarity[np.ix_(order, order)] * steps).sum())

    best = list(range(c))
    improved = True
    while improved:
        improved = False
        for i, j in itertools.combinations(range(c), 2):
            for candidate in (best[:i] + best[i : j + 1][::-1] + best[j + 1 :], _swapped(best, i, j)):
                if length(candidate) < length(best) - 1e-12:
                    best, improved = candidate, True
        if c > 30:  # for the hundred classes of an uploaded set one pass is enough
            break
    first = best.index(0)
    return best[first:] + best[:first]


def _swapped(order: list[int], i: int, j: int) -> list[int]:
    swapped = list(order)
    swapped[i], swapped[j] = swapped[j], swapped[i]
    return swapped


def circle(order: Sequence[int]) -> np.ndarray:
    """The position of each class, `(C, 2)` on the unit circle: the first of `order` at the top, then clockwise."""
    positions = np.empty((len(order), 2))
    for step, index in enumerate(order):
        angle = math.pi / 2 - 2 * math.pi * step / len(order)
        positions[index] = math.cos(angle), math.sin(angle)
    return positions


def bend(start: np.ndarray, end: np.ndarray, *, gap: float, points: int = 40) -> np.ndarray:
    """A line `(points, 2)` from one class to another, curved to its right, so that the two directions are two lines.

    A distance of `gap` is left free at both ends.
    """
    direction = end - start
    middle = (start + end) / 2 + 0.2 * np.array([direction[1], -direction[0]])
    t = np.linspace(0, 1, 200)[:, None]
    curve = (1 - t) ** 2 * start + 2 * t * (1 - t) * middle + t**2 * end
    free = (np.linalg.norm(curve - start, axis=1) >= gap) & (np.linalg.norm(curve - end, axis=1) >= gap)
    curve = curve[free] if free.sum() > 1 else curve[90:110]
    return curve[np.linspace(0, len(curve) - 1, points).round().astype(int)]


def widths(edges: Sequence[Edge], *, widest: float) -> list[float]:
    """The width of each line in px, in proportion to its probability; `widest` is the probability of the thickest line."""
    return [max(MIN_WIDTH, MAX_WIDTH * edge.probability / widest) if widest > 0 else MIN_WIDTH for edge in edges]


BRIGHT = 0.47  # position on the colour scale Cividis above which black text, below which white text has a contrast of 4.5 : 1


def text_colours(mean: np.ndarray, z: np.ndarray, *, low: float, high: float) -> dict[str, list[tuple[int, int]]]:
    """The cells whose percentage is written (0.5 % or more), by the text colour that can be read on them."""
    position = (z - low) / (high - low)
    cells = [(int(i), int(j)) for i, j in np.argwhere(~np.isnan(z) & (100 * mean >= 0.5))]
    return {
        colour: [cell for cell in cells if (position[cell] > BRIGHT) == bright] for colour, bright in (("white", False), ("black", True))
    }


# --- the figures ----------------------------------------------------------------------------------------------------


def heat_map(
    mean: np.ndarray,
    class_names: Sequence[str],
    *,
    diagonal: bool = False,
    log: bool = False,
    minimum: float | None = None,
    maximum: float | None = None,
    height: int = 440,
) -> go.Figure:
    """Mean soft targets `(C, C)` as a heat map: one row per true class.

    `minimum` and `maximum` are the probabilities at the ends of the colour scale; by default those of the coloured cells. The
    linear scale starts at 0.
    """
    z = shades(mean, diagonal=diagonal, log=log)
    top = 100 * (maximum if maximum is not None else np.nanmax(np.where(np.isnan(z), -1, mean)))
    top = max(float(top), 1e-4)
    bottom = 100 * max(FLOOR, minimum if minimum is not None else float(np.nanmin(np.where(np.isnan(z), 1, mean))))
    low, high = (math.log10(min(bottom, top / 10)), math.log10(top)) if log else (0.0, top)
    names = list(class_names)
    hover = [[f"images of {a}, mean probability of {b}: {_percent(mean[i, j])}" for j, b in enumerate(names)] for i, a in enumerate(names)]
    figure = go.Figure(
        go.Heatmap(
            z=z, x=names, y=names, zmin=low, zmax=high, colorscale="Cividis", colorbar=_colour_bar(low, high, log=log),
            hovertext=hover, hovertemplate="%{hovertext}<extra></extra>", hoverongaps=False, xgap=1, ygap=1,
        )
    )  # fmt: skip
    if len(names) <= 12:
        for colour, cells in text_colours(mean, z, low=low, high=high).items():
            figure.add_trace(_percentages(mean, cells, names, colour))
    longest = max(len(name) for name in names)
    ticks = {"type": "category", "showgrid": False, "tickfont": {"size": TEXT}, "ticks": ""}
    figure.update_layout(
        height=height, font={"size": TEXT}, hoverlabel={"font": {"size": TEXT}}, template=None,
        margin={"l": 40 + 9 * min(longest, 12), "r": 8, "t": 42 + (24 if longest <= 2 else 9 * min(longest, 12)), "b": 56},
    )  # fmt: skip
    figure.update_xaxes(
        **ticks,
        title=_axis_title("mean probability of class"),
        side="top",
        tickangle=0 if longest <= 2 else -90,
        range=[-0.5, len(names) - 0.5],
    )
    figure.update_yaxes(**ticks, title=_axis_title("true class"), range=[len(names) - 0.5, -0.5])
    return figure


def _axis_title(text: str) -> dict:
    return {"text": text, "font": {"size": TEXT}, "standoff": 4}


def _colour_bar(low: float, high: float, *, log: bool) -> dict:
    """A colour bar below the heat map, in percent."""
    bar = {"orientation": "h", "y": -0.02, "yanchor": "top", "thickness": 14, "outlinewidth": 0, "tickfont": {"size": TEXT}, "len": 1.0}
    if not log:
        return {**bar, "ticksuffix": " %", "nticks": 4}
    ticks = TICKS if high - low < 1.7 else TICKS[::2]
    return {**bar, "tickvals": [math.log10(t) for t in ticks], "ticktext": [f"{t:g} %" for t in ticks]}


def _percentages(mean: np.ndarray, cells: Sequence[tuple[int, int]], names: Sequence[str], colour: str) -> go.Scatter:
    """The percentages of these cells, written in `colour`."""
    return go.Scatter(
        x=[names[j] for _, j in cells], y=[names[i] for i, _ in cells], mode="text", text=[f"{100 * mean[cell]:.0f}" for cell in cells],
        textfont={"size": TEXT, "color": colour}, hoverinfo="skip", showlegend=False,
    )  # fmt: skip


def similarity_graph(
    mean: np.ndarray,
    class_names: Sequence[str],
    *,
    order: Sequence[int],
    per_class: int = 2,
    widest: float | None = None,
    colour: str = ROLES["teacher"].light,
    height: int = 440,
) -> go.Figure:
    """A graph with `per_class` arrows from each class to its most similar classes.

    The width of an arrow is the mean probability; `widest` is the probability of the thickest.
    """
    arrows = edges(mean, per_class=per_class)
    widest = widest if widest is not None else max((edge.probability for edge in arrows), default=0.0)
    positions = circle(order)
    names = list(class_names)
    lines = [bend(positions[edge.start], positions[edge.end], gap=0.15 if len(names) <= 12 else 0.05) for edge in arrows]
    figure = go.Figure()
    for line, width in zip(lines, widths(arrows, widest=widest), strict=True):
        figure.add_trace(_arrow(line, width, colour))
    if arrows:
        figure.add_trace(_hover_points(arrows, lines, names, colour))
    figure.add_trace(
        go.Scatter(
            x=positions[:, 0], y=positions[:, 1], mode="markers+text" if len(names) <= 30 else "markers",
            text=[f" <b>{name}</b> " for name in names], textposition=[_outside(x, y) for x, y in positions],
            marker={"size": 12, "color": colour}, hovertext=names, hovertemplate="%{hovertext}<extra></extra>",
            textfont={"size": 24 if max(map(len, names)) <= 2 else TEXT}, showlegend=False, cliponaxis=False,
        )
    )  # fmt: skip
    longest = max(map(len, names))
    side = 1.2 if longest <= 2 else 1.7 if longest <= 6 else 2.15  # names are beside the circle and must fit on a phone
    figure.update_layout(
        height=height, font={"size": TEXT}, hoverlabel={"font": {"size": TEXT}}, margin={"l": 4, "r": 4, "t": 4, "b": 4},
        hovermode="closest", template=None,
    )  # fmt: skip
    figure.update_xaxes(visible=False, range=[-side, side])
    figure.update_yaxes(visible=False, range=[-1.2, 1.2], scaleanchor="x")
    return figure


def _hover_points(arrows: Sequence[Edge], lines: Sequence[np.ndarray], names: Sequence[str], colour: str) -> go.Scatter:
    """Invisible markers in the middle of the arrows, with their hover texts."""
    middles = [line[len(line) // 2] for line in lines]
    return go.Scatter(
        x=[m[0] for m in middles], y=[m[1] for m in middles], mode="markers", marker={"size": 24, "color": colour, "opacity": 0},
        hovertext=[f"images of {names[e.start]}, mean probability of {names[e.end]}: {_percent(e.probability)}" for e in arrows],
        hovertemplate="%{hovertext}<extra></extra>", showlegend=False,
    )  # fmt: skip


def _arrow(line: np.ndarray, width: float, colour: str) -> go.Scatter:
    """A line `(points, 2)` with an arrowhead at its last point."""
    heading = math.degrees(math.atan2(*(line[-1] - line[-6])))  # from north, clockwise, like a marker's angle
    return go.Scatter(
        x=line[:, 0], y=line[:, 1], mode="lines+markers", line={"color": colour, "width": width, "simplify": False},
        marker={
            "symbol": "triangle-up", "size": [0] * (len(line) - 1) + [14 + width], "angle": heading, "color": colour,
            "opacity": 1, "line": {"color": colour, "width": 0},
        },
        hoverinfo="skip", showlegend=False,
    )  # fmt: skip


def _outside(x: float, y: float) -> str:
    """The position of a name relative to its point: away from the centre of the circle."""
    if abs(x) < 0.35:
        return "top center" if y > 0 else "bottom center"
    return "middle right" if x > 0 else "middle left"


def _percent(probability: float) -> str:
    """A probability in percent; NaN is a class without images."""
    return "no image" if math.isnan(probability) else format_probability(probability)
