"""A sweep that has ended: slices with intervals, accuracy against size, and downloads."""

from __future__ import annotations

import numpy as np
import pandas as pd
import streamlit as st

from distill_core import models
from distill_core.data import datasets
from distill_core.figures import sweep as figures
from distill_core.runs.store import Run
from distill_core.statistics import BITS
from pages.components.live_chart import live_chart, picture_button
from pages.sections.sweep import WITHOUT_T2
from pages.sections.sweep_live import method_label, snapshot, variant

BITS_COLUMNS = {  # names of the columns of a sweep's CSV, of a text; of images the fields themselves
    "student": "student bits a character",
    "baseline": "baseline bits a character",
    "difference": "gain in bits a character",
    "low": "gain low",
    "high": "gain high",
    "epoch": "epoch",
}
SIZES = {"parameters": "parameters", "bytes": "bytes as float32", "latency": "milliseconds per image on this machine"}


def show_slices(run: Run) -> None:
    """One row and one column of the heat map, with 95 % intervals."""
    current = snapshot(run)
    grid, cells = current.grid, current.cells
    if np.isnan(cells.difference).all():
        return
    row, column = figures.best_cell(cells)
    slices = [(grid.x, grid.xs, grid.y, grid.ys, row, "row")]
    if len(grid.ys) > 1:
        slices.append((grid.y, grid.ys, grid.x, grid.xs, column, "column"))
    for place, (axis, values, other, others, best, direction) in zip(st.columns(len(slices)), slices, strict=True):
        with place:
            at = best
            if len(others) > 1:
                names = figures.tick_labels(other, others)
                at = st.selectbox(
                    f"Slice at {figures.axis_title(other, cells)}", range(len(others)), index=best, format_func=names.__getitem__,
                    key=f"slice_{direction}", help="One row or column of the heat map, with 95 % intervals. Starts at the best cell.",
                )  # fmt: skip
            live_chart(
                figures.slice_figure(cells, axis=axis, values=values, **{direction: at}),
                key=f"slice_{run.id}_{direction}_chart",
                height=300,
            )


def show_front(run: Run) -> None:
    """If the student is an axis: accuracy against size, and the Pareto front."""
    current = snapshot(run)
    grid, cells = current.grid, current.cells
    if "student" not in (grid.x, grid.y) or np.isnan(cells.student).any():
        return
    names, axis = (grid.xs, 0) if grid.x == "student" else (grid.ys, 1)
    of_text = cells.score is BITS
    on = f"on the {'validation' if current.first.validation else 'test'} {'windows' if of_text else 'images'}"
    st.subheader(
        "Bits a character vs. size" if of_text else "Accuracy vs. size",
        help=f"The line is the Pareto front: no other student is both at most as large and {on} at least as accurate as one on the line"
        f"{', that is, needs as few bits' if of_text else ''}. "
        f"Of each student the best cell counts: {_chosen_on(current.first.validation, of_text=of_text)}.",
    )
    measure = st.segmented_control(
        "Size in", list(SIZES), default="parameters", format_func=_size_in_words(of_text).get, key="sweep_size",
        help="The horizontal axis of the chart.",
    ) or "parameters"  # fmt: skip
    source = datasets.about(current.first.dataset)
    sizes = [_size(name, measure, source.image_shape, len(source.class_names)) for name in names]
    chosen_by, title = figures.choice_along(cells, axis), _size_in_words(of_text)[measure]
    figure = figures.front_figure(sizes, figures.best_along(cells, axis), names, size=title, chosen_by=chosen_by, score=cells.score)
    live_chart(figure, key=f"front_{run.id}", height=420, revision=measure)
    front = figures.pareto_front(sizes, [cells.score.sign * value for value in chosen_by["student"]])
    dominated = [name for i, name in enumerate(names) if i not in front]
    st.markdown(f"Not on the Pareto front: {', '.join(dominated)}." if dominated else "All students are on the Pareto front.")


def _size_in_words(of_text: bool) -> dict[str, str]:
    return {name: words.replace("image", "window") if of_text else words for name, words in SIZES.items()}


def _chosen_on(validation: int, *, of_text: bool) -> str:
    if of_text and validation:
        return f"the one with the fewest bits a character on {validation:,} validation windows, with its bits on the test text"
    if of_text:
        return "the one with the fewest bits a character on the test text, which are biased downwards where they are the fewest of several"
    if validation:
        return f"the one with the highest accuracy on {validation:,} validation images, with its accuracy on the test images"
    return "the one with the highest test accuracy, which is biased upwards where it is the highest of several"


@st.cache_data(show_spinner=False)
def _size(name: str, measure: str, image_shape: tuple[int, int, int], classes: int) -> float:
    """A student's size by a measure of SIZES."""
    if measure == "latency":
        return 1000 * models.latency(name, image_shape=image_shape, classes=classes)
    return models.count_parameters(name, image_shape=image_shape, classes=classes) * (4 if measure == "bytes" else 1)


def table(run: Run) -> pd.DataFrame:
    """One row per cell: test accuracies in percent, their difference in points with its 95 % interval, epoch, seeds.

    And the validation accuracies by which the best cell was chosen, if images were held out. Of a text all are bits a character, the
    names of the columns say so, and the difference is a gain: above 0 the student needs fewer.
    """
    current = snapshot(run)
    grid, cells = current.grid, current.cells
    places = list(np.ndindex(cells.difference.shape))
    axes = {grid.y: [grid.ys[row] for row, _ in places], grid.x: [grid.xs[column] for _, column in places]}
    names = BITS_COLUMNS if cells.score is BITS else {name: name for name in BITS_COLUMNS}
    columns = {name: [getattr(cells, field)[place] for place in places] for field, name in names.items()}
    if cells.validated:
        on = "bits a character on validation windows" if cells.score is BITS else "on validation images"
        for member, accuracies in zip(("student", "baseline"), cells.choice.mean(axis=-1), strict=True):
            columns[f"{member} {on}"] = [accuracies[place] for place in places]
    covers = "variation between seeds" if grid.seeds > 1 else "nothing" if cells.score is BITS else "choice of test images"
    return pd.DataFrame({**axes, **columns, "seeds": grid.seeds, "interval covers": covers})


def show_downloads(run: Run) -> None:
    """The numbers as CSV and the heat map as a picture."""
    note = f" ({variant(run)})" if variant(run) == method_label(WITHOUT_T2) else ""
    with st.container(horizontal=True, vertical_alignment="center"):
        st.download_button(
            f"Download CSV{note}", table(run).to_csv(index=False), file_name="sweep.csv", mime="text/csv", key=f"sweep_csv_{run.id}",
            help="One line per cell: accuracies, or bits a character of a text, their difference with its 95 % interval and what that "
            "covers, epoch, seeds.",
        )  # fmt: skip
        picture_button(f"Download picture{note}", chart=f"sweep_heatmap_{run.id}")
