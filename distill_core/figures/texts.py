"""How often networks write each kind of sentence of the little language, beside the truth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import plotly.graph_objects as go

from distill_core.figures.curves import TEXT
from distill_core.figures.palette import GREY, style_of


def kinds_figure(truth: Sequence[float], frequencies: Mapping[str, Sequence[float]]) -> go.Figure:
    """The share of each kind in percent, the truly most frequent kind first: the truth as an area, each network as a line."""
    order = np.argsort(-np.asarray(truth), kind="stable")
    ranks = list(range(1, len(order) + 1))
    figure = go.Figure(
        go.Scatter(
            x=ranks, y=100 * np.asarray(truth)[order], name="the truth", mode="lines", line={"color": GREY, "width": 2, "shape": "hvh"},
            fill="tozeroy", fillcolor=GREY, hovertemplate="the truth %{y:.2f} %<extra></extra>",
        )
    )  # fmt: skip
    for number, (name, shares) in enumerate(frequencies.items()):
        style = style_of(name, number)
        figure.add_scatter(
            x=ranks, y=100 * np.asarray(shares)[order], name=name, mode="lines+markers",
            line={"color": style.light, "width": 2, "dash": style.dash}, marker={"symbol": style.symbol, "size": 6},
            hovertemplate=f"{name} %{{y:.2f}} %<extra></extra>",
        )  # fmt: skip
    figure.update_layout(
        font={"size": TEXT}, margin={"l": 60, "r": 20, "t": 10, "b": 50}, hovermode="x unified",
        legend={"orientation": "h", "y": 1, "yanchor": "bottom"},
    )  # fmt: skip
    figure.update_xaxes(title="kind of sentence, the most frequent first")
    figure.update_yaxes(title="share of sentences (%)", rangemode="tozero")
    return figure
