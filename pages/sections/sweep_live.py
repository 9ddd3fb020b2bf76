"""A sweep while it trains: its heat map, each cell's curves, and the result so far in words."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass

import numpy as np
import streamlit as st

from distill_core.data import datasets
from distill_core.experiment import Experiment
from distill_core.figures import sweep as figures
from distill_core.method_settings import SETTINGS, settings_of
from distill_core.runs.store import Run
from distill_core.statistics import ACCURACY, BITS
from distill_core.studies.sweep import Grid, grid_of
from distill_core.text_objectives import method_of
from pages.components.live_chart import live_chart
from pages.sections import controls
from pages.sections.sweep import WITHOUT_T2, is_offered
from pages.server.byte_cache import ByteCache
from pages.server.curves import ICONS
from pages.server.experiments import experiments_of
from pages.server.lab import engine, link, pace, run_owner, store
from pages.server.plain_text import plain, show_error

TESTED, VALIDATED = ([getattr(score, name) for score in (ACCURACY, BITS)] for name in ("field", "validation"))  # fields of a record
POLL_SECONDS = 0.5
PAIR = ("student", "baseline")
BYTES_OF_POINT = 150  # of an accuracy and its epoch, as Python keeps them
CELL = "test accuracy of the student minus that of its baseline, in percentage points"
CELL_OF_TEXT = (
    "bits a character that the student needs less than its baseline to encode the test text; fewer bits are better, so above 0 the "
    "student is better"
)
CELL_HELP = (
    "Mean over the seeds. The baseline has the same initial weights and batches and learns from the labels only. The 95 % interval is "
    "that of the paired differences: it covers the variation between seeds, with this teacher and these test images held fixed. With one "
    "seed it is that of McNemar's test, of the images that only one of the two networks classifies correctly: it covers the choice of "
    "test images alone, and is wider until the sweep has ended. A hatched cell's interval contains 0."
)
CELL_HELP_OF_TEXT = (
    "Mean over the seeds. The baseline has the same initial weights and batches and learns from the text only. The 95 % interval is "
    "that of the paired differences over the seeds, with this teacher and this test text held fixed; with one seed there is none. A "
    "hatched cell's interval contains 0, or is not known. A race shows the same difference the other way round: student minus baseline."
)


@dataclass(frozen=True, eq=False)
class Snapshot:
    """A sweep as far as it is trained: the numbers of its cells, the curves of each, and the result in words."""

    key: tuple[str, int, int, bool]  # run id, resets, number of measured accuracies, ended: equal keys mean equal snapshots
    first: Experiment  # the first cell; settings that are not on an axis are those of all cells
    grid: Grid
    cells: figures.Cells
    curves: list[dict]
    words: str


def cell_in_words(dataset: str) -> str:
    """What the number in a cell is."""
    return CELL_OF_TEXT if datasets.is_text(dataset) else CELL


def that_can_be_shown(run_ids: list[str]) -> list[str]:
    """Of these runs the sweeps that this page can show; of any other one sentence says why not."""
    runs = [store().get(run_id) for run_id in run_ids]
    if None in runs:
        st.warning("This sweep does not exist: it was deleted, or it is on another server. Start a new one.")
    return [run.id for run in runs if run is not None and _can_be_shown(run)]


def _can_be_shown(run: Run) -> bool:
    if run.kind == "race":
        st.warning("The run of this link is a race.")
        link("pages/race.py", "Open it on the Race page", icon="sprint", run=run.id)
        return False
    try:
        experiments = experiments_of(run)
        grid_of(experiments)
        if not is_offered(experiments[0].dataset):
            raise ValueError(f"run {run.id} is a sweep over uploaded images, which this page cannot show; open another run")
        datasets.about(experiments[0].dataset)  # an own text may have been deleted since
    except ValueError as error:
        show_error(error)
        return False
    return True


def follow(run_ids: list[str]) -> None:
    """The live part of the page: one sweep, or two with a common colour scale."""
    runs = [run for run_id in run_ids if (run := store().get(run_id)) is not None]
    if not runs:
        st.warning("This sweep does not exist: it was deleted, or it is on another server. Start a new one.")
        return
    every = max(POLL_SECONDS, pace()) if any(run.active for run in runs) else None
    st.fragment(_update, run_every=every)([run.id for run in runs], [run.active for run in runs], every)


def _update(run_ids: list[str], were_active: list[bool], every: float | None) -> None:
    _open_clicked_cell()
    started = time.perf_counter()
    runs = [store().get(run_id) for run_id in run_ids]
    if None in runs or [run.active for run in runs] != were_active:
        st.rerun()
    snapshots = [snapshot(run) for run in runs]
    limit = figures.colour_limit(*(current.cells for current in snapshots))
    for run, current in zip(runs, snapshots, strict=True):
        _show_status(run, alone=len(runs) == 1)
        of_text = current.cells.score is BITS
        st.markdown(f"Each cell: {cell_in_words(current.first.dataset)}.", help=CELL_HELP_OF_TEXT if of_text else CELL_HELP)
        _show_heat_map(run, current, limit)
        st.markdown(figures.legend(current.cells.score))
        st.markdown(current.words)
    if every and max(POLL_SECONDS, pace(time.perf_counter() - started)) > 2 * every:
        st.rerun()  # with a longer interval: polling faster than the page draws would slow the training down


def _show_status(run: Run, *, alone: bool) -> None:
    prefix = f"**{variant(run) or 'with T²'}**, " if variant(run) or not alone else ""
    epochs = experiments_of(run)[0].epochs  # per student; run.epochs adds up cohorts that train one after another
    status = f"finished: {epochs} epochs in {run.seconds:.1f} s" if run.status == "finished" else plain(engine().status(run.id))
    st.markdown(f":material/{ICONS[run.status]}: {prefix}{status}")


# --- the numbers ----------------------------------------------------------------------------------------------------


def snapshot(run: Run) -> Snapshot:
    """The sweep as it is in the store; computed again only if there are new accuracies."""
    resets = store().version(run.id)[1]
    key = run.id, resets, _read_accuracies(run.id, resets), run.status == "finished"
    return _SNAPSHOTS.get(key, lambda: _compute_snapshot(*key, run))


def _compute_snapshot(run_id: str, resets: int, accuracies: int, ended: bool, run: Run) -> Snapshot:
    experiments = experiments_of(run)
    grid, (*histories, _, lock) = grid_of(experiments), _history(run_id, resets)
    with lock:
        history, validation = ({key: list(curve) for key, curve in one.items()} for one in histories)
    source = datasets.about(experiments[0].dataset)
    score, test_images = (BITS if source.is_text else ACCURACY), source.test
    rows, columns = len(grid.ys), len(grid.xs)
    shape = {"rows": rows, "columns": columns, "seeds": grid.seeds}
    discordant = _discordant(run_id) if ended and grid.seeds == 1 and not source.is_text else {}
    window = controls.window_in_words(source.name) if source.is_text else ""
    about_cells = {"validation": validation, "test_images": test_images, "discordant": discordant, "score": score, "window": window}
    cells = figures.cells(history, **about_cells, **shape)
    curves = [
        {"title": _cell_name(grid, *place), "lines": figures.cell_lines(history, place, columns=columns, seeds=grid.seeds, score=score)}
        for place in np.ndindex(rows, columns)
    ]
    about = {"x": grid.x, "xs": grid.xs, "y": grid.y, "ys": grid.ys, "validation": experiments[0].validation}
    words = f"{figures.summary(cells, **about)}\n\n{figures.best_by_row(cells, **about, test_images=test_images)}"
    return Snapshot((run_id, resets, accuracies, ended), experiments[0], grid, cells, curves, words)


def _discordant(run_id: str) -> dict[int, int]:
    """By race, how many test images exactly one of its two networks classifies correctly; races of earlier versions are left out."""
    counts = ([one.get(member, {}).get("discordant") for member in PAIR] for one in store().results(run_id))
    return {race: sum(both) for race, both in enumerate(counts) if None not in both}


def _cell_name(grid: Grid, row: int, column: int) -> str:
    parts = [(grid.x, grid.xs[column])] + ([(grid.y, grid.ys[row])] if len(grid.ys) > 1 else [])
    return ", ".join(f"{figures.short_name(axis)} {figures.format_value(value)}" for axis, value in parts)


def _read_accuracies(run_id: str, resets: int) -> int:
    """Append the new accuracies, or bits, of the store to the histories that all sessions share; returns how many tests they have."""
    history, validation, last, lock = _history(run_id, resets)
    with lock:
        for record in store().records(run_id, after=last[0]):
            last[0] = record["row"]
            for found, measures in ((history, TESTED), (validation, VALIDATED)):
                for value in (record[name] for name in measures if record[name] is not None):
                    found.setdefault((record["experiment"], record["member"]), []).append((record["epoch"], value))
        count = sum(map(len, history.values()))
    _HISTORIES.grown((run_id, resets))
    return count


def _history(run_id: str, resets: int) -> tuple[dict, dict, list[int], threading.Lock]:
    """Accuracies on test and on validation images by (experiment, member), the last row that was read, and a lock for all."""
    return _HISTORIES.get((run_id, resets), lambda: ({}, {}, [0], threading.Lock()))


def _bytes_of_history(kept: tuple[dict, dict, list[int], threading.Lock]) -> int:
    return BYTES_OF_POINT * sum(len(curve) for one in kept[:2] for curve in list(one.values()))


_HISTORIES: ByteCache[tuple[dict, dict, list[int], threading.Lock]] = ByteCache(64e6, size=_bytes_of_history)
_SNAPSHOTS: ByteCache[Snapshot] = ByteCache(64e6, size=lambda kept: 2 * BYTES_OF_POINT * (kept.key[2] + len(kept.curves)))


# --- the heat map ---------------------------------------------------------------------------------------------------


def _show_heat_map(run: Run, current: Snapshot, limit: float) -> None:
    height = max(320, min(560, 90 + 54 * len(current.grid.ys)))
    figure, frame = _draw(current.key, limit, height, current)
    first = 0 if np.isnan(current.cells.gain).all() else int(np.nanargmax(current.cells.gain))
    live_chart(
        figure,
        key=f"sweep_heatmap_{run.id}",
        height=height,
        revision=f"{run.id} {run.resets}",
        details={"frame": frame, "cells": current.curves, "first": first},
        picture=_picture_texts(current),
        on_click=lambda cell: st.session_state.update(sweep_open=(run.id, cell)),
    )


@st.cache_resource(max_entries=16, show_spinner=False)
def _draw(key: tuple, limit: float, height: int, _snapshot: Snapshot) -> tuple[dict, dict]:
    """The heat map, whose colours end at plus and minus `limit`, and an empty chart for a cell's curves."""
    grid, cells = _snapshot.grid, _snapshot.cells
    figure = figures.sweep_figure(cells, x=grid.x, xs=grid.xs, y=grid.y, ys=grid.ys, height=height, limit=limit)
    frame = figures.cell_figure(epochs=_snapshot.first.epochs, height=height, between=_curves_between(cells), score=cells.score)
    return figure.to_dict(), frame.to_dict()


