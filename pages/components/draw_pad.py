"""A pad for drawing with mouse, pen, finger or keyboard. The server gets the pixels during the stroke."""

from __future__ import annotations

import base64
import binascii
from pathlib import Path

import numpy as np
import streamlit as st

HERE = Path(__file__).parent
GRID = 112  # the drawing has GRID x GRID grey pixels: 4 x 4 for each pixel of an MNIST image
THICKNESS = 9  # of the pen, in pixels of the grid: about the stroke width of MNIST if the digit fills most of the pad

_draw_pad = st.components.v2.component(
    "draw_pad",
    html="""
    <div class="draw-pad">
      <div class="paper"><canvas tabindex="0" role="application" aria-roledescription="drawing pad"
        aria-label="Draw a digit: arrow keys move the pen, Space puts it down and lifts it, Backspace removes the last stroke."></canvas>
        <span class="hint">Draw a digit</span></div>
      <p class="keys">Arrow keys move the pen, Space puts it down and lifts it. <b class="state" role="status"></b></p>
      <div class="tools">
        <button type="button" class="undo">Undo</button>
        <button type="button" class="clear">Clear</button>
        <label>Pen width <input type="range" class="thickness" min="4" max="20" step="1" aria-label="pen width"></label>
      </div>
    </div>""",
    css=(HERE / "draw_pad.css").read_text(),
    js=(HERE / "draw_pad.js").read_text(),
)


def draw_pad(*, key: str) -> np.ndarray:
    """The drawing `(GRID, GRID)` uint8: 0 is empty, 255 full ink. Updated at the end of each stroke and during long ones."""
    state = (st.session_state.get(key) or {}).get("drawing")
    number = state.get("number") if isinstance(state, dict) else None
    data = {"grid": GRID, "thickness": THICKNESS, "received": number if isinstance(number, int) else 0}
    return read_drawing(_draw_pad(data=data, key=key, on_drawing_change=_nothing).drawing)


def read_drawing(state: object) -> np.ndarray:
    """The pixels `(GRID, GRID)` of the browser's message; an empty drawing if it is malformed: a browser may send anything."""
    empty = np.zeros((GRID, GRID), np.uint8)
    try:
        blob = base64.b64decode(state["pixels"], validate=True)
    except (TypeError, KeyError, IndexError, binascii.Error, ValueError):
        return empty
    return np.frombuffer(blob, np.uint8).reshape(GRID, GRID).copy() if len(blob) == GRID * GRID else empty


def _nothing() -> None:
    """Streamlit gives a component's state an attribute only if a callback is registered for it."""
