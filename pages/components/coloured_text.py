"""Texts side by side, each token on a background that shows a number, such as the uncertainty of the network that wrote it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import streamlit as st

from distill_core.figures.palette import style_of

HERE = Path(__file__).parent

_coloured_text = st.components.v2.component(
    "coloured_text",
    html='<div class="coloured-text">\n</div>',
    css=(HERE / "coloured_text.css").read_text(),
    js=(HERE / "images.js").read_text() + (HERE / "coloured_text.js").read_text(),
)


def coloured_text(
    texts: dict[str, Sequence[tuple[str, float | None]]],
    *,
    most: float,
    unit: str,
    prompt: str,
    key: str,
    epoch: int | None = None,
    updates: str = "",
) -> None:
    """Show the texts of several networks by name: tokens, each with its number from 0 to `most`, or None for no colour.

    `prompt` is what all of them begin with. Texts are written as they are, never as Markdown or HTML.

    - `epoch`: after which of them the texts were written, in a line above them.
    - `updates`: the address of a live chart on the same page: the texts that its updates bring replace those of these names.
    """  # fmt: skip
    data = {
        "epoch": epoch,
        "updates": updates,
        "prompt": prompt,
        "most": most,
        "unit": unit,
        "texts": [
            {
                "name": name,
                "light": style_of(name, number).light,
                "dark": style_of(name, number).dark,
                "tokens": [[token, None if value is None else round(float(value), 3)] for token, value in tokens],
            }
            for number, (name, tokens) in enumerate(texts.items())
        ],
    }
    _coloured_text(data=data, key=key)
