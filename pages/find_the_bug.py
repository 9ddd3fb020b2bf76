"""Find the bug: a correct implementation and one with a published mistake train side by side. Which mistake is it?"""

import streamlit as st

from distill_core.objectives import METHODS
from pages.sections import bugs
from pages.sections.help_texts import HELP
from pages.sections.source import show_source
from pages.server.lab import set_up

set_up("Find the bug")
st.title("Which bug does this implementation have?")
st.markdown(
    "Two students train on the same digits with the same teacher. The implementation of the first is **correct**. That of the second, "
    f"the **suspect**, has one of {len(bugs.BUGS)} bugs that are common in distillation code. Choose T and alpha, train "
    f"both, compare the curves, and "
    "name the bug. Each bug shows best at certain values of T and alpha, and not at all at others." + bugs.method_note()
)
with st.container(horizontal=True, vertical_alignment="bottom"):
    temperature = st.select_slider("Temperature T", bugs.TEMPERATURES, 8.0, key="bug_T", help=HELP["temperature"])
    alpha = st.select_slider(
        "alpha, the weight of the hard loss", bugs.ALPHAS, 0.1, key="bug_alpha", help="1: labels only. 0: soft targets only."
    )
    train = st.button(
        "Train both", type="primary", icon=":material/play_arrow:", key="bug_train", disabled=bugs.training(),
        help="Trains the correct implementation and the suspect with these settings.",
    )  # fmt: skip
    new = st.button("New bug", icon=":material/casino:", key="bug_new", help="Draws another bug at random and clears the curves.")
if new:
    bugs.draw_new_bug()
    st.rerun()
if train and bugs.start(temperature, alpha):
    st.rerun()
if bugs.runs():
    bugs.follow()
else:
    bugs.show_correct()
bugs.show_guesses()
if name := bugs.found_bug():
    show_source(METHODS[name].definition)
