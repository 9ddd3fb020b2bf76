"""The comparison of all methods, the inputs of each loss, and the graph of who teaches whom."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import plotly.graph_objects as go

from distill_core.figures.palette import OTHERS, ROLES, TEXT_COLOUR, hatched, style_of

TEXT = 16  # px
ROW = 34  # px per method
LEGEND = 50  # px of the legend below a figure
MARK = 26  # px, the diameter of a network's marker
COLOUR_SCALE = "Cividis"  # made for colour-blind readers

COMPARED_WITH = {"baseline": "the baseline", "soft-targets": "soft targets"}  # what all rows of the comparison are compared with

# By the sign of a difference that is clear after Holm's correction (1 above, -1 below), or is not (0).
STYLES = {1: ROLES["student"], 0: OTHERS[1], -1: ROLES["baseline"]}
LABELS = {1: "clearly above", 0: "not clear", -1: "clearly below"}


def ranked(rows: Sequence[dict], reference: str, kind: str = "method") -> list[dict]:
    """The rows of a kind that have a difference from the reference, from the highest difference to the lowest.

    `rows`: those of `comparison.differences`; `reference`: `baseline` or `soft-targets`.
    """
    found = [row for row in rows if row["kind"] == kind and reference in row["against"]]
    return sorted(found, key=lambda row: -row["against"][reference]["difference"])


def points(difference: dict) -> str:
    """A difference with its interval, as text."""
    return f"{difference['difference']:+.2f} points ({difference['low']:+.2f} to {difference['high']:+.2f})".replace("-", "\u2212")


def comparison_figure(rows: Sequence[dict], reference: str, *, marked: str = "") -> go.Figure:
    """One line per row: the mean difference from the reference as a point with its 95 % interval, in the order of `rows`.

    `rows`: those of `ranked`; `marked`: the name of the method to set in bold.
    """
    shown = list(rows)[::-1]
    figure = go.Figure()
    for sign in STYLES:
        figure.add_trace(_differences([row for row in shown if row["against"][reference]["sign"] == sign], reference, sign, marked))
    figure.update_layout(
        font={"size": TEXT}, height=110 + ROW * len(shown), margin={"l": 10, "r": 20, "t": 10, "b": 90}, showlegend=True,
        legend={"orientation": "h", "y": 0, "yref": "container", "yanchor": "bottom"}, hoverlabel={"font": {"size": TEXT}},
    )  # fmt: skip
    low, high = _range([row["against"][reference] for row in shown])
    for row in shown:
        if row["against"][reference]["difference"] < low:
            text = f"\u25c0 far below: {points(row['against'][reference])}"
            figure.add_annotation(x=low, y=_name(row, marked), text=text, xanchor="left", showarrow=False, font={"size": TEXT})
    title = f"student minus {COMPARED_WITH[reference]} (points)"
    figure.update_xaxes(title=title, range=[low, high], zeroline=True, zerolinewidth=3, automargin=True)
    figure.update_yaxes(categoryorder="array", categoryarray=[_name(row, marked) for row in shown], automargin=True)
    return figure


def _differences(rows: Sequence[dict], reference: str, sign: int, marked: str) -> go.Scatter:
    """The points and intervals of the rows with this sign."""
    style, found = STYLES[sign], [row["against"][reference] for row in rows]
    return go.Scatter(
        x=[one["difference"] for one in found], y=[_name(row, marked) for row in rows], mode="markers", name=LABELS[sign],
        error_x={
            "type": "data", "symmetric": False, "thickness": 4, "width": 6, "color": style.light,
            "array": [one["high"] - one["difference"] for one in found],
            "arrayminus": [one["difference"] - one["low"] for one in found],
        },
        marker={"color": style.light, "symbol": style.symbol, "size": 13},
        customdata=[
            [points(one), one["p_value"], float(np.mean(row["students"])), row["step_ms"], row["step_mb"]]
            for row, one in zip(rows, found, strict=True)
        ],
        hovertemplate="%{customdata[0]}, corrected p-value %{customdata[1]:.2g}<br>test accuracy %{customdata[2]:.2f} %<br>"
        "%{customdata[3]:.1f} ms and %{customdata[4]:.1f} MB per step<extra></extra>",
    )  # fmt: skip


def _range(differences: Sequence[dict]) -> tuple[float, float]:
    """The range of the axis: all intervals, except those so far below zero that the others could not be told apart."""
    high = max((max(one["high"], 0.0) for one in differences), default=1.0)
    near = [one["low"] for one in differences if one["low"] > -5 * max(high, 1.0)]
    low = min([0.0, *near])
    edge = 0.05 * max(high - low, 1e-3)
    return low - edge, high + edge


def _name(row: dict, marked: str) -> str:
    return f"<b>{row['title']}</b>" if row["name"] == marked else row["title"]


def panels_figure(panels: Sequence[Sequence[tuple[str, np.ndarray]]], *, height: int = 220) -> go.Figure:
    """Rows of heat maps, each an array `(H, W)` with a title. Dark is low and light is high; each has its own colour scale."""
    columns = max(map(len, panels))
    figure = go.Figure()
    gap, across, down = 0.02, 1 / columns, 1 / len(panels)
    title = 30 / height  # of a row's height
    for row, heat_maps in enumerate(panels):
        for column, (text, values) in enumerate(heat_maps):
            number = row * columns + column + 1
            axis = "" if number == 1 else str(number)
            left, top = column * across, 1 - row * down
            figure.add_trace(
                go.Heatmap(
                    z=values,
                    xaxis=f"x{axis}",
                    yaxis=f"y{axis}",
                    colorscale=COLOUR_SCALE,
                    showscale=False,
                    hovertemplate="%{z:.3g}<extra></extra>",
                )
            )
            figure.update_layout(
                {
                    f"xaxis{axis}": {"domain": [left, left + across - gap], "visible": False, "anchor": f"y{axis}", "constrain": "domain"},
                    f"yaxis{axis}": {
                        "domain": [top - down, top - title * down], "visible": False, "anchor": f"x{axis}",
                        "autorange": "reversed", "scaleanchor": f"x{axis}", "constrain": "domain",
                    },
                }
            )  # fmt: skip
            figure.add_annotation(
                text=text, x=left + (across - gap) / 2, y=top, xref="paper", yref="paper", xanchor="center", yanchor="top", showarrow=False,
                font={"size": TEXT},
            )  # fmt: skip
    figure.update_layout(height=height * len(panels), margin={"l": 0, "r": 0, "t": 0, "b": 0}, font={"size": TEXT})
    return figure


# --- the inputs of a loss, class by class ---------------------------------------------------------------------------


@dataclass(frozen=True)
class Pairs:
    """Values of teacher and student for the same categories: `values` has one sequence per role, in the order of `names`."""

    title: str
    names: Sequence[str]
    values: dict[str, Sequence[float]]


def pairs_figure(panels: Sequence[Pairs], *, height: int = 300) -> go.Figure:
    """Panels of paired bars, one below the other. The teacher's bars are filled, the others hatched."""
    figure = go.Figure()
    down, title, names = 1 / len(panels), 40 / height, 60 / height  # fractions of the figure, of a row, of a row
    for row, panel in enumerate(panels):
        axis = "" if row == 0 else str(row + 1)
        top = 1 - row * down
        for role, values in panel.values.items():
            style = style_of(role)
            figure.add_trace(
                go.Bar(
                    x=list(panel.names), y=list(values), name=role, legendgroup=role, showlegend=row == 0,
                    xaxis=f"x{axis}", yaxis=f"y{axis}",
                    marker={"color": style.light} if role == "teacher" else hatched(style.light),
                    hovertemplate="%{x}: %{y:.3g}<extra>%{fullData.name}</extra>",
                )
            )  # fmt: skip
        figure.update_layout(
            {
                f"xaxis{axis}": {"anchor": f"y{axis}", "type": "category"},
                f"yaxis{axis}": {
                    "domain": [top - down + names * down, top - title * down], "anchor": f"x{axis}", "zeroline": True, "nticks": 4,
                },
            }
        )  # fmt: skip
        figure.add_annotation(
            text=panel.title, x=0, y=top, xref="paper", yref="paper", xanchor="left", yanchor="top", showarrow=False, font={"size": TEXT}
        )
    figure.update_layout(
        height=height * len(panels) + LEGEND, margin={"l": 50, "r": 10, "t": 0, "b": LEGEND}, font={"size": TEXT}, bargap=0.25,
        barmode="group", legend={"orientation": "h", "y": 0, "yref": "container", "yanchor": "bottom"},
    )  # fmt: skip
    return figure


