"""Be the teacher: ten odd images, and ten chips of 10 % to place on the classes of each."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import streamlit as st

HERE = Path(__file__).parent

_soft_label = st.components.v2.component(
    "soft_label",
    html='<div class="soft-label">\n</div>',
    css=(HERE / "soft_label.css").read_text(),
    js="\n".join((HERE / name).read_text() for name in ("images.js", "soft_label.js")),
)


def soft_label(
    images: np.ndarray, *, class_names: Sequence[str], given: Mapping[int, list[int]], on_label: Callable[[int, object], None], key: str
) -> None:
    """Show images `(n, D, H, W)` uint8, one at a time. `given`: percentages that were sent already, by image.

    `on_label(image, percentages)` is called when all chips of an image are placed. A browser may send anything: check it.
    """
    data = {
        "shape": list(images.shape[1:]),
        "images": [base64.b64encode(np.ascontiguousarray(image, dtype=np.uint8).tobytes()).decode() for image in images],
        "classes": list(class_names),
        "given": {str(number): shares for number, shares in given.items()},
    }

    def report() -> None:
        sent = st.session_state[key].get("label")
        if isinstance(sent, dict) and type(sent.get("image")) is int:
            on_label(sent["image"], sent.get("shares"))

    _soft_label(data=data, key=key, on_label_change=report)
