"""A map as a learner sees it: choose its axes, start it, watch its cells sharpen, read what it says."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import streamlit as st

from distill_core import models, teachers
from distill_core.data import datasets
from distill_core.experiment import Experiment
from distill_core.figures import sweep as pictures
from distill_core.objectives import METHODS
from distill_core.runs.store import Run
from distill_core.studies.sweep import AXES, Grid, grid_of
from pages.components.live_chart import live_chart, picture_button
from pages.sections import controls, race
from pages.server.lab import engine, owner, pace, store

WITHOUT_T2 = "soft-targets-without-t2"
EVERY = 0.5  # seconds between two looks
VALUES = {
    "temperature": [0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0, 8.0, 12.0, 20.0, 30.0],
    "alpha": [0.0, 0.05, 0.1, 0.2, 0.3, 0.4, 0.6, 0.8, 0.9],
    "student": ["linear", "mlp-5x2", "mlp-10x2", "mlp-30x2", "mlp-100x2", "mlp-300x2", "cnn-4", "cnn-8"],
    "images": [100, 200, 300, 500, 1000, 2000, 5000, 10_000, 20_000],
    "label_noise": [0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6],
    "method": list(METHODS),
}
FIRST = {  # of each axis, when it is chosen
    "temperature": [1.0, 2.0, 3.0, 4.0, 6.0, 8.0, 12.0, 20.0],
    "alpha": [0.0, 0.1, 0.3, 0.6, 0.9],
    "student": ["mlp-5x2", "mlp-10x2", "mlp-30x2", "mlp-100x2"],
    "images": [200, 500, 1000, 2000, 5000],
    "label_noise": [0.0, 0.2, 0.4, 0.6],
    "method": ["soft-targets", "logits", "decoupled", "correlation"],
}
MAPS = {
    "Temperature and alpha": {"x": "temperature", "y": "alpha"},
    "Width and temperature": {
        "x": "temperature",
        "y": "student",
        "temperature": [1.0, 2.0, 4.0, 8.0, 20.0],
        "student": ["mlp-5x2", "mlp-10x2", "mlp-30x2", "mlp-100x2", "mlp-300x2"],
    },
    "How small can it be": {"x": "student", "y": "alpha", "alpha": [0.1], "student": VALUES["student"][:6]},
    "Images and wrong labels": {"x": "images", "y": "label_noise"},
    "Methods and temperature": {"x": "temperature", "y": "method"},
    "Methods and images": {
        "x": "images",
        "y": "method",
        "method": ["soft-targets", "hints", "similarity", "distances", "mutual-2", "label-smoothing"],
    },
}


def usual() -> dict[str, object]:
    """The page's choices as they begin, as the link names them."""
    here = "mnist" if datasets.DATASETS["mnist"].is_here() else "digits"
    return {
        "dataset": here,
        "images": 1000 if here == "mnist" else 500,
        "teacher": "mlp-1200x2",
        "student": "mlp-30x2",
        "method": "soft-targets",
        "temperature": 4.0,
        "alpha": 0.1,
        "epochs": 20,
        "batch_size": 64,
        "learning_rate": 0.01,
        "seeds": 5,
        "x": "temperature",
        "y": "alpha",
        "xs": "",  # the values of each axis, with commas between
        "ys": "",
        "run": "",
        "without": "",  # the run without the factor T squared
    }


def read_values(axis: str, text: str) -> list:
    """An axis's values as the link has them."""
    kind = type(getattr(Experiment(), axis))
    try:
        return [kind(part) for part in text.split(",") if part]
    except ValueError:
        st.toast(f"The link says {axis} {text[:40]}, which means nothing here.", icon=":material/link_off:")
        return []


def options(axis: str, dataset: str) -> list:
    """What an axis can take with this data set."""
    if axis == "teacher":
        return teachers.offered(dataset)
    source = datasets.DATASETS[dataset]
    if axis == "images":
        return [n for n in VALUES["images"] if n < source.train]
    return VALUES[axis]


def set_map(choice: dict) -> None:
    """One of MAPS: its axes and their values."""
    st.session_state.update({"map_x": choice["x"], "map_y": choice["y"]})
    for axis in (choice["x"], choice["y"]):
        st.session_state[f"map_values_{axis}"] = list(choice.get(axis, FIRST.get(axis, [])))


