"""All methods compared, and what the methods of features and relations compare: numbers first, then pictures."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import plotly.graph_objects as go

from distill_core.figures.palette import OTHERS, ROLES

TEXT = 16  # px
ROW = 34  # px of a method
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
