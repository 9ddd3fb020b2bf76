"""The page Advisor in parts: what is asked, the advice with one press to try it, and what it rests on."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from distill_core import advisor
from distill_core.advisor import BYTES, Advice, title_of
from distill_core.data import datasets
from distill_core.figures.sweep import front_figure
from distill_core.statistics import format_points
from pages.components.live_chart import live_chart
from pages.sections import controls
from pages.server.lab import link
from pages.server.link import bound, settle
from pages.server.plain_text import plain, show_error

DEFAULTS = {"dataset": "mnist", "labels": 1000, "kilobytes": 20.0}
MAX_KILOBYTES = 100_000.0
COLUMNS = {
    "student": "The best temperature and alpha of each student that fits, by the validation images; best student first.",
    "kB": "Parameters of four bytes each.",
    "test accuracy": "The mean over the seeds with its 95 % interval.",
    "labels alone": "The mean test accuracy of the same student without a teacher.",
    "gain": "Student minus labels alone in points, paired seed by seed, with its 95 % interval.",
}


def choose() -> tuple[str, int, float]:
    """Data set, number of labels and budget in kB."""
    data, labels, budget = st.columns(3)
    settle("advisor_dataset", list(datasets.DATASETS))
    with data:
        dataset = st.selectbox(
            "Data set", list(datasets.DATASETS), key="advisor_dataset", format_func=title_of, persist_state="session",
            help="The advice names what was measured for it and what was not.",
        )  # fmt: skip
    most = datasets.DATASETS[dataset].train
    bound("advisor_labels", 1, most)
    bound("advisor_kilobytes", 0.1, MAX_KILOBYTES)
    with labels:
        count = st.number_input(
            "Labelled images", 1, most, key="advisor_labels", persist_state="session", help="How many images with labels you can train on."
        )
    with budget:
        kilobytes = st.number_input(
            "Budget in kB", 0.1, MAX_KILOBYTES, key="advisor_kilobytes", persist_state="session",
            help="The most that the student may take, at four bytes a parameter: 20 kB are 5,000 parameters.",
        )  # fmt: skip
    return dataset, int(count), float(kilobytes)


def show(dataset: str, labels: int, kilobytes: float) -> None:
    """The advice, or one sentence where none can be given."""
    try:
        found = advisor.advise(dataset, labels=labels, max_bytes=1000 * kilobytes)
    except ValueError as error:
        show_error(error)
        return
    box, icon = (st.success, "check") if found.candidates else (st.warning, "help")
    box(f"**{plain(found.headline)}**", icon=f":material/{icon}:")
    _offer(found)
    if found.candidates:
        _compare(found)
    for heading, sentences in (("It rests on", found.reasons), ("Not measured", found.gaps)):
        if sentences:
            st.markdown(f"**{heading}**\n\n" + "\n".join(f"- {plain(sentence)}" for sentence in sentences))


def _offer(found: Advice) -> None:
    """The press that opens a race with these settings; a sweep where nothing was measured."""
    with st.container(horizontal=True):
        link("pages/race.py", "Try it: a race with these settings", icon="sprint", **controls.link_to(advisor.races(found)))
        shared = {name: str(getattr(found.experiment, name)) for name in ("dataset", "images", "student", "epochs", "batch_size")}
        link("pages/sweep.py", "Measure it: a sweep over T and alpha", icon="grid_on", **shared)


def _compare(found: Advice) -> None:
    """The students that fit: accuracy against size, and the numbers."""
    sizes = [BYTES * one.parameters / 1000 for one in found.candidates]
    sides = {
        "student": [one.accuracy[0] for one in found.candidates],
        "baseline": [one.labels_alone[0] for one in found.candidates],
    }
    names = [one.experiment.student for one in found.candidates]
    figure = front_figure(sizes, sides, names, size="size (kB)")
    live_chart(figure, key="advisor_front", height=420, revision=" ".join(names))
    rows = [
        {
            "student": f"{one.experiment.student}, {_setting(one)}",
            "kB": f"{size:,.1f}",
            "test accuracy": "{:.1f} % ({:.1f} to {:.1f})".format(*one.accuracy),
            "labels alone": f"{one.labels_alone[0]:.1f} %",
            "gain": f"{format_points(one.gain[0])} ({format_points(one.gain[1])} to {format_points(one.gain[2])})",
        }
        for one, size in zip(found.candidates, sizes, strict=True)
    ]
    columns = {name: st.column_config.TextColumn(name, help=text) for name, text in COLUMNS.items()}
    st.dataframe(pd.DataFrame(rows), hide_index=True, column_config=columns)


def _setting(one: advisor.Candidate) -> str:
    return f"T = {one.experiment.temperature:g}, alpha = {one.experiment.alpha:g}" if one.distils else "labels alone"
