"""The figure of a lesson: the gain of each arm with its interval, and the learner's guess."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

import plotly.graph_objects as go

from distill_core.figures.palette import GREY, OTHERS, TEXT_COLOUR, style_of

TEXT = 18  # px
GUESS = OTHERS[0].light


def guess_figure(gains: Sequence[dict], guess: float | str | None, *, height: int = 380) -> go.Figure:
    """Gains `{"arm", "difference", "low", "high"}` in points as dots with 95 % intervals, above and below the baseline at zero.

    `guess`: a number, drawn as a dashed line, or the label of an arm, whose place is shaded.
    """
    arms = [one["arm"] for one in gains]
    style, unit = style_of("student"), gains[0].get("unit", "points") if gains else "points"
    digits, title = (1, "student minus baseline<br>(points)") if unit == "points" else (4, f"baseline minus student<br>({unit})")
    figure = go.Figure(
        go.Scatter(
            x=list(range(len(arms))),
            y=[one["difference"] for one in gains],
            mode="markers",
            marker={"size": 18, "color": style.light, "symbol": style.symbol},
            error_y={
                "type": "data", "symmetric": False, "thickness": 4, "width": 12, "color": style.light,
                "array": [one["high"] - one["difference"] for one in gains],
                "arrayminus": [one["difference"] - one["low"] for one in gains],
            },
            customdata=[[one["arm"], one["low"], one["high"]] for one in gains],
            hovertemplate=f"%{{customdata[0]}}: %{{y:+.{digits}f}} {unit} (%{{customdata[1]:+.{digits}f}} to "
            f"%{{customdata[2]:+.{digits}f}})<extra></extra>",
            showlegend=False,
        )
    )  # fmt: skip
    figure.add_hline(y=0, line={"color": GREY, "width": 3})
    label = {"text": "your guess", "showarrow": False, "font": {"color": GUESS, "size": TEXT}}
    if guess in arms:
        place = arms.index(guess)
        figure.add_vrect(x0=place - 0.4, x1=place + 0.4, fillcolor=GUESS, opacity=0.15, line_width=0)
        figure.add_annotation(x=place, y=1, yref="paper", yanchor="top", **label)
    elif isinstance(guess, int | float):
        figure.add_hline(y=guess, line={"color": GUESS, "dash": "dash", "width": 4})
        figure.add_annotation(x=0, xref="paper", xanchor="left", y=guess, yanchor="bottom", **label)
    names = ["<br>".join(textwrap.wrap(arm, 18)) for arm in arms]
    figure.update_xaxes(range=[-0.6, len(arms) - 0.4], tickvals=list(range(len(arms))), ticktext=names, automargin=True, zeroline=False)
    figure.update_yaxes(title=title, automargin=True, zeroline=False)
    figure.update_layout(
        height=height, margin={"l": 10, "r": 10, "t": 10, "b": 10}, font={"size": TEXT}, hoverlabel={"font": {"size": TEXT}},
        hoverlabel_font_color=TEXT_COLOUR,
    )  # fmt: skip
    return figure