def choose() -> tuple[Grid, list[Experiment]] | None:
    """The map that the widgets describe; None, with a sentence, where they describe none."""
    here = [name for name, source in datasets.DATASETS.items() if source.kind or source.is_here()]
    controls.offer("Maps worth making", {title: title for title in MAPS}, take=lambda title: set_map(MAPS[title]))
    x = _select("x", "Along", list(AXES), format_func=pictures.NAMES.get)
    y = _select("y", "Up", [axis for axis in AXES if axis != x], format_func=pictures.NAMES.get)
    dataset = _select("dataset", "Images", here, format_func=lambda name: datasets.DATASETS[name].title)
    chosen = {axis: _values(axis, dataset) for axis in (x, y)}
    fixed = {}
    if "method" not in chosen:
        fixed["method"] = _select("method", "Method", list(METHODS), format_func=controls.method_title)
    if "student" not in chosen:
        fixed["student"] = _select("student", "Student", VALUES["student"])
    if "teacher" not in chosen:
        fixed["teacher"] = _select("teacher", "Teacher", teachers.offered(dataset))
    if "images" not in chosen:
        most = datasets.DATASETS[dataset].train
        many = [n for n in VALUES["images"] if n < most] + [0]
        fixed["images"] = _select("images", "How many the student sees", many, format_func=lambda n: f"{n:,}" if n else f"all {most:,}")
    if "temperature" not in chosen:
        fixed["temperature"] = _select("temperature", "Temperature T", VALUES["temperature"])
    if "alpha" not in chosen:
        fixed["alpha"] = _select("alpha", "alpha, the weight of the hard loss", VALUES["alpha"])
    seeds = st.slider("Seeds in each cell", 1, 10, key="map_seeds", persist_state="session", help="More seeds, less noise.")
    epochs = int(st.number_input("Epochs", 1, 100, key="map_epochs", persist_state="session"))
    batch_size = _select("batch_size", "Batch size", [16, 32, 64, 128, 256, 512])
    learning_rate = _select("learning_rate", "Learning rate", controls.RATES)
    try:
        grid = Grid(x, tuple(chosen[x]), y, tuple(chosen[y]), seeds)
        first = Experiment(dataset=dataset, epochs=epochs, batch_size=batch_size, learning_rate=learning_rate, **fixed)
        return grid, grid.experiments(first)
    except ValueError as error:
        st.error(str(error))
        return None


def _select(name: str, label: str, choices: list, **more: object) -> object:
    """A select box. A number that a link brought joins the usual ones; a name of another data set gives way to the first."""
    key = f"map_{name}"
    current = st.session_state.get(key)
    if isinstance(current, int | float):
        choices = sorted({*choices, current} - {0}) + [0] * (0 in choices) if name == "images" else sorted({*choices, current})
    elif current not in choices:
        st.session_state[key] = choices[0]
    return st.selectbox(label, choices, key=key, persist_state="session", **more)


def _values(axis: str, dataset: str) -> list:
    """Which values an axis has. A link may bring some that are not among the usual ones; what another data set had is gone."""
    key, possible = f"map_values_{axis}", options(axis, dataset)
    st.session_state.setdefault(key, FIRST.get(axis, possible))
    if axis in ("temperature", "alpha", "label_noise"):
        possible = sorted({*possible, *st.session_state[key]})
    kept = [value for value in st.session_state[key] if value in possible]
    if kept != st.session_state[key]:  # what is written here goes to the browser, and would undo a click made meanwhile
        st.session_state[key] = kept
    said = controls.method_title if axis == "method" else pictures.format_value
    picked = st.pills(pictures.NAMES[axis], possible, selection_mode="multi", key=key, format_func=said, persist_state="session")
    return [value for value in possible if value in picked]


def ask(grid: Grid, experiments: list[Experiment]) -> None:
    """The question of the map, how many students answer it, and how long they take here."""
    axes = [pictures.short_name(axis) for axis, values in ((grid.x, grid.xs), (grid.y, grid.ys)) if len(values) > 1]
    cells = len(grid.xs) * len(grid.ys)
    try:
        seconds = f"about {_rounded(engine().estimate(experiments))} here"
    except ValueError as error:
        seconds = str(error)
    each = f" x {grid.seeds} seeds" if grid.seeds > 1 else ""
    st.markdown(f"#### Which {' and which '.join(axes) or 'student'}?")
    st.markdown(f"{cells} cells{each} make {len(experiments)} students, each beside its baseline: {seconds}.")


