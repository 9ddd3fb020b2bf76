"""A page of small images as one picture; click one, or go there with the arrow keys and press Enter."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import streamlit as st

HERE = Path(__file__).parent

_image_grid = st.components.v2.component(
    "image_grid",
    html='<div class="image-grid">\n<canvas tabindex="0" role="listbox"></canvas><p class="caption" aria-live="polite"></p></div>',
    css=(HERE / "image_grid.css").read_text(),
    js=(HERE / "image_grid.js").read_text(),
)


def image_grid(images: np.ndarray, *, ids: Sequence[int], captions: Sequence[str], chosen: int, key: str) -> int | None:
    """Show images `(N, D, H, W)` uint8, each with a caption under the pointer. Returns the id that was picked just now, or None."""
    data = {
        "pixels": base64.b64encode(np.ascontiguousarray(images, dtype=np.uint8).tobytes()).decode(),
        "shape": list(images.shape[1:]),
        "ids": [int(i) for i in ids],
        "captions": list(captions),
        "chosen": int(chosen),
    }
    picked = _image_grid(data=data, key=key, on_picked_change=_nothing).picked
    return picked if isinstance(picked, int) and not isinstance(picked, bool) and picked in data["ids"] else None


def _nothing() -> None:
    """Streamlit gives a component's trigger an attribute only where it has a callback."""
