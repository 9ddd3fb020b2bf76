"""Distill Lab: the table of contents."""

import streamlit as st

st.navigation(
    [
        st.Page("pages/start.py", title="Start", default=True),
        st.Page("pages/race.py", title="Race"),
        st.Page("pages/map.py", title="Map"),
        st.Page("pages/methods.py", title="Methods"),
        st.Page("pages/find_the_bug.py", title="Find the bug"),
        st.Page("pages/microscope.py", title="Microscope"),
        st.Page("pages/draw.py", title="Draw"),
        st.Page("pages/dark_knowledge.py", title="Dark knowledge"),
        st.Page("pages/trust.py", title="Trust"),
        st.Page("pages/runs.py", title="Runs"),
    ],
    position="top",
).run()
