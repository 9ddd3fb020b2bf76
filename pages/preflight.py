"""Preflight: is this machine ready for a lecture?"""

import streamlit as st

from pages.sections import preflight
from pages.server.lab import set_up

set_up("Preflight")
st.title("Is this machine ready?")
preflight.show_findings(preflight.findings(int(st.get_option("server.port"))))
if st.button(
    "Check again", icon=":material/refresh:", key="check_again", help="Checks the machine again; the findings are kept for ten minutes."
):
    preflight.findings.clear()
    st.rerun()
st.subheader(
    "Seconds that each preset takes here",
    help="A preset is a race with prepared settings; the pages Race, Presentation and Lecturer offer it.",
)
preflight.seconds()
st.caption("On the command line: `python -m distill_core doctor --presets`.")
