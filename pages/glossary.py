"""The glossary, the history of distillation, and what to know before."""

import streamlit as st

from distill_core.glossary import BEFORE, TERMS, TIMELINE, find
from pages.sections import glossary
from pages.server.lab import set_up
from pages.server.link import from_link, settle, to_link
from pages.server.plain_text import plain

VIEWS = ("Terms", "History", "What to know before")

set_up("Glossary")
st.title("What does this term mean?")
from_link("glossary", {"term": "", "view": VIEWS[0]})
term = ""
if asked := st.session_state["glossary_term"]:
    try:
        term = find(asked)
    except ValueError:
        st.warning(f"The term '{plain(asked)}' is not in the glossary; all terms are below.")
settle("glossary_view", list(VIEWS))
view = st.segmented_control(
    "View", VIEWS, key="glossary_view", required=True, help="Terms of this lab, the history of the field, and what to know before."
)
if view == VIEWS[0]:
    glossary.show_terms(TERMS, first=term)
elif view == VIEWS[1]:
    glossary.show_history(TIMELINE)
else:
    glossary.show_before(BEFORE)
to_link("glossary", {"term": term, "view": view})
