"""Distill Lab: the table of contents."""

import streamlit as st

GROUPS = {
    "Learn": [
        st.Page("pages/start.py", title="Start", default=True),
        st.Page("pages/lessons.py", title="Lessons"),
        st.Page("pages/checks.py", title="Checks"),
        st.Page("pages/glossary.py", title="Glossary"),
    ],
    "Experiment": [
        st.Page("pages/race.py", title="Race"),
        st.Page("pages/sweep.py", title="Sweep"),
        st.Page("pages/methods.py", title="Methods"),
        st.Page("pages/experiments_from_papers.py", title="Experiments from papers"),
        st.Page("pages/find_the_bug.py", title="Find the bug"),
        st.Page("pages/compress.py", title="Compress"),
        st.Page("pages/advisor.py", title="Advisor"),
    ],
    "Look inside": [
        st.Page("pages/soft_targets.py", title="Soft targets"),
        st.Page("pages/dark_knowledge.py", title="Dark knowledge"),
        st.Page("pages/calibration.py", title="Calibration"),
        st.Page("pages/draw.py", title="Draw"),
    ],
    "Lab notebook": [st.Page("pages/runs.py", title="Runs")],
    "Class": [
        st.Page("pages/classroom.py", title="Classroom"),
        st.Page("pages/presentation.py", title="Presentation"),
        st.Page("pages/lecturer.py", title="Lecturer"),
        st.Page("pages/preflight.py", title="Preflight"),
    ],
    # Addresses of an earlier version: each opens the page that took its place.
    "": [
        st.Page("pages/map.py", title="Sweep", visibility="hidden"),
        st.Page("pages/microscope.py", title="Soft targets", visibility="hidden"),
        st.Page("pages/trust.py", title="Calibration", visibility="hidden"),
    ],
}
page = st.navigation(GROUPS, position="top")
st.session_state["menu"] = next(number for number, pages in enumerate(GROUPS.values(), start=1) if page in pages)
page.run()
