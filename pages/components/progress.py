"""The learner's guesses, kept in the learner's own browser and nowhere else."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

import streamlit as st

_progress = st.components.v2.component(
    "progress",
    css=".stElementContainer:has(.progress-store) {\nposition: absolute; }",  # takes no room on the page
    html='<span class="progress-store" hidden>\n</span>',
    js=(Path(__file__).parent / "progress.js").read_text(),
    isolate_styles=False,
)


def kept_guesses(new: dict[str, float | str], *, names: Collection[str], key: str = "progress") -> dict[str, float | str]:
    """The guesses by lesson that this browser keeps, after `new` were added; empty until the browser has sent them.

    Only lessons among `names` count, and only numbers and texts: a browser may send anything.
    """
    _progress(data={"new": new}, key=key, on_guesses_change=lambda: None)
    state = st.session_state.get(key)
    sent = state.get("guesses") if isinstance(state, dict) else None
    sent = sent if isinstance(sent, dict) else {}
    return {name: guess for name, guess in sent.items() if name in names and isinstance(guess, int | float | str)} | new
