"""A pad to draw on with mouse, pen or finger; the server gets its ink while it is drawn."""

from __future__ import annotations

import base64
import binascii
from pathlib import Path

import numpy as np
import streamlit as st

HERE = Path(__file__).parent
GRID = 112  # the ink comes as GRID x GRID grey pixels, four to a pixel of MNIST
THICKNESS = 9  # of the pen, in pixels of the grid: about MNIST's, when a digit fills most of the pad

_draw_pad = st.components.v2.component(
    "draw_pad",
    html="""
    <div class="draw-pad">
      <div class="paper"><canvas aria-label="draw a digit here"></canvas><span class="hint">Draw a digit</span></div>
      <div class="tools">
        <button type="button" class="undo">Undo</button>
        <button type="button" class="clear">Clear</button>
        <label>Pen <input type="range" class="thickness" min="4" max="20" step="1" aria-label="thickness of the pen"></label>
      </div>
    </div>""",
    css=(HERE / "draw_pad.css").read_text(),
    js=(HERE / "draw_pad.js").read_text(),
)


def draw_pad(*, key: str) -> np.ndarray:
    """The ink `(GRID, GRID)` uint8 as it is now: 0 where there is none. Comes at every pen-up, and now and then while drawing."""
    told = (st.session_state.get(key) or {}).get("ink")
    heard = told.get("number") if isinstance(told, dict) else None
    data = {"grid": GRID, "thickness": THICKNESS, "heard": heard if isinstance(heard, int) else 0}
    return read_ink(_draw_pad(data=data, key=key, on_ink_change=_nothing).ink)


def read_ink(told: object) -> np.ndarray:
    """What the browser sent as ink; an empty pad where it is none: a browser may send anything."""
    empty = np.zeros((GRID, GRID), np.uint8)
    try:
        blob = base64.b64decode(told["pixels"], validate=True)
    except (TypeError, KeyError, IndexError, binascii.Error, ValueError):
        return empty
    return np.frombuffer(blob, np.uint8).reshape(GRID, GRID).copy() if len(blob) == GRID * GRID else empty


def _nothing() -> None:
    """Streamlit gives a component's state an attribute only where it has a callback."""
