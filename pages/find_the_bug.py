"""Find the bug: two implementations, one of them with a mistake that somebody once published. Which?"""

import streamlit as st

from distill_core.objectives import METHODS
from pages.components.live_chart import have_charts_ready
from pages.sections import bugs
from pages.sections.source import show_source
from pages.server.lab import set_up

set_up("Find the bug")
st.title("Something is wrong here. What?")
st.markdown(
    "Two students learn side by side from the same digits. The **right** one hears its teacher as it should. In the code of the "
    "**suspect** is one of six mistakes, each found in a public repository. Choose $T$ and alpha, let both run, look for what "
    "differs, and name it. At another $T$ or alpha the same mistake shows itself differently."
)
with st.container(horizontal=True, vertical_alignment="bottom"):
    temperature = st.select_slider("Temperature T", bugs.TEMPERATURES, 8.0, key="bug_T")
    alpha = st.select_slider("alpha, the weight of the hard loss", bugs.ALPHAS, 0.1, key="bug_alpha")
    run = st.button("Let both run", type="primary", icon=":material/play_arrow:", key="bug_run", disabled=bugs.running())
    another = st.button("Hide another bug", icon=":material/casino:", key="bug_another")
if another:
    bugs.hide_another()
    st.rerun()
if run and bugs.start(temperature, alpha):
    st.rerun()
if bugs.runs():
    bugs.follow()
else:
    have_charts_ready()
bugs.guess()
if named := bugs.solved():
    show_source(METHODS[named].definition)
