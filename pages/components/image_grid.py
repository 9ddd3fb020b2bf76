"""A grid of small images on one canvas. A click chooses an image, as do the arrow keys and Enter."""

from __future__ import annotations

import base64
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import streamlit as st

HERE = Path(__file__).parent

_image_grid = st.components.v2.component(
    "image_grid",
    html="""
    <div class="image-grid">
      <canvas tabindex="0" role="listbox" aria-label="images"></canvas><p class="caption" aria-live="polite"></p>
    </div>""",
    css=(HERE / "image_grid.css").read_text(),
    js=(HERE / "image_grid.js").read_text(),
)


def image_grid(images: np.ndarray, *, ids: Sequence[int], captions: Sequence[str], chosen: int, on_pick: Callable, key: str) -> None:
    """Show images `(N, D, H, W)` uint8. The caption of the image under the pointer, or of the chosen one, stands below the grid.

    `ids` are the images' numbers; `on_pick(id)` is called with the chosen one before the next run of the page.
    """
    data = {
        "pixels": base64.b64encode(np.ascontiguousarray(images, dtype=np.uint8).tobytes()).decode(),
        "shape": list(images.shape[1:]),
        "ids": [int(i) for i in ids],
        "captions": list(captions),
        "chosen": int(chosen),
    }

    def report_pick() -> None:
        picked = st.session_state[key].get("picked")
        if isinstance(picked, int) and picked in data["ids"]:  # a browser may send anything
            on_pick(picked)

    _image_grid(data=data, key=key, on_picked_change=report_pick)
