"""Is the confidence honest? Reliability, accuracy against coverage, and what temperature scaling mends. Numbers first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import plotly.graph_objects as go

from distill_core.figures.palette import INK, OTHERS, ROLES, Role, hatched

TEXT = 16  # px, the least that reads across a room


def looks(names: Sequence[str]) -> dict[str, Role]:
    """How each of these is drawn: a role as ever, the others by what looks are left."""
    free = [ROLES[name] for name in ROLES if name not in names]
    left = [*OTHERS, *free] if "teacher" in names else [*free[:1], *OTHERS, *free[1:]]
    others = [name for name in names if name not in ROLES]
    return {name: ROLES.get(name) or left[others.index(name) % len(left)] for name in names}


# --- the numbers ----------------------------------------------------------------------------------------------------


def reliability_bars(table: Mapping[str, Sequence[float]]) -> dict[str, list[float]]:
    """The bars of a reliability diagram, in percent, of the bins that hold images.

    `middle` and `width` of each bin, `accuracy` with its Wilson interval `low` and `high`, `confidence`, `gap` (confidence
    minus accuracy: above 0 is over-confident) and `count`; `share` is the bin's percent of all images.
    """
    columns = {name: np.asarray(values, dtype=float) for name, values in table.items()}
    full = columns["count"] > 0
    low, high, count = (columns[name][full] for name in ("low", "high", "count"))
    accuracy, confidence = 100 * columns["accuracy"][full], 100 * columns["confidence"][full]
    found = {
        "middle": 50 * (low + high),
        "width": 100 * (high - low),
        "accuracy": accuracy,
        "low": 100 * columns["accuracy_low"][full],
        "high": 100 * columns["accuracy_high"][full],
        "confidence": confidence,
        "gap": confidence - accuracy,
        "count": count,
        "share": 100 * count / max(1, count.sum()),
    }
    return {name: values.tolist() for name, values in found.items()}


# --- the pictures ---------------------------------------------------------------------------------------------------


def reliability_figure(table: Mapping[str, Sequence[float]], *, look: Role, height: int = 410) -> go.Figure:
    """Bars: how often it was right at each confidence, with Wilson intervals; hatched: the gap to what it claimed.

    Below: which share of the images has that confidence.
    """
    bars = reliability_bars(table)
    hover = [
        f"says {c:.1f} %, is right {a:.1f} % ({low:.1f} to {high:.1f})<br>{n:,.0f} images"
        for c, a, low, high, n in zip(bars["confidence"], bars["accuracy"], bars["low"], bars["high"], bars["count"], strict=True)
    ]
    place = {
        "x": bars["middle"],
        "width": [0.92 * w for w in bars["width"]],
        "hovertext": hover,
        "hovertemplate": "%{hovertext}<extra></extra>",
    }
    errors = {
        "type": "data", "symmetric": False, "thickness": 3, "width": 0, "color": INK,
        "array": [h - a for h, a in zip(bars["high"], bars["accuracy"], strict=True)],
        "arrayminus": [a - low for low, a in zip(bars["low"], bars["accuracy"], strict=True)],
    }  # fmt: skip
    figure = go.Figure(
        [
            go.Bar(y=bars["accuracy"], marker={"color": look.light, "opacity": 0.75}, error_y=errors, name="is right", **place),
            go.Bar(y=bars["gap"], base=bars["accuracy"], marker=hatched(look.light), name="gap", **place),
            go.Scatter(
                x=[0, 100], y=[0, 100], mode="lines", line={"width": 3, "dash": "dot", "color": "#8A8F98"}, name="honest", hoverinfo="skip"
            ),
            go.Bar(y=bars["share"], marker={"color": look.light, "opacity": 0.75}, yaxis="y2", name="images", **place),
        ]
    )  # fmt: skip
    figure.update_layout(
        height=height, barmode="overlay", showlegend=False, font={"size": TEXT}, hoverlabel={"font": {"size": TEXT}}, template=None,
        margin={"l": 62, "r": 22, "t": 30, "b": 52, "autoexpand": False},
        xaxis={"range": [0, 100], "title": {"text": "says (%)", "standoff": 6}, "anchor": "y2", "dtick": 25},
        yaxis={"range": [0, 100], "domain": [0.34, 1], "dtick": 25},
        yaxis2={"range": [0, 100], "domain": [0, 0.2], "dtick": 50},
        annotations=[_named("is right (%)", 1.0), _named("images (%)", 0.2)],
    )  # fmt: skip
    return figure


def _named(text: str, top: float) -> dict:
    return {
        "text": text, "x": 0, "xref": "paper", "xanchor": "left", "xshift": -54, "y": top, "yref": "paper", "yanchor": "bottom",
        "yshift": 4, "showarrow": False, "font": {"size": TEXT},
    }  # fmt: skip


def coverage_figure(curves: Mapping[str, Mapping[str, Sequence[float]]], *, height: int = 480) -> go.Figure:
    """By name: accuracy of the most confident x % of the images, with its band."""
    drawn = looks(list(curves))
    figure = go.Figure()
    least = 100.0
    for name, curve in curves.items():
        x, y, low, high = (100 * np.asarray(curve[column], dtype=float) for column in ("share", "accuracy", "low", "high"))
        least = min(least, float(y.min()))
        look = drawn[name]
        figure.add_trace(
            go.Scatter(
                x=[*x, *x[::-1]], y=[*high, *low[::-1]], mode="none", fill="toself", fillcolor=look.light, opacity=0.2, hoverinfo="skip",
                legendgroup=name, showlegend=False,
            )
        )  # fmt: skip
        figure.add_trace(
            go.Scatter(
                x=x, y=y, mode="lines+markers", name=name, legendgroup=name, line={"color": look.light, "width": 4, "dash": look.dash},
                marker={"color": look.light, "size": 11, "symbol": look.symbol, "maxdisplayed": 10},
                hovertext=[
                    f"{name}: {a:.2f} % of the surest {s:.0f} % ({b:.2f} to {t:.2f})" for s, a, b, t in zip(x, y, low, high, strict=True)
                ],
                hovertemplate="%{hovertext}<extra></extra>",
            )
        )  # fmt: skip
    bottom = max(0.0, least - max(1.0, 0.3 * (100 - least)))
    figure.data = [*figure.data[::2], *figure.data[1::2]]  # the bands behind all lines
    figure.update_layout(
        height=height, font={"size": TEXT}, hoverlabel={"font": {"size": TEXT}}, template=None,
        margin={"l": 62, "r": 14, "t": 30, "b": 128, "autoexpand": False}, hovermode="closest",
        legend={"orientation": "h", "x": 0, "y": 0, "yref": "container", "yanchor": "bottom", "font": {"size": TEXT}},
        annotations=[_named("of these, right (%)", 1.0)],
    )  # fmt: skip
    figure.update_xaxes(title={"text": "the surest ... % of the images", "standoff": 8, "font": {"size": TEXT}}, range=[0, 101])
    figure.update_yaxes(range=[bottom, 100 + 0.04 * (100 - bottom)])
    return figure


def scaling_figure(found: Mapping[str, Mapping], *, measure: str = "ece", height: int | None = None) -> go.Figure:
    """By name, what `analysis.calibrate` found: an open marker before, a full one after, each with its bootstrap interval."""
    drawn = looks(list(found))
    factor, unit = (100, " points") if measure == "ece" else (1, " nats")
    figure = go.Figure()
    for row, (name, one) in enumerate(found.items()):
        look = drawn[name]
        for when, shift in (("before", -0.16), ("after", 0.16)):
            value, low, high = (factor * number for number in one[measure][when])
            figure.add_trace(
                go.Scatter(
                    x=[value], y=[row + shift], mode="markers", showlegend=False,
                    marker={
                        "color": look.light, "size": 16,
                        "line": {"width": 3, "color": look.light},
                        "symbol": f"{look.symbol}-open" if when == "before" else look.symbol,
                    },
                    error_x={
                        "type": "data", "symmetric": False, "thickness": 3, "color": look.light,
                        "array": [max(0, high - value)], "arrayminus": [max(0, value - low)],
                    },
                    hovertemplate=f"{name}, {when}: {value:.3g}{unit} ({low:.3g} to {high:.3g})<extra></extra>",
                )
            )  # fmt: skip
    figure.update_layout(
        height=height or 110 + 80 * len(found), font={"size": TEXT}, hoverlabel={"font": {"size": TEXT}}, template=None,
        hovermode="closest", margin={"l": 30 + 9 * max(map(len, found)), "r": 14, "t": 10, "b": 60},
    )  # fmt: skip
    title = "calibration error (points)" if measure == "ece" else "negative log-likelihood (nats)"
    figure.update_xaxes(title={"text": title, "standoff": 6}, rangemode="tozero")
    names = {"tickvals": list(range(len(found))), "ticktext": list(found)}
    figure.update_yaxes(**names, range=[len(found) - 0.5, -0.5], showgrid=False, zeroline=False)
    return figure
