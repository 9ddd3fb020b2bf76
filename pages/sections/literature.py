"""An experiment of a paper: its question and claim, the measured results, and links to run a smaller version."""

from __future__ import annotations

from dataclasses import asdict, replace

import pandas as pd
import streamlit as st

from distill_core.figures.literature import study_figure
from distill_core.studies import study as studies
from distill_core.studies.study import Study
from pages.components.live_chart import live_chart
from pages.sections import controls, sweep
from pages.server.lab import link

LIVE_SEEDS = 5
MEANINGS = {
    "measured": "What is compared. A difference is student minus student of the same seed.",
    "paper": "The figure or the statement of the paper.",
    "this lab": "Mean over the seeds, with its 95 % interval (Student's t) in brackets.",
    "conclusion": "An effect appears if its mean is at least three standard errors from zero, in the direction that the paper states.",
}


def show_paper(study: Study) -> None:
    """The question, and what the paper states, with the section."""
    st.markdown(f"**{study.question}**")
    st.markdown(f"*{study.source.replace('*', '')}:* {study.paper}  \n*This lab:* {study.notes}")


def show_results(name: str, study: Study) -> None:
    """The shipped numbers: a figure and one row for each claim. Labelled as a replay, because nothing is trained here."""
    kept = studies.kept().get(name)
    if kept is None:
        st.markdown(
            f"Not measured for this lab yet; race a smaller version below. On the command line, `python -m distill_core "
            f"preset {name} --keep` "
            "measures the whole experiment."
        )
        return
    st.markdown(
        f":material/history: **Replay**, measured on {kept['date']} over {kept['seeds']} seeds by `{kept['command']}`, in "
        f"{kept['cpu_seconds']:,} CPU seconds on {kept['machine']}."
    )
    figure = study_figure([asdict(point) for point in study.points(kept["runs"])], x_title=study.axes[0], y_title=study.axes[1])
    live_chart(figure, key="literature_figure", height=figure.layout.height, revision=name)
    rows = [dict(zip(MEANINGS, (one.text, one.paper, one.as_text(), one.conclusion), strict=True)) for one in study.judge(kept["runs"])]
    columns = {column: st.column_config.TextColumn(column, help=text) for column, text in MEANINGS.items()}
    st.dataframe(pd.DataFrame(rows), hide_index=True, column_config=columns)


def show_live(name: str, study: Study) -> None:
    """Links to the pages Race and Sweep with a smaller version of the study, and the command of the whole one."""
    st.subheader("Run it yourself")
    st.markdown(
        "Each link opens a smaller version; start it with *Train* there. "
        f"The whole experiment: `python -m distill_core preset {name} --seeds {study.seeds}`."
    )
    for label, experiment in study.live.items():
        seeds = [replace(experiment, seed=seed) for seed in range(LIVE_SEEDS)]
        link("pages/race.py", f"Race: {label}", icon="sprint", **controls.link_to(seeds))
    if study.sweep:
        link("pages/sweep.py", "Sweep: all temperatures and widths", icon="grid_on", **sweep.link_to(*study.sweep))
