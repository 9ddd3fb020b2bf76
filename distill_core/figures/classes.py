"""Pictures of what a network confuses: counts in, figure out."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import plotly.graph_objects as go

from distill_core.figures.palette import ROLES

TEXT = {"font": {"size": 16}, "paper_bgcolor": "rgba(0,0,0,0)", "plot_bgcolor": "rgba(0,0,0,0)"}


def confusion_figure(counts: np.ndarray, class_names: Sequence[str]) -> go.Figure:
    """`counts` `(C, C)`: how often each class (row) was called each class (column). The diagonal, being right, is left out of the shade."""
    shade = counts.astype(float)
    np.fill_diagonal(shade, np.nan)
    figure = go.Figure(
        go.Heatmap(
            z=shade, x=list(class_names), y=list(class_names), text=counts, texttemplate="%{text}", colorscale="Oranges", showscale=False,
            hovertemplate="%{y} called %{x}: %{text} times<extra></extra>", hoverongaps=False, xgap=1, ygap=1,
        )
    )  # fmt: skip
    for name, right in zip(class_names, np.diag(counts), strict=True):
        figure.add_annotation(x=name, y=name, text=f"<b>{right}</b>", showarrow=False)
    figure.update_layout(height=520, margin={"l": 60, "r": 10, "t": 10, "b": 60}, **TEXT)
    figure.update_xaxes(title="named", type="category", showgrid=False)
    figure.update_yaxes(title="is", type="category", autorange="reversed", showgrid=False)
    return figure


def per_class_figure(accuracy: dict[str, Sequence[float]], class_names: Sequence[str]) -> go.Figure:
    """Accuracy of each class as a fraction, by role; a lollipop a role, so that they do not hide each other."""
    figure = go.Figure()
    for role, values in accuracy.items():
        look = ROLES[role]
        figure.add_trace(
            go.Scatter(
                x=list(class_names), y=[100 * v for v in values], name=role, mode="markers",
                marker={"color": look.light, "symbol": look.symbol, "size": 14},
                hovertemplate=f"{role} %{{x}}: %{{y:.1f}} %<extra></extra>",
            )
        )  # fmt: skip
    figure.update_layout(height=380, margin={"l": 60, "r": 10, "t": 30, "b": 60}, legend={"orientation": "h", "y": 1.12}, **TEXT)
    figure.update_xaxes(title="class", type="category")
    figure.update_yaxes(title="named correctly (%)")
    return figure


def class_accuracy(predictions: Sequence[int], labels: Sequence[int], *, classes: int) -> list[float]:
    """The fraction of each class's examples that were named correctly; NaN for a class without examples."""
    predictions, labels = np.asarray(predictions), np.asarray(labels)
    return [float((predictions[labels == c] == c).mean()) if (labels == c).any() else float("nan") for c in range(classes)]
