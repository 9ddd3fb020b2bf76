"""Methods: what else than soft targets a student can learn from, and what each is worth."""

import streamlit as st

from distill_core.objectives import METHODS
from pages.sections import methods
from pages.sections.method_inputs import show_what_is_compared
from pages.sections.source import functions_of, show_source
from pages.server.lab import set_up
from pages.server.link import from_link, settle, to_link

USUAL = {"group": "Logits", "method": "", "setting": "", "dataset": "", "image": 0, "student": ""}

set_up("Methods")
st.title("What can a student learn from?")
from_link("methods", USUAL)
state = st.session_state

settle("methods_group", list(methods.GROUPS))
group = st.segmented_control(
    "Kind", list(methods.GROUPS), key="methods_group", required=True, label_visibility="collapsed", persist_state="session"
)
st.markdown(methods.GROUPS[group])
names = methods.members(group)
settle("methods_method", list(names))
name = st.selectbox("Method", list(names), key="methods_method", format_func=names.get, persist_state="session")
methods.show_card(name)
if group in methods.OF_SEVERAL:
    methods.show_who_teaches_whom(name)
else:
    show_what_is_compared(name)
methods.show_comparison(name)
to_link("methods", {choice: state.get(f"methods_{choice}", "") for choice in USUAL})
if name in METHODS:
    show_source(*functions_of(METHODS[name].definition))
