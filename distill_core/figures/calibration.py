"""Calibration: reliability diagram, accuracy against coverage, temperature scaling. First the numbers, then the figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import plotly.graph_objects as go

from distill_core.figures.palette import GREY, TEXT_COLOUR, Style, hatched, styles_of

TEXT = 16  # px, the smallest size that can be read across a room


# --- the numbers ----------------------------------------------------------------------------------------------------


def reliability_bars(table: Mapping[str, Sequence[float]]) -> dict[str, list[float]]:
    """The bars of a reliability diagram, in percent, from the table of `calibration.reliability`; empty bins are left out.

    Lists `(bins,)`: `middle` and `width` of each bin, `accuracy` with its Wilson interval `low` and `high`, `confidence`,
    `gap` (confidence minus accuracy: above 0 means overconfident), `count`, and `share`, the percentage of all images.
    """
    columns = {name: np.asarray(values, dtype=float) for name, values in table.items()}
    filled = columns["count"] > 0
    low, high, count = (columns[name][filled] for name in ("low", "high", "count"))
    accuracy, confidence = 100 * columns["accuracy"][filled], 100 * columns["confidence"][filled]
    bars = {
        "middle": 50 * (low + high),
        "width": 100 * (high - low),
        "accuracy": accuracy,
        "low": 100 * columns["accuracy_low"][filled],
        "high": 100 * columns["accuracy_high"][filled],
        "confidence": confidence,
        "gap": confidence - accuracy,
        "count": count,
        "share": 100 * count / max(1, count.sum()),
    }
    return {name: values.tolist() for name, values in bars.items()}


# --- the figures ----------------------------------------------------------------------------------------------------


def reliability_figure(table: Mapping[str, Sequence[float]], *, style: Style, height: int = 410) -> go.Figure:
    """A reliability diagram: the accuracy at each confidence with its Wilson interval, and, hatched, the gap to the confidence.

    Below it, the share of the images in each confidence bin. The dotted line is perfect calibration.
    """
    bars = reliability_bars(table)
    hover = [
        f"confidence {c:.1f} %, accuracy {a:.1f} % ({low:.1f} to {high:.1f})<br>{n:,.0f} images"
        for c, a, low, high, n in zip(bars["confidence"], bars["accuracy"], bars["low"], bars["high"], bars["count"], strict=True)
    ]
    bins = {
        "x": bars["middle"],
        "width": [0.92 * w for w in bars["width"]],
        "hovertext": hover,
        "hovertemplate": "%{hovertext}<extra></extra>",
    }
    errors = {
        "type": "data", "symmetric": False, "thickness": 3, "width": 0, "color": TEXT_COLOUR,
        "array": [h - a for h, a in zip(bars["high"], bars["accuracy"], strict=True)],
        "arrayminus": [a - low for low, a in zip(bars["low"], bars["accuracy"], strict=True)],
    }  # fmt: skip
    figure = go.Figure(
        [
            go.Bar(y=bars["accuracy"], marker={"color": style.light, "opacity": 0.75}, error_y=errors, name="accuracy", **bins),
            go.Bar(y=bars["gap"], base=bars["accuracy"], marker=hatched(style.light), name="gap", **bins),
            go.Scatter(
                x=[0, 100], y=[0, 100], mode="lines", line={"width": 3, "dash": "dot", "color": GREY}, name="perfect calibration",
                hoverinfo="skip",
            ),
            go.Bar(y=bars["share"], marker={"color": style.light, "opacity": 0.75}, yaxis="y2", name="images", **bins),
        ]
    )  # fmt: skip
    figure.update_layout(
        height=height, barmode="overlay", showlegend=False, font={"size": TEXT}, hoverlabel={"font": {"size": TEXT}}, template=None,
        margin={"l": 62, "r": 22, "t": 30, "b": 52, "autoexpand": False},
        xaxis={"range": [0, 100], "title": {"text": "confidence (%)", "standoff": 6}, "anchor": "y2", "dtick": 25},
        yaxis={"range": [0, 100], "domain": [0.34, 1], "dtick": 25},
        yaxis2={"range": [0, 100], "domain": [0, 0.2], "dtick": 50},
        annotations=[_panel_title("accuracy (%)", 1.0), _panel_title("share of the images (%)", 0.2)],
    )  # fmt: skip
    return figure


def _panel_title(text: str, top: float) -> dict:
    """The title of a panel, horizontal, above its upper left corner."""
    return {
        "text": text, "x": 0, "xref": "paper", "xanchor": "left", "xshift": -54, "y": top, "yref": "paper", "yanchor": "bottom",
        "yshift": 4, "showarrow": False, "font": {"size": TEXT},
    }  # fmt: skip


def coverage_figure(curves: Mapping[str, Mapping[str, Sequence[float]]], *, height: int = 480) -> go.Figure:
    """Accuracy against coverage: for each name the accuracy on the most confident x % of the images, with its interval as a band.

    `curves`: for each name the arrays of `calibration.selective_accuracy`.
    """
    styles = styles_of(list(curves))
    figure = go.Figure()
    lowest = 100.0
    for name, curve in curves.items():
        x, y, low, high = (100 * np.asarray(curve[column], dtype=float) for column in ("share", "accuracy", "low", "high"))
        lowest = min(lowest, float(y.min()))
        style = styles[name]
        figure.add_trace(
            go.Scatter(
                x=[*x, *x[::-1]], y=[*high, *low[::-1]], mode="none", fill="toself", fillcolor=style.light, opacity=0.2, hoverinfo="skip",
                legendgroup=name, showlegend=False,
            )
        )  # fmt: skip
        figure.add_trace(
            go.Scatter(
                x=x, y=y, mode="lines+markers", name=name, legendgroup=name, line={"color": style.light, "width": 4, "dash": style.dash},
                marker={"color": style.light, "size": 11, "symbol": style.symbol, "maxdisplayed": 10},
                hovertext=[
                    f"{name}: accuracy {a:.2f} % ({b:.2f} to {t:.2f}) at a coverage of {s:.0f} %"
                    for s, a, b, t in zip(x, y, low, high, strict=True)
                ],
                hovertemplate="%{hovertext}<extra></extra>",
            )
        )  # fmt: skip
    bottom = max(0.0, lowest - max(1.0, 0.3 * (100 - lowest)))
    figure.data = [*figure.data[::2], *figure.data[1::2]]  # bands behind all lines
    figure.update_layout(
        height=height, font={"size": TEXT}, hoverlabel={"font": {"size": TEXT}}, template=None,
        margin={"l": 62, "r": 14, "t": 30, "b": 128, "autoexpand": False}, hovermode="closest",
        legend={"orientation": "h", "x": 0, "y": 0, "yref": "container", "yanchor": "bottom", "font": {"size": TEXT}},
        annotations=[_panel_title("accuracy (%)", 1.0)],
    )  # fmt: skip
    title = "coverage (% of the images, most confident first)"
    figure.update_xaxes(title={"text": title, "standoff": 8, "font": {"size": TEXT}}, range=[0, 101])
    figure.update_yaxes(range=[bottom, 100 + 0.04 * (100 - bottom)])
    return figure


def scaling_figure(results: Mapping[str, Mapping], *, measure: str = "ece", height: int | None = None) -> go.Figure:
    """Temperature scaling: for each name an open marker before and a filled one after, each with its bootstrap interval.

    `results`: for each name what `calibration.calibrate` returned; `measure`: `"ece"` or `"nll"`.
    """
    styles = styles_of(list(results))
    factor, unit = (100, " points") if measure == "ece" else (1, " nats")
    figure = go.Figure()
    for row, (name, result) in enumerate(results.items()):
        style = styles[name]
        for when, shift in (("before", -0.16), ("after", 0.16)):
            value, low, high = (factor * number for number in result[measure][when])
            figure.add_trace(
                go.Scatter(
                    x=[value], y=[row + shift], mode="markers", showlegend=False,
                    marker={
                        "color": style.light, "size": 16,
                        "line": {"width": 3, "color": style.light},
                        "symbol": f"{style.symbol}-open" if when == "before" else style.symbol,
                    },
                    error_x={
                        "type": "data", "symmetric": False, "thickness": 3, "color": style.light,
                        "array": [max(0, high - value)], "arrayminus": [max(0, value - low)],
                    },
                    hovertemplate=f"{name}, {when}: {value:.3g}{unit} ({low:.3g} to {high:.3g})<extra></extra>",
                )
            )  # fmt: skip
    figure.update_layout(
        height=height or 110 + 80 * len(results), font={"size": TEXT}, hoverlabel={"font": {"size": TEXT}}, template=None,
        hovermode="closest", margin={"l": 30 + 9 * max(map(len, results)), "r": 14, "t": 10, "b": 60},
    )  # fmt: skip
    title = "expected calibration error, ECE (points)" if measure == "ece" else "negative log-likelihood (nats)"
    figure.update_xaxes(title={"text": title, "standoff": 6}, rangemode="tozero")
    names = {"tickvals": list(range(len(results))), "ticktext": list(results)}
    figure.update_yaxes(**names, range=[len(results) - 0.5, -0.5], showgrid=False, zeroline=False)
    return figure
