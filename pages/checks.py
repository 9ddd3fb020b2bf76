"""Checks: questions on what the lessons taught, drawn from a trained network and from recorded races."""

import streamlit as st

from pages.sections import budget, checks
from pages.server.lab import set_up
from pages.server.link import bound, from_link, settle, to_link

set_up("Checks")
st.title("Check what you have learned")
from_link("checks", {"kind": "", "number": 1})
kinds = [*checks.KINDS, budget.KIND]
settle("checks_kind", kinds)
bound("checks_number", 1, checks.MOST)
kind = st.segmented_control(
    "Kind of question",
    kinds,
    key="checks_kind",
    required=True,
    help="Each kind has many questions, made from trained networks and recorded runs. In the last kind, the student, T and alpha that you "
    "choose are trained and compared with the lab's choice.",
)
number = st.session_state["checks_number"]
if kind == budget.KIND:
    checks.note(kind, number, budget.ask(number))
else:
    checks.ask(kind, number)
to_link("checks", {"kind": kind, "number": number})
