"""Experiments from papers: what a paper states, what was measured here, and a smaller version to run live."""

import streamlit as st

from distill_core.studies.literature import STUDIES
from pages.sections import literature
from pages.sections.source import show_source
from pages.server.lab import set_up
from pages.server.link import from_link, settle, to_link

set_up("Experiments from papers")
st.title("Do the papers' experiments work here?")
from_link("literature", {"study": ""})
settle("literature_study", list(STUDIES))
name = st.selectbox(
    "Experiment", list(STUDIES), key="literature_study", format_func=lambda key: STUDIES[key].title, persist_state="session",
    help="Each is an experiment of a paper, repeated on this lab's data sets and networks.",
)  # fmt: skip
study = STUDIES[name]
literature.show_paper(study)
literature.show_results(name, study)
literature.show_live(name, study)
to_link("literature", {"study": name})
show_source(study.judge, *([study.after] if study.after else []))
