"""Images as points of scatter plots, one per teacher side by side. The image under the pointer, or the one that the
arrow keys select, is displayed and ringed in every plot.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import streamlit as st
from PIL import Image

from distill_core.figures.palette import OTHERS, ROLES

HERE = Path(__file__).parent
COLUMNS = 40  # images in a row of the sprite

_cloud = st.components.v2.component(
    "cloud",
    html="""
    <div class="cloud">
      <div class="selected" aria-live="polite"><canvas aria-hidden="true"></canvas><p></p></div>
      <div class="plots"></div>
    </div>""",
    css=(HERE / "cloud.css").read_text(),
    js=(HERE / "cloud.js").read_text(),
)


def cloud(
    points: Mapping[str, np.ndarray], *, predictions: Mapping[str, np.ndarray], labels: np.ndarray, images: np.ndarray,
    class_names: Sequence[str], key: str,
) -> None:  # fmt: skip
    """Show N images as points, one scatter plot per teacher; a marker's colour and shape give the true class.

    - `points`: by teacher, coordinates `(N, 2)`; `predictions`: by teacher, class indices `(N,)`.
    - `labels`: `(N,)`; `images`: `(N, D, H, W)` uint8.
    """
    data = {
        "plots": [
            {"name": name, "points": _base64(_to_unit_square(coordinates)), "predictions": [int(v) for v in predictions[name]]}
            for name, coordinates in points.items()
        ],
        "labels": [int(label) for label in labels],
        "classes": list(class_names),
        "colours": [[role.light, role.dark] for role in (*ROLES.values(), *OTHERS)],
        "sprite": sprite(images),
        "tile": list(images.shape[2:]),
        "columns": COLUMNS,
    }
    _cloud(data=data, key=key, height="content")


def sprite(images: np.ndarray) -> str:
    """All images `(N, D, H, W)` in one picture, `COLUMNS` per row, as a data URL."""
    n, depth, height, width = images.shape
    rows = -(-n // COLUMNS)
    sheet = np.zeros((rows * COLUMNS, depth, height, width), dtype=np.uint8)
    sheet[:n] = images
    sheet = sheet.reshape(rows, COLUMNS, depth, height, width).transpose(0, 3, 1, 4, 2).reshape(rows * height, COLUMNS * width, depth)
    picture, kind = io.BytesIO(), "JPEG" if depth == 3 else "PNG"
    Image.fromarray(sheet.squeeze(-1) if depth == 1 else sheet).save(picture, kind, quality=92)
    return f"data:image/{kind.lower()};base64,{base64.b64encode(picture.getvalue()).decode()}"


def _to_unit_square(points: np.ndarray) -> np.ndarray:
    """Points `(N, 2)` scaled into 0 to 1, by the same factor on both axes."""
    low, high = points.min(axis=0), points.max(axis=0)
    size = float((high - low).max()) or 1.0
    return 0.5 + (points - (low + high) / 2) / size


def _base64(numbers: np.ndarray) -> str:
    return base64.b64encode(np.ascontiguousarray(numbers, dtype="<f4").tobytes()).decode()
