"""The figure of a study: what the paper states and what was measured, with intervals."""

from __future__ import annotations

import math
from collections.abc import Sequence

import plotly.graph_objects as go

from distill_core.figures.palette import GREY, styles_of

TEXT = 16  # px
HEIGHT = 420  # px


def study_figure(points: Sequence[dict], *, x_title: str, y_title: str) -> go.Figure:
    """Each series as points with 95 % intervals; joined by lines where the horizontal axis is a number.

    `points`: dictionaries with `series`, `x` (text), `value`, and `low` and `high`, which are NaN where there is no interval.
    A series whose name ends in "paper" is grey and open, with the symbol of the one that ends in "this lab".
    """
    figure = go.Figure()
    names = list(dict.fromkeys(point["series"] for point in points))
    places = list(dict.fromkeys(point["x"] for point in points))
    subjects = {name: name.removesuffix("paper").removesuffix("this lab") for name in names}
    styles, numeric = styles_of(list(dict.fromkeys(subjects.values()))), all(map(_is_number, places))
    for name, subject in subjects.items():
        own = [point for point in points if point["series"] == name]
        stated, style = name.endswith("paper"), styles[subject]
        colour = GREY if stated else style.light
        figure.add_trace(
            go.Scatter(
                x=[point["x"] for point in own], y=[point["value"] for point in own], name=name,
                mode="lines+markers" if numeric and not stated else "markers",
                line={"color": colour, "dash": style.dash, "width": 3},
                marker={
                    "color": colour, "symbol": style.symbol + ("-open" if stated else ""), "size": 14,
                    "line": {"width": 3 if stated else 0, "color": colour},
                },
                error_y={
                    "type": "data", "symmetric": False, "thickness": 3, "width": 6, "color": colour,
                    "array": [_length(point["high"] - point["value"]) for point in own],
                    "arrayminus": [_length(point["value"] - point["low"]) for point in own],
                },
                hovertemplate="%{x}: %{y:.2f}<extra>%{fullData.name}</extra>",
            )
        )  # fmt: skip
    figure.update_xaxes(title=x_title, type="category", categoryorder="array", categoryarray=places, automargin=True)
    figure.update_yaxes(title=y_title, automargin=True)
    figure.update_layout(
        font={"size": TEXT}, height=HEIGHT, margin={"l": 10, "r": 20, "t": 10, "b": 90}, hoverlabel={"font": {"size": TEXT}},
        legend={"orientation": "h", "y": 0, "yref": "container", "yanchor": "bottom"}, showlegend=True,
    )  # fmt: skip
    return figure


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _length(margin: float) -> float:
    """A margin to draw; 0 where there is no interval, because NaN is no JSON."""
    return 0.0 if math.isnan(margin) else margin