def _curves_between(cells: figures.Cells) -> tuple[float, float]:
    """The ends of the vertical axis of a cell's curves: the same for all cells, around where their curves are now."""
    reached = np.concatenate([side[~np.isnan(side)] for side in (cells.student, cells.baseline)])
    if cells.score is BITS:
        low, high = (reached.min(), reached.max()) if len(reached) else (0.0, 5.0)
        room = max(high - low, 0.05 * high)
        return float(max(0.0, low - room)), float(high + 2 * room)
    return float(max(0.0, 10 * ((reached.min() if len(reached) else 0) // 10 - 2))), 100.0


def _picture_texts(current: Snapshot) -> dict[str, str]:
    """Title, caption and file name of a downloaded picture, which has no page around it."""
    grid, cells, first = current.grid, current.cells, current.first
    source = datasets.about(first.dataset)
    examples = "windows" if source.is_text else "images"
    shared = {
        "student": first.student,
        "images": f"{first.images or source.train:,} {examples}",
        "temperature": f"T {first.temperature:g}",
        "alpha": f"alpha {first.alpha:g}",
        "teacher": f"teacher {first.teacher}",
        "method": method_label(first.method),
    }
    if "method" not in (grid.x, grid.y):
        shared |= {name: f"{SETTINGS[name].symbol} {getattr(first, name)}" for name in settings_of(first.method)}
    settings = [text for axis, text in shared.items() if text and axis not in (grid.x, grid.y)]
    settings += [f"{first.epochs} epochs", f"{grid.seeds} seed{'s' * (grid.seeds > 1)}"]
    in_words = cell_in_words(first.dataset)
    caption = [f"{in_words[0].upper()}{in_words[1:]}. {figures.legend(cells.score)}"]
    if not np.isnan(cells.difference).all():
        name, best = figures.best_in_words(cells, x=grid.x, xs=grid.xs, y=grid.y, ys=grid.ys)
        chosen_on = figures.set_of_choice(cells.score, validation=first.validation)
        caption.insert(0, f"Best cell, chosen on {chosen_on}: {name}: {best}")
    return {"title": f"{source.title}: {', '.join(settings)}", "caption": "<br>".join(caption), "name": f"sweep of {grid.x} and {grid.y}"}


def _open_clicked_cell() -> None:
    """Open the clicked cell, if there is one, as a race with all its settings."""
    run_id, cell = st.session_state.pop("sweep_open", (None, None))
    run = store().get(run_id) if run_id else None
    if run is None:
        return
    experiments = experiments_of(run)
    seeds = grid_of(experiments).seeds
    chosen = experiments[cell * seeds : (cell + 1) * seeds]
    controls.restore(chosen)
    st.session_state.update({"run": None, "restored": None})
    st.switch_page("pages/race.py", query_params=controls.link_to(chosen))


# --- names and rights -----------------------------------------------------------------------------------------------


def variant(run: Run) -> str:
    """The method that all cells share, in words; empty for the default method, and where methods are an axis."""
    experiments = experiments_of(run)
    first, last = experiments[0].method, experiments[-1].method
    return method_label(first) if first == last else ""


def method_label(method: str) -> str:
    """A method in a few words; empty for the default."""
    return {Experiment.method: "", WITHOUT_T2: "without T\u00b2"}.get(method, method_of(method).title)


def may_stop(run_id: str) -> bool:
    """Whether this browser may stop the run."""
    return engine().may_control(run_id, owner=run_owner())
