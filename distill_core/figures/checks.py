"""The figure of a check: one panel of bars for each letter."""

from __future__ import annotations

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from distill_core.figures.palette import style_of

TEXT = 18  # px


def bars_figure(bars: dict[str, dict[str, float]], *, height: int = 320) -> go.Figure:
    """Probabilities by class name, a panel for each letter, all from 0 to the largest of them."""
    figure = make_subplots(1, len(bars), subplot_titles=list(bars), shared_yaxes=True, horizontal_spacing=0.06)
    for place, (letter, values) in enumerate(bars.items(), start=1):
        figure.add_trace(
            go.Bar(
                x=list(values), y=[100 * p for p in values.values()], marker_color=style_of("teacher").light, showlegend=False,
                hovertemplate=f"{letter} class %{{x}}: %{{y:.1f}} %<extra></extra>",
            ),
            row=1, col=place,
        )  # fmt: skip
        figure.update_xaxes(type="category", title="class", tickangle=0, row=1, col=place)
    figure.update_yaxes(title="probability (%)", row=1, col=1)
    figure.update_annotations(font={"size": TEXT + 4})
    figure.update_layout(height=height, margin={"l": 76, "r": 10, "t": 40, "b": 64}, font={"size": TEXT})
    return figure
