"""Draw a digit: teacher, baseline and student classify it during each stroke."""

import streamlit as st

from distill_core.data.drawing import centre_digit
from pages.sections import draw, networks
from pages.sections.source import show_source
from pages.server.lab import set_up
from pages.server.link import from_link
from pages.server.plain_text import show_error

set_up("Draw")
st.markdown("#### How do the networks classify your digit?")
linked = from_link("draw", draw.DEFAULTS)
if linked and "run" not in st.query_params:  # such a link was made with the teacher alone
    st.session_state["draw_run"] = draw.NONE
draw.restore_slider(linked=linked)

choices = draw.choose()
try:
    loaded = draw.load(choices)
except ValueError as error:
    show_error(error)
    st.stop()
draw.show_pad_and_bars(choices, loaded)
networks.note_images_only()
show_source(centre_digit)
