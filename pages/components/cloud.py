"""Images as points: one map a teacher, side by side; the image under the pointer is shown, and found on every map."""

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
    html='<div class="cloud">\n<div class="shown" aria-live="polite"><canvas></canvas><p></p></div><div class="maps"></div></div>',
    css=(HERE / "cloud.css").read_text(),
    js=(HERE / "cloud.js").read_text(),
)


def cloud(
    maps: Mapping[str, np.ndarray], *, predictions: Mapping[str, np.ndarray], labels: np.ndarray, images: np.ndarray,
    class_names: Sequence[str], key: str,
) -> None:  # fmt: skip
    """Show the same images `(N, D, H, W)` uint8 as points of each map (name: `(N, 2)`), coloured and shaped by class."""
    data = {
        "maps": [
            {"name": name, "places": _base64(_to_unit_square(places)), "predictions": [int(v) for v in predictions[name]]}
            for name, places in maps.items()
        ],
        "labels": [int(label) for label in labels],
        "classes": list(class_names),
        "text_colours": [[look.light, look.dark] for look in (*ROLES.values(), *OTHERS)],
        "sprite": sprite(images),
        "tile": list(images.shape[2:]),
        "columns": COLUMNS,
    }
    _cloud(data=data, key=key, height="content")


def sprite(images: np.ndarray) -> str:
    """Images `(N, D, H, W)` beside each other in one picture, as a data address."""
    n, depth, height, width = images.shape
    rows = -(-n // COLUMNS)
    sheet = np.zeros((rows * COLUMNS, depth, height, width), dtype=np.uint8)
    sheet[:n] = images
    sheet = sheet.reshape(rows, COLUMNS, depth, height, width).transpose(0, 3, 1, 4, 2).reshape(rows * height, COLUMNS * width, depth)
    picture, kind = io.BytesIO(), "JPEG" if depth == 3 else "PNG"
    Image.fromarray(sheet.squeeze(-1) if depth == 1 else sheet).save(picture, kind, quality=92)
    return f"data:image/{kind.lower()};base64,{base64.b64encode(picture.getvalue()).decode()}"


def _to_unit_square(places: np.ndarray) -> np.ndarray:
    """Both axes to the same scale, within 0 to 1."""
    low, high = places.min(axis=0), places.max(axis=0)
    size = float((high - low).max()) or 1.0
    return 0.5 + (places - (low + high) / 2) / size


def _base64(numbers: np.ndarray) -> str:
    return base64.b64encode(np.ascontiguousarray(numbers, dtype="<f4").tobytes()).decode()