# --- who teaches whom -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Node:
    """One network of the graph: its name, its role, its position, and the side on which its labels enter.

    `side` is the position of the name relative to the marker; `labels` is 1 for above, -1 for below, 0 for no labels.
    """

    text: str
    role: str
    x: float
    y: float
    side: str = "top center"
    labels: int = 0


def chain(teachers: Sequence[str], between: Sequence[str] = (), *, mean_of: str = "") -> tuple[list[Node], list[tuple[int, int]]]:
    """Nodes and edges of a chain: teachers on the left, the networks `between`, the student on the right.

    The outputs of several teachers are averaged in a node of their own; `mean_of` names what is averaged.
    """
    count, students = len(teachers), [*between, "student"]
    side = "top center" if count == 1 else "middle left"
    networks = [Node(text, "teacher", 0, (count - 1) / 2 - n, side) for n, text in enumerate(teachers)]
    edges = [(n, count) for n in range(count)]
    if count > 1:
        networks.append(Node(f"mean of<br>{mean_of}", "mean", 1, 0, "top right"))
        edges.append((count, count + 1))
    first, side = len(networks), "top center" if count == 1 else "middle right"
    for n, text in enumerate(students):
        networks.append(Node(text, "student" if text == "student" else "assistant", 1 + (count > 1) + n, 0, side, labels=-1))
    return networks, edges + [(n, n + 1) for n in range(first, len(networks) - 1)]


