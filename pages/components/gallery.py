"""Images side by side, each with its caption, or with the predictions of several networks: their most probable classes as small bars."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import streamlit as st

from distill_core.figures.palette import styles_of

HERE = Path(__file__).parent
SIGNS = {"diamond": "◆", "circle": "●", "square": "■", "triangle-up": "▲", "x": "✖"}

_gallery = st.components.v2.component(
    "gallery",
    html='<div class="gallery">\n</div>',
    css=(HERE / "gallery.css").read_text(),
    js="\n".join((HERE / name).read_text() for name in ("images.js", "gallery.js")),
)


def gallery(
    images: np.ndarray,
    *,
    captions: Sequence[str],
    key: str,
    soft: Mapping[str, np.ndarray] | None = None,
    class_names: Sequence[str] = (),
    most: int = 3,
) -> None:
    """Show images `(N, D, H, W)` uint8, each with its caption and the `most` most probable classes of every network.

    `soft` holds each network's probabilities `(N, C)` by its name; without it the captions, of one or more lines, are all.
    """
    soft = soft or {}
    drawn = styles_of(list(soft))
    data = {
        "shape": list(images.shape[1:]),
        "images": [
            {
                "pixels": base64.b64encode(np.ascontiguousarray(image, dtype=np.uint8).tobytes()).decode(),
                "caption": caption,
                "bars": [
                    [[class_names[c], round(float(p[number, c]), 6)] for c in np.argsort(-p[number], kind="stable")[:most]]
                    for p in soft.values()
                ],
            }
            for number, (image, caption) in enumerate(zip(images, captions, strict=True))
        ],
        "members": [{"name": n, "light": look.light, "dark": look.dark, "sign": SIGNS.get(look.symbol, "●")} for n, look in drawn.items()],
    }
    _gallery(data=data, key=key)