def _rounded(seconds: float) -> str:
    return f"{seconds / 60:.0f} minutes" if seconds >= 100 else f"{max(1, round(seconds))} s"


def start(experiments: list[Experiment], *, title: str) -> str | None:
    """Queue a map, or find it on the shelf."""
    return race.start(experiments, title=title, kind="map")


# --- following it ---------------------------------------------------------------------------------------------------


def follow(run_ids: list[str]) -> None:
    """The live part: the map, or two beside each other, and what they say."""
    runs = [run for run_id in run_ids if (run := store().get(run_id)) is not None]
    if not runs:
        st.warning("This map is not here: it was deleted, or it belongs to another server. Start a new one.")
        return
    every = max(EVERY, pace()) if any(run.active for run in runs) else None
    st.fragment(_look, run_every=every)([run.id for run in runs], [run.active for run in runs], every)


def _look(run_ids: list[str], were_active: list[bool], every: float | None) -> None:
    _open_clicked()
    began = time.perf_counter()
    runs = [store().get(run_id) for run_id in run_ids]
    if None in runs or [run.active for run in runs] != were_active:
        st.rerun()
    standing = [_standing(run) for run in runs]
    widest = pictures.colour_limit(*(one.found for one in standing))
    for run, one in zip(runs, standing, strict=True):
        _say_how_it_stands(run, alone=len(runs) == 1)
        _draw(run, one, widest)
        st.markdown(pictures.LEGEND)
        st.markdown(one.words)
    if every and max(EVERY, pace(time.perf_counter() - began)) > 2 * every:
        st.rerun()


def _say_how_it_stands(run: Run, *, alone: bool) -> None:
    which = f"**{variant(run) or 'with T²'}**, " if variant(run) or not alone else ""
    epochs = Experiment.from_json(run.experiments[0]).epochs  # of each student; the run counts those of one shape after another
    said = f"finished: {epochs} epochs in {run.seconds:.1f} s" if run.status == "finished" else engine().status(run.id)
    st.markdown(f":material/{race.ICONS[run.status]}: {which}{said}")


@dataclass(frozen=True, eq=False)
class Standing:
    """A map as far as it has come: its numbers, its words, its cells' curves."""

    key: tuple[str, int, int]  # the run, its resets, how many accuracies it has told
    of_all: Experiment  # what the cells share, and what the first alone has
    grid: Grid
    found: pictures.Cells
    curves: list[dict]
    words: str


def _standing(run: Run) -> Standing:
    """How the map stands; reckoned anew only when there are new accuracies."""
    resets = store().version(run.id)[1]
    return _reckoned(run.id, resets, _read(run.id, resets), run)


@st.cache_resource(max_entries=32, show_spinner=False)
def _reckoned(run_id: str, resets: int, accuracies: int, _run: Run) -> Standing:
    experiments = [Experiment.from_json(text) for text in _run.experiments]
    grid, (history, _, lock) = grid_of(experiments), _digest(run_id, resets)
    with lock:
        history = {key: list(curve) for key, curve in history.items()}
    test_images = datasets.DATASETS[experiments[0].dataset].test
    rows, columns = len(grid.ys), len(grid.xs)
    found = pictures.cells(history, test_images=test_images, rows=rows, columns=columns, seeds=grid.seeds)
    curves = [
        {"title": _name(grid, *place), "lines": pictures.cell_lines(history, place, columns=columns, seeds=grid.seeds)}
        for place in np.ndindex(rows, columns)
    ]
    axes = {"x": grid.x, "xs": grid.xs, "y": grid.y, "ys": grid.ys}
    words = f"{pictures.summary(found, **axes)}\n\n{pictures.best_by_row(found, **axes)}"
    return Standing((run_id, resets, accuracies), experiments[0], grid, found, curves, words)


def _read(run_id: str, resets: int) -> int:
    """Read the accuracies that are new in the store, for all who look together; returns how many there are by now."""
    history, last, lock = _digest(run_id, resets)
    with lock:
        for told in store().records(run_id, after=last[0]):
            last[0] = told["row"]
            if told["test_accuracy"] is not None:
                history.setdefault((told["experiment"], told["member"]), []).append((told["epoch"], told["test_accuracy"]))
        return sum(map(len, history.values()))


