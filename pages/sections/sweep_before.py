"""What the page Sweep shows before a sweep is started: the finished sweep of these settings, or one that was measured for the lab."""

from __future__ import annotations

import math
from collections.abc import Sequence

import streamlit as st

from distill_core import models
from distill_core.data import datasets
from distill_core.experiment import Experiment
from distill_core.figures import sweep as figures
from distill_core.runs.keys import run_key
from distill_core.studies import advice
from pages.components.live_chart import have_charts_ready, live_chart
from pages.sections import sweep, sweep_live
from pages.server.lab import link, store

HEIGHT = 320  # of the heat map: the title of its vertical axis fits


def show(experiments: Sequence[Experiment]) -> None:
    """The finished sweep of these settings, if the lab has one; otherwise the measured sweep that is most like them."""
    run = store().finished_with_key(run_key(experiments))
    if run is not None and run.kind != "race":
        st.markdown("**These settings were trained before:**")
        sweep_live.follow([run.id])
        link("pages/sweep.py", "Open this finished sweep", icon="flag", run=run.id)
    elif not datasets.is_text(experiments[0].dataset) and (rows := advice.kept()):
        _show_measured(min(rows, key=lambda row: _distance(row["experiment"], experiments[0])))
    else:
        st.markdown(f"Each cell will show the {sweep_live.cell_in_words(experiments[0].dataset)}.")
        have_charts_ready()


def _distance(measured: dict, first: Experiment) -> tuple[bool, float]:
    """How far a measured sweep is from these settings: another data set, then other sizes of student and of transfer set."""
    source = datasets.DATASETS[first.dataset]
    size = {"image_shape": source.image_shape, "classes": len(source.class_names)}
    students = (models.count_parameters(name, **size) for name in (measured["student"], first.student))
    images = (measured["images"], first.images or source.train)
    return measured["dataset"] != first.dataset, sum(abs(math.log(a / b)) for a, b in (students, images))


def _show_measured(row: dict) -> None:
    """A sweep that ships with the lab: what was run, when and how often, its heat map, and its result in words."""
    grid, test, validation = advice.as_sweep(row)
    first = Experiment.from_fields(row["experiment"])
    source = datasets.DATASETS[first.dataset]
    st.markdown(
        f":material/history: **An example, measured before:** {source.title}, {first.images:,} images, student {first.student}, "
        f"teacher {first.teacher}, {first.epochs} epochs, {grid.seeds} seeds, recorded on {row['date']}. Nothing is training now."
    )
    st.markdown(f"Each cell: {sweep_live.CELL}.", help=sweep_live.CELL_HELP)
    axes = {"x": grid.x, "xs": grid.xs, "y": grid.y, "ys": grid.ys}
    shape = {"rows": len(grid.ys), "columns": len(grid.xs), "seeds": grid.seeds}
    cells = figures.cells(test, validation=validation, test_images=row["test_images"], **shape)
    live_chart(figures.sweep_figure(cells, **axes, height=HEIGHT), key="sweep_example", height=HEIGHT)
    st.markdown(figures.legend(cells.score))
    st.markdown(figures.summary(cells, **axes, validation=first.validation))
    link("pages/sweep.py", "Use the settings of this sweep", icon="tune", **sweep.link_to(grid, first))
