"""Presentation: a preset on the wall, with keys."""

import streamlit as st

from distill_core.studies.presets import PRESETS
from pages.sections import presentation
from pages.server.lab import set_up, store

set_up("Presentation")
st.html(presentation.STYLE)
name = presentation.choose()
run_id = st.session_state.get("shown_run")
run = store().get(run_id) if run_id else None

place = presentation.NAMES.index(name) + 1
st.markdown(f"## {PRESETS[name].title}")
st.markdown(PRESETS[name].question)
presentation.show(name, run)
presentation.buttons(name, run)
st.caption(
    f"Preset {place} of {len(PRESETS)}, a race with prepared settings. Keys: \u2190 \u2192 preset, Space play or pause, S step, "
    "\u232b reset, V reveal, P replay."
)
