"""All methods compared, what each compares, and who teaches whom: numbers first, then pictures."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import plotly.graph_objects as go

from distill_core.figures.palette import INK, OTHERS, ROLES, hatched, role

TEXT = 16  # px
ROW = 34  # px of a method
LEGEND = 50  # px below a figure
MARK = 26  # px across a network
SHADES = "Cividis"  # made for colour-blind readers

LOOKS = {1: ROLES["student"], 0: OTHERS[1], -1: ROLES["baseline"]}
VERDICTS = {1: "helps", 0: "no difference to be seen", -1: "hurts"}


def sign(row: dict) -> int:
    """1 if the whole interval of the difference is above 0, -1 if below, 0 if it holds 0."""
    return int(row["low"] > 0) - int(row["high"] < 0)


def ranked(rows: Sequence[dict], setting: str) -> list[dict]:
    """The rows of a setting that were measured, from the best difference to the worst."""
    measured = [row for row in rows if row["setting"] == setting and "refused" not in row]
    return sorted(measured, key=lambda row: -row["difference"])


def points(row: dict) -> str:
    """A difference in words, with its interval."""
    return f"{row['difference']:+.2f} points ({row['low']:+.2f} to {row['high']:+.2f})".replace("-", "\u2212")


def comparison_figure(rows: Sequence[dict], setting: str, *, marked: str = "") -> go.Figure:
    """One line a method: the mean difference from the baseline as a point, its 95 % interval as a bar; the best on top."""
    shown = ranked(rows, setting)[::-1]
    figure = go.Figure()
    for kind, look in LOOKS.items():
        own = [row for row in shown if sign(row) == kind]
        figure.add_trace(
            go.Scatter(
                x=[row["difference"] for row in own], y=[_name(row, marked) for row in own], mode="markers", name=VERDICTS[kind],
                error_x={
                    "type": "data", "symmetric": False, "thickness": 4, "width": 6, "color": look.light,
                    "array": [row["high"] - row["difference"] for row in own],
                    "arrayminus": [row["difference"] - row["low"] for row in own],
                },
                marker={"color": look.light, "symbol": look.symbol, "size": 13},
                customdata=[[points(row), float(np.mean(row["students"])), row["step_ms"], row["step_mb"]] for row in own],
                hovertemplate="%{customdata[0]}<br>accuracy %{customdata[1]:.2f} %<br>"
                "%{customdata[2]:.1f} ms and %{customdata[3]:.1f} MB a step<extra></extra>",
            )
        )  # fmt: skip
    figure.update_layout(
        font={"size": TEXT}, height=110 + ROW * len(shown), margin={"l": 10, "r": 20, "t": 10, "b": 90},
        legend={"orientation": "h", "y": 0, "yref": "container", "yanchor": "bottom"}, hoverlabel={"font": {"size": TEXT}},
    )  # fmt: skip
    low, high = _range(shown)
    for row in shown:
        if row["difference"] < low:
            figure.add_annotation(
                x=low, y=_name(row, marked), text=f"\u25c0 far left: {points(row)}", xanchor="left", showarrow=False, font={"size": TEXT}
            )
    figure.update_xaxes(
        title="test accuracy, student minus baseline (points)", range=[low, high], zeroline=True, zerolinewidth=3, automargin=True
    )
    figure.update_yaxes(categoryorder="array", categoryarray=[_name(row, marked) for row in shown], automargin=True)
    return figure


def _range(rows: Sequence[dict]) -> tuple[float, float]:
    """What the axis shows: all intervals, but one disaster must not press all others together."""
    high = max((max(row["high"], 0.0) for row in rows), default=1.0)
    near = [row["low"] for row in rows if row["low"] > -5 * max(high, 1.0)]
    low = min([0.0, *near])
    edge = 0.05 * max(high - low, 1e-3)
    return low - edge, high + edge


def _name(row: dict, marked: str) -> str:
    return f"<b>{row['title']}</b>" if row["name"] == marked else row["title"]


def panels_figure(panels: Sequence[Sequence[tuple[str, np.ndarray]]], *, height: int = 220) -> go.Figure:
    """Rows of small pictures, each an array `(H, W)` with a title above it; dark is little, light is much, each for itself."""
    columns = max(map(len, panels))
    figure = go.Figure()
    gap, across, down = 0.02, 1 / columns, 1 / len(panels)
    title = 30 / height  # of a row's height
    for row, line in enumerate(panels):
        for column, (text, values) in enumerate(line):
            number = row * columns + column + 1
            axis = "" if number == 1 else str(number)
            left, top = column * across, 1 - row * down
            figure.add_trace(
                go.Heatmap(
                    z=values,
                    xaxis=f"x{axis}",
                    yaxis=f"y{axis}",
                    colorscale=SHADES,
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


# --- what is compared, class by class -------------------------------------------------------------------------------


@dataclass(frozen=True)
class Pairs:
    """Two sides' numbers for the same things: a title, the things' names, and the numbers by who says them."""

    title: str
    names: Sequence[str]
    values: dict[str, Sequence[float]]


def pairs_figure(panels: Sequence[Pairs], *, height: int = 300) -> go.Figure:
    """Below each other, panels of paired bars: who says what of each class. The teacher's are filled, the others hatched."""
    figure = go.Figure()
    down, title, names = 1 / len(panels), 40 / height, 60 / height  # of the whole, of a row
    for row, panel in enumerate(panels):
        axis = "" if row == 0 else str(row + 1)
        top = 1 - row * down
        for who, values in panel.values.items():
            look = role(who)
            figure.add_trace(
                go.Bar(
                    x=list(panel.names), y=list(values), name=who, legendgroup=who, showlegend=row == 0, xaxis=f"x{axis}", yaxis=f"y{axis}",
                    marker={"color": look.light} if who == "teacher" else hatched(look.light),
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
    """One network in the picture: its words, its role, its place, and from where labels come to it (1 above, -1 below, 0 none)."""

    text: str
    role: str
    x: float
    y: float
    side: str = "top center"  # of the mark, where its words stand
    labels: int = 0


def chain(teachers: Sequence[str], between: Sequence[str] = (), *, mean_of: str = "") -> tuple[list[Node], list[tuple[int, int]]]:
    """Teachers on the left, the student on the right, whoever is in between on the way; and which of them teaches which.

    Several teachers meet in their mean, of what `mean_of` says.
    """
    many, learners = len(teachers), [*between, "student"]
    side = "top center" if many == 1 else "middle left"
    networks = [Node(text, "teacher", 0, (many - 1) / 2 - n, side) for n, text in enumerate(teachers)]
    edges = [(n, many) for n in range(many)]
    if many > 1:
        networks.append(Node(f"mean of<br>{mean_of}", "mean", 1, 0, "top right"))
        edges.append((many, many + 1))
    first, side = len(networks), "top center" if many == 1 else "middle right"
    for n, text in enumerate(learners):
        networks.append(Node(text, "student" if text == "student" else "assistant", 1 + (many > 1) + n, 0, side, labels=-1))
    return networks, edges + [(n, n + 1) for n in range(first, len(networks) - 1)]


def circle(peers: int) -> tuple[list[Node], list[tuple[int, int]]]:
    """A student and its peers around a circle; each teaches every other."""
    names, many = ["student", *(f"peer {n + 1}" for n in range(peers))], peers + 1
    start = {2: math.pi, 3: math.pi / 2}.get(many, 3 * math.pi / 4)
    networks = []
    for n, text in enumerate(names):
        x, y = (round(f(start - 2 * math.pi * n / many), 6) for f in (math.cos, math.sin))
        side = "middle right" if x > -0.1 else "middle left"
        networks.append(Node(text, "student" if n == 0 else "peer", x, y, side, labels=1 if y > 0.1 else -1))
    return networks, [(a, b) for a in range(many) for b in range(many) if a != b]


def who_teaches_whom(networks: Sequence[Node], edges: Sequence[tuple[int, int]]) -> go.Figure:
    """A mark for each network, an arrow from each that teaches to each that it teaches, and where labels come in."""
    figure, place = go.Figure(), [(network.x, network.y) for network in networks]
    for n, (a, b) in enumerate(edges):
        figure.add_trace(_arrow(place[a], place[b], name="soft targets", first=n == 0, dash="solid"))
    hearing = [network for network in networks if network.labels]
    for n, network in enumerate(hearing):
        start = (network.x, network.y + 0.7 * network.labels)
        figure.add_trace(_arrow(start, (network.x, network.y), name="labels", first=n == 0, dash="dot"))
    for who in dict.fromkeys(network.role for network in networks):
        own, look = [network for network in networks if network.role == who], role(who)
        figure.add_trace(
            go.Scatter(
                x=[network.x for network in own], y=[network.y for network in own], text=[network.text for network in own],
                mode="markers+text", textposition=[network.side for network in own], textfont={"size": TEXT + 2}, cliponaxis=False,
                marker={"color": look.light, "symbol": look.symbol, "size": MARK}, hoverinfo="skip", showlegend=False,
            )
        )  # fmt: skip
    (left, low), (right, high) = (tuple(map(most, zip(*place, strict=True))) for most in (min, max))
    figure.update_xaxes(visible=False, range=[left, right], fixedrange=True)
    figure.update_yaxes(visible=False, range=[low - 0.9, high + 0.9], fixedrange=True)
    room = {edge: max(map(_room, (one for one in networks if one.x == x))) for edge, x in (("l", left), ("r", right))}
    figure.update_layout(
        height=int(LEGEND + 75 * (high - low + 1.8)), margin={**room, "t": 0, "b": LEGEND}, font={"size": TEXT}, dragmode=False,
        legend={
            "orientation": "h", "x": 0, "xref": "container", "y": 0, "yref": "container", "yanchor": "bottom",
            "itemclick": False, "itemdoubleclick": False,
        },
    )  # fmt: skip
    return figure


def _room(network: Node) -> int:
    """Pixels beside its mark that its words need."""
    wide = 12 * max(map(len, network.text.split("<br>")))
    return wide // 2 if "center" in network.side else wide + MARK // 2


def _arrow(start: tuple[float, float], end: tuple[float, float], *, name: str, first: bool, dash: str) -> go.Scatter:
    return go.Scatter(
        x=[start[0], end[0]], y=[start[1], end[1]], mode="lines+markers", name=name, legendgroup=name, showlegend=first, hoverinfo="skip",
        cliponaxis=False, line={"color": INK, "width": 3, "dash": dash},
        marker={"color": INK, "symbol": "arrow", "size": [0, 16], "angleref": "previous", "standoff": [0, MARK / 2 + 4]},
    )  # fmt: skip