def circle(peers: int) -> tuple[list[Node], list[tuple[int, int]]]:
    """Nodes and edges of mutual learning: a student and its peers on a circle, each of which teaches every other."""
    names, count = ["student", *(f"peer {n + 1}" for n in range(peers))], peers + 1
    start = {2: math.pi, 3: math.pi / 2}.get(count, 3 * math.pi / 4)
    networks = []
    for n, text in enumerate(names):
        x, y = (round(f(start - 2 * math.pi * n / count), 6) for f in (math.cos, math.sin))
        side = "middle right" if x > -0.1 else "middle left"
        networks.append(Node(text, "student" if n == 0 else "peer", x, y, side, labels=1 if y > 0.1 else -1))
    return networks, [(a, b) for a in range(count) for b in range(count) if a != b]


def who_teaches_whom(networks: Sequence[Node], edges: Sequence[tuple[int, int]]) -> go.Figure:
    """The graph of `chain` or `circle`: an arrow from each teaching network to each that it teaches, and one for labels."""
    figure, positions = go.Figure(), [(network.x, network.y) for network in networks]
    for n, (a, b) in enumerate(edges):
        figure.add_trace(_arrow(positions[a], positions[b], name="soft targets", first=n == 0, dash="solid"))
    with_labels = [network for network in networks if network.labels]
    for n, network in enumerate(with_labels):
        start = (network.x, network.y + 0.7 * network.labels)
        figure.add_trace(_arrow(start, (network.x, network.y), name="labels", first=n == 0, dash="dot"))
    for role in dict.fromkeys(network.role for network in networks):
        group, style = [network for network in networks if network.role == role], style_of(role)
        figure.add_trace(
            go.Scatter(
                x=[network.x for network in group], y=[network.y for network in group], text=[network.text for network in group],
                mode="markers+text", textposition=[network.side for network in group], textfont={"size": TEXT + 2}, cliponaxis=False,
                marker={"color": style.light, "symbol": style.symbol, "size": MARK}, hoverinfo="skip", showlegend=False,
            )
        )  # fmt: skip
    (left, low), (right, high) = (tuple(map(extreme, zip(*positions, strict=True))) for extreme in (min, max))
    figure.update_xaxes(visible=False, range=[left, right], fixedrange=True)
    figure.update_yaxes(visible=False, range=[low - 0.9, high + 0.9], fixedrange=True)
    margins = {edge: max(_text_width(one) for one in networks if one.x == x) for edge, x in (("l", left), ("r", right))}
    figure.update_layout(
        height=int(LEGEND + 75 * (high - low + 1.8)), margin={**margins, "t": 0, "b": LEGEND}, font={"size": TEXT}, dragmode=False,
        legend={
            "orientation": "h", "x": 0, "xref": "container", "y": 0, "yref": "container", "yanchor": "bottom",
            "itemclick": False, "itemdoubleclick": False,
        },
    )  # fmt: skip
    return figure


def _text_width(network: Node) -> int:
    """The pixels that a name needs beside its marker."""
    width = 12 * max(map(len, network.text.split("<br>")))
    return width // 2 if "center" in network.side else width + MARK // 2


def _arrow(start: tuple[float, float], end: tuple[float, float], *, name: str, first: bool, dash: str) -> go.Scatter:
    return go.Scatter(
        x=[start[0], end[0]], y=[start[1], end[1]], mode="lines+markers", name=name, legendgroup=name, showlegend=first, hoverinfo="skip",
        cliponaxis=False, line={"color": TEXT_COLOUR, "width": 3, "dash": dash},
        marker={"color": TEXT_COLOUR, "symbol": "arrow", "size": [0, 16], "angleref": "previous", "standoff": [0, MARK / 2 + 4]},
    )  # fmt: skip