@st.cache_resource(max_entries=32, show_spinner=False)
def _digest(run_id: str, resets: int) -> tuple[dict, list[int], threading.Lock]:
    return {}, [0], threading.Lock()


def _draw(run: Run, standing: Standing, widest: float) -> None:
    grid, found = standing.grid, standing.found
    height = max(320, min(560, 90 + 54 * len(grid.ys)))
    figure, frame = _drawn(standing.key, widest, height, standing)
    first = 0 if np.isnan(found.difference).all() else int(np.nanargmax(found.difference))
    live_chart(
        figure,
        key=f"map_{run.id}",
        height=height,
        revision=f"{run.id} {run.resets}",
        details={"frame": frame, "cells": standing.curves, "first": first},
        picture=_picture(grid, found, standing.of_all),
        on_click=lambda cell: st.session_state.update(map_open=(run.id, cell)),
    )


@st.cache_resource(max_entries=32, show_spinner=False)
def _drawn(key: tuple, widest: float, height: int, _standing: Standing) -> tuple[dict, dict]:
    """The map, and the frame of its cells' curves; `key` says which `_standing` it is."""
    grid, found = _standing.grid, _standing.found
    accuracies = found.student[~np.isnan(found.student)]
    lowest = max(0.0, 10 * ((accuracies.min() if len(accuracies) else 0) // 10 - 2))
    figure = pictures.sweep_figure(found, x=grid.x, xs=grid.xs, y=grid.y, ys=grid.ys, height=height, limit=widest)
    return figure.to_dict(), pictures.cell_figure(epochs=_standing.of_all.epochs, height=height, lowest=float(lowest)).to_dict()


def _picture(grid: Grid, found: pictures.Cells, of_all: Experiment) -> dict[str, str]:
    """What a map says where there is no page around it."""
    fixed = {"student": of_all.student, "images": f"{of_all.images or datasets.DATASETS[of_all.dataset].train:,} images"}
    fixed |= {"temperature": f"T {of_all.temperature:g}", "alpha": f"alpha {of_all.alpha:g}", "teacher": f"teacher {of_all.teacher}"}
    fixed |= {"method": _called(of_all.method)}
    same = [said for axis, said in fixed.items() if said and axis not in (grid.x, grid.y)]
    same += [f"{of_all.epochs} epochs", f"{grid.seeds} seed{'s' * (grid.seeds > 1)}"]
    caption = [pictures.LEGEND]
    if not np.isnan(found.difference).all():
        caption.insert(0, "Best cell: {}: {}".format(*pictures.best_in_words(found, x=grid.x, xs=grid.xs, y=grid.y, ys=grid.ys)))
    title = f"{datasets.DATASETS[of_all.dataset].title}: {', '.join(same)}"
    return {"title": title, "caption": "<br>".join(caption), "name": f"map of {grid.x} and {grid.y}"}


def _name(grid: Grid, row: int, column: int) -> str:
    parts = [(grid.x, grid.xs[column])] + ([(grid.y, grid.ys[row])] if len(grid.ys) > 1 else [])
    return ", ".join(f"{pictures.short_name(axis)} {pictures.format_value(value)}" for axis, value in parts)


def _open_clicked() -> None:
    """If a cell was clicked: its race, with all its settings."""
    run_id, cell = st.session_state.pop("map_open", (None, None))
    run = store().get(run_id) if run_id else None
    if run is None:
        return
    experiments = [Experiment.from_json(text) for text in run.experiments]
    seeds = grid_of(experiments).seeds
    chosen = experiments[cell * seeds : (cell + 1) * seeds]
    controls.restore(chosen)
    st.session_state.update({"run": None, "restored": None})
    st.switch_page("pages/race.py", query_params=controls.link_to(chosen))


# --- afterwards -----------------------------------------------------------------------------------------------------


def show_slices(run: Run) -> None:
    """One row and one column of the map, with intervals."""
    standing = _standing(run)
    grid, found = standing.grid, standing.found
    if np.isnan(found.difference).all():
        return
    row, column = np.unravel_index(np.nanargmax(found.difference), found.difference.shape)
    cuts = [(grid.x, grid.xs, grid.y, grid.ys, int(row), "row")]
    if len(grid.ys) > 1:
        cuts.append((grid.y, grid.ys, grid.x, grid.xs, int(column), "column"))
    for place, (axis, values, other, others, best, cut) in zip(st.columns(len(cuts)), cuts, strict=True):
        with place:
            at = best
            if len(others) > 1:
                names = pictures.tick_labels(other, others)
                at = st.selectbox(
                    f"Slice at {pictures.NAMES[other]}", range(len(others)), index=best, format_func=names.__getitem__, key=f"slice_{cut}"
                )  # fmt: skip
            live_chart(pictures.slice_figure(found, axis=axis, values=values, **{cut: at}), key=f"slice_{run.id}_{cut}_chart", height=300)


SIZES = {"parameters": "parameters", "bytes": "bytes as float32", "latency": "milliseconds for one image on this machine"}


def show_front(run: Run) -> None:
    """Where the student is an axis: accuracy against its size, and the front of what nothing beats."""
    standing = _standing(run)
    grid, found = standing.grid, standing.found
    if "student" not in (grid.x, grid.y) or np.isnan(found.student).any():
        return
    names, axis = (grid.xs, 0) if grid.x == "student" else (grid.ys, 1)
    st.subheader("How small can it be?")
    what = st.segmented_control("Size in", list(SIZES), default="parameters", format_func=SIZES.get, key="map_size") or "parameters"
    source = datasets.DATASETS[Experiment.from_json(run.experiments[0]).dataset]
    sizes = [_size(name, what, source.image_shape, len(source.class_names)) for name in names]
    sides = {"student": found.student.max(axis=axis).tolist(), "baseline": found.baseline.max(axis=axis).tolist()}
    live_chart(pictures.front_figure(sizes, sides, names, size=SIZES[what]), key=f"front_{run.id}", height=420, revision=what)
    beaten = [name for i, name in enumerate(names) if i not in pictures.pareto_front(sizes, sides["student"])]
    st.markdown(f"Beaten in both size and accuracy: {', '.join(beaten)}." if beaten else "No student is beaten in both size and accuracy.")


@st.cache_data(show_spinner=False)
def _size(name: str, what: str, image_shape: tuple[int, int, int], classes: int) -> float:
    if what == "latency":
        return 1000 * models.latency(name, image_shape=image_shape, classes=classes)
    return models.count_parameters(name, image_shape=image_shape, classes=classes) * (4 if what == "bytes" else 1)


def table(run: Run) -> pd.DataFrame:
    """The map as rows: its cell, accuracies in percent, difference in points with its interval."""
    standing = _standing(run)
    grid, found = standing.grid, standing.found
    places = list(np.ndindex(found.difference.shape))
    cells = {grid.y: [grid.ys[row] for row, _ in places], grid.x: [grid.xs[column] for _, column in places]}
    numbers = {
        name: [getattr(found, name)[place] for place in places] for name in ("student", "baseline", "difference", "low", "high", "epoch")
    }
    return pd.DataFrame({**cells, **numbers, "seeds": grid.seeds})


def keep(run: Run) -> None:
    """The map to take along: its numbers, and its picture."""
    which = f" {variant(run)}" if variant(run) == _called(WITHOUT_T2) else ""
    with st.container(horizontal=True, vertical_alignment="center"):
        st.download_button(
            f"The map{which} as CSV", table(run).to_csv(index=False), file_name="map.csv", mime="text/csv", key=f"map_csv_{run.id}"
        )  # fmt: skip
        picture_button(f"The map{which} as a picture", chart=f"map_{run.id}")


def variant(run: Run) -> str:
    """The method of all cells in words, if it is not the usual one; nothing where the cells differ in it."""
    first, last = (Experiment.from_json(run.experiments[place]).method for place in (0, -1))
    return _called(first) if first == last else ""


def _called(method: str) -> str:
    return {Experiment.method: "", WITHOUT_T2: "without T\u00b2"}.get(method, METHODS[method].title)


def can_leave_t2_out(experiments: list[Experiment]) -> bool:
    """Whether the map has a twin without the factor T squared: other methods have no such factor, or keep theirs."""
    return {experiment.method for experiment in experiments} == {Experiment.method}


def without_t2(experiments: list[Experiment]) -> list[Experiment]:
    """The same map with the factor T squared left out."""
    return [replace(experiment, method=WITHOUT_T2) for experiment in experiments]


def mine(run_id: str) -> bool:
    """Whether this browser may stop the run."""
    return engine().may_control(run_id, owner=owner())
