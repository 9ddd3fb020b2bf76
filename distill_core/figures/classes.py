"""The confusion matrix and the accuracy of each class."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import plotly.graph_objects as go

from distill_core.figures.palette import ROLES, plain_labels

TEXT = {"font": {"size": 16}, "paper_bgcolor": "rgba(0,0,0,0)", "plot_bgcolor": "rgba(0,0,0,0)"}


def confusion_figure(counts: np.ndarray, class_names: Sequence[str]) -> go.Figure:
    """The confusion matrix as a heat map.

    `counts` `(C, C)`: how often each class (row) was predicted as each class (column). The diagonal, the correct predictions, is
    written but not coloured.
    """
    class_names = plain_labels(class_names)
    shade = counts.astype(float)
    np.fill_diagonal(shade, np.nan)
    figure = go.Figure(
        go.Heatmap(
            z=shade, x=list(class_names), y=list(class_names), text=counts, texttemplate="%{text}", colorscale="Oranges", showscale=False,
            hovertemplate="%{y} predicted as %{x}: %{text} times<extra></extra>", hoverongaps=False, xgap=1, ygap=1,
        )
    )  # fmt: skip
    for name, correct in zip(class_names, np.diag(counts), strict=True):
        figure.add_annotation(x=name, y=name, text=f"<b>{correct}</b>", showarrow=False)
    figure.update_layout(height=520, margin={"l": 60, "r": 10, "t": 10, "b": 60}, **TEXT)
    figure.update_xaxes(title="predicted class", type="category", showgrid=False)
    figure.update_yaxes(title="true class", type="category", autorange="reversed", showgrid=False)
    return figure


def per_class_figure(accuracy: dict[str, Sequence[float]], class_names: Sequence[str]) -> go.Figure:
    """The accuracy of each class, one marker per role. `accuracy`: for each role the fractions `(C,)`."""
    class_names, figure = plain_labels(class_names), go.Figure()
    for role, values in accuracy.items():
        style = ROLES[role]
        figure.add_trace(
            go.Scatter(
                x=list(class_names), y=[100 * v for v in values], name=role, mode="markers",
                marker={"color": style.light, "symbol": style.symbol, "size": 14},
                hovertemplate=f"{role} %{{x}}: %{{y:.1f}} %<extra></extra>",
            )
        )  # fmt: skip
    figure.update_layout(height=380, margin={"l": 60, "r": 10, "t": 30, "b": 60}, legend={"orientation": "h", "y": 1.12}, **TEXT)
    figure.update_xaxes(title="class", type="category")
    figure.update_yaxes(title="accuracy (%)")
    return figure


def class_accuracy(predictions: Sequence[int], labels: Sequence[int], *, classes: int) -> list[float]:
    """The accuracy of each class as a fraction; NaN for a class without examples."""
    predictions, labels = np.asarray(predictions), np.asarray(labels)
    return [float((predictions[labels == c] == c).mean()) if (labels == c).any() else float("nan") for c in range(classes)]
