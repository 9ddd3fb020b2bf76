"""Setting up a sweep: its axes, their values, and the settings that all cells share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import streamlit as st

from distill_core import models, teachers
from distill_core.data import datasets
from distill_core.experiment import Experiment
from distill_core.figures import sweep as figures
from distill_core.objectives import METHODS
from distill_core.studies.sweep import AXES, Grid
from pages.sections import controls, networks, race
from pages.server import incoming
from pages.server.lab import engine
from pages.server.link import bound, reset, settle
from pages.server.plain_text import show_error

WITHOUT_T2 = "soft-targets-without-t2"
MAX_SEEDS, MAX_EPOCHS = 10, 100
VALUES = {
    "temperature": [0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0, 8.0, 12.0, 20.0, 30.0],
    "alpha": [0.0, 0.05, 0.1, 0.2, 0.3, 0.4, 0.6, 0.8, 0.9],
    "student": ["linear", "mlp-5x2", "mlp-10x2", "mlp-30x2", "mlp-100x2", "mlp-300x2", "cnn-4", "cnn-8"],
    "images": [100, 200, 300, 500, 1000, 2000, 5000, 10_000, 20_000],
    "label_noise": [0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6],
    "method": list(METHODS),
}
INITIAL = {  # values of an axis when it is chosen first
    "temperature": [1.0, 2.0, 3.0, 4.0, 6.0, 8.0, 12.0, 20.0],
    "alpha": [0.0, 0.1, 0.3, 0.6, 0.9],
    "student": ["mlp-5x2", "mlp-10x2", "mlp-30x2", "mlp-100x2"],
    "images": [200, 500, 1000, 2000, 5000],
    "label_noise": [0.0, 0.2, 0.4, 0.6],
    "method": ["soft-targets", "logits", "decoupled", "correlation"],
}
QUESTION = {  # an axis in the heading
    "temperature": "temperature",
    "alpha": "alpha",
    "student": "the student",
    "images": "the number of training images",
    "label_noise": "the share of wrong labels",
    "teacher": "the teacher",
    "method": "the method",
}
PRESETS = {
    "Temperature and alpha": {"x": "temperature", "y": "alpha"},
    "Student width and temperature": {
        "x": "temperature",
        "y": "student",
        "temperature": [1.0, 2.0, 4.0, 8.0, 20.0],
        "student": ["mlp-5x2", "mlp-10x2", "mlp-30x2", "mlp-100x2", "mlp-300x2"],
    },
    "Student size": {"x": "student", "y": "alpha", "alpha": [0.1], "student": VALUES["student"][:6]},
    "Training images and wrong labels": {"x": "images", "y": "label_noise"},
    "Methods and temperature": {"x": "temperature", "y": "method"},
    "Methods and training images": {
        "x": "images",
        "y": "method",
        "method": ["soft-targets", "hints", "similarity", "distances", "mutual-2", "label-smoothing"],
    },
}


def defaults() -> dict[str, object]:
    """Initial choices of the page, by the names that its link uses."""
    dataset = "mnist" if datasets.DATASETS["mnist"].is_here() else "digits"
    return {
        "dataset": dataset,
        "images": 1000 if dataset == "mnist" else 500,
        "validation": held_out(dataset),
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
        "xs": "",  # values of the horizontal axis, separated by commas
        "ys": "",
        "run": "",
        "without_t2": "",  # the run without the factor T squared
    }


def held_out(dataset: str) -> int:
    """How many validation images a sweep holds out unless told otherwise: few enough to be measured at each test."""
    return 2000 if datasets.DATASETS[dataset].train >= 10_000 else 300


def link_to(grid: Grid, usual: Experiment) -> dict[str, str]:
    """The query of the sweep page's address for this sweep; `usual` has the settings that all cells share."""
    shared = {name: str(getattr(usual, name)) for name in defaults() if hasattr(usual, name)}
    axes = {"x": grid.x, "y": grid.y, "xs": ",".join(map(str, grid.xs)), "ys": ",".join(map(str, grid.ys))}
    return shared | axes | {"seeds": str(grid.seeds)}


def restore_axes() -> None:
    """Set the values of both axes to those of the link. If one of them is invalid, one sentence says so, and the usual ones stay."""
    state = st.session_state
    for name, axis in (("xs", state["sweep_x"]), ("ys", state["sweep_y"])):
        texts = [text for text in state[f"sweep_{name}"].split(",") if text]
        if axis in AXES and texts:
            try:
                state[f"sweep_values_{axis}"] = read_values(axis, texts)
            except ValueError as error:
                incoming.report_link(error)


def read_values(axis: str, texts: Sequence[str]) -> list:
    """The values of an axis from their texts in a link. Raises `ValueError` with one sentence if one of them is invalid."""
    values = list(dict.fromkeys(incoming.read_all(axis, texts, type(getattr(Experiment(), axis)))))
    for value in values:
        _check(axis, value)
    return values


def _check(name: str, value: object) -> None:
    """Raise `ValueError` with one sentence if no experiment on the data set of this page can have this value."""
    if name == "teacher":
        teachers.parse_ensemble(value)
    elif name == "student":
        models.check_model(value)
    elif name == "method":
        if value not in METHODS:
            raise ValueError(f"method '{incoming.shorten(value)}' is not known; choose one of: {incoming.choices(list(METHODS))}")
    else:
        source = datasets.DATASETS.get(st.session_state.get("sweep_dataset"), datasets.DATASETS[Experiment.dataset])
        replace(Experiment(dataset=source.name, alpha=0.5), **{name: value})


def possible_values(axis: str, dataset: str) -> list:
    """The values of an axis that this data set allows."""
    if axis == "teacher":
        return teachers.offered(dataset)
    source = datasets.DATASETS[dataset]
    if axis == "images":
        return [n for n in VALUES["images"] if n < source.train]
    return VALUES[axis]


def apply_preset(preset: dict) -> None:
    """Set both axes and their values to those of an entry of PRESETS."""
    st.session_state.update({"sweep_x": preset["x"], "sweep_y": preset["y"]})
    for axis in (preset["x"], preset["y"]):
        st.session_state[f"sweep_values_{axis}"] = list(preset.get(axis, INITIAL.get(axis, [])))


def choose() -> tuple[Grid, list[Experiment]] | None:
    """The sweep that the widgets describe; None, with an error message, if it is invalid."""
    available = [name for name, source in datasets.DATASETS.items() if source.kind or source.is_here()]
    controls.offer(
        "Presets for both axes", {title: title for title in PRESETS}, take=lambda title: apply_preset(PRESETS[title]),
        help="Choosing one sets both axes and their values; the other settings stay.",
    )  # fmt: skip
    x = _select("x", "Horizontal axis", list(AXES), format_func=figures.NAMES.get, help="The setting that differs from column to column.")
    y = _select(
        "y", "Vertical axis", [axis for axis in AXES if axis != x], format_func=figures.NAMES.get,
        help="The setting that differs from row to row. With a single value, the sweep is one row.",
    )  # fmt: skip
    dataset = _select(
        "dataset", "Data set", available, format_func=lambda name: datasets.DATASETS[name].title, on_change=_follow_dataset
    )  # fmt: skip
    chosen = {axis: _choose_values(axis, dataset) for axis in (x, y)}
    shared = _choose_shared(dataset, without=chosen) | {"validation": _choose_validation(dataset)}
    bound("sweep_seeds", 1, MAX_SEEDS)
    seeds = st.slider(
        "Seeds per cell", 1, MAX_SEEDS, key="sweep_seeds", persist_state="session",
        help="Pairs of student and baseline per cell, with different initial weights. More seeds give narrower intervals.",
    )  # fmt: skip
    training = _choose_training()
    try:
        grid = Grid(x, tuple(chosen[x]), y, tuple(chosen[y]), seeds)
        return grid, grid.experiments(Experiment(dataset=dataset, **shared, **training))
    except ValueError as error:
        show_error(error)
        return None


def _choose_shared(dataset: str, *, without: dict[str, list]) -> dict[str, object]:
    """The settings that all cells share: those that are not on an axis."""
    train = datasets.DATASETS[dataset].train
    counts = [n for n in VALUES["images"] if n < train] + [0]
    widgets = {
        "method": ("Method", list(METHODS), {"format_func": controls.method_title}),
        "student": ("Student", VALUES["student"], {"format_func": networks.name_with_layers}),
        "teacher": ("Teacher", teachers.offered(dataset), {"format_func": networks.name_with_layers}),
        "images": ("Training images", counts, {"format_func": lambda n: f"{n:,}" if n else f"all {train:,}"}),
        "temperature": ("Temperature T", VALUES["temperature"], {}),
        "alpha": ("alpha, the weight of the hard loss", VALUES["alpha"], {}),
    }
    chosen = {name: _select(name, label, options, **more) for name, (label, options, more) in widgets.items() if name not in without}
    networks.show_notes(dataset, *without.get("teacher", [chosen.get("teacher")]))
    return chosen


def _follow_dataset() -> None:
    """Keep the chosen teacher if it is shipped for the new data set; otherwise choose the default of the set."""
    state = st.session_state
    state["sweep_teacher"] = teachers.teacher_after_change(state["sweep_dataset"], state["sweep_teacher"])


def _choose_validation(dataset: str) -> int:
    """The number of training images on which the best cell is chosen."""
    train = datasets.DATASETS[dataset].train
    bound("sweep_validation", 0, (train - 1) // 2, otherwise=held_out(dataset))
    return _select(
        "validation", "Validation images", [n for n in controls.VALIDATION if n < train / 2],
        format_func=lambda n: f"{n:,}" if n else "none: choose on the test images",
        help="Training images that are held out: nothing trains on them. The best cell is the one with the largest gain on them; the "
        "figures of all cells are those on the test images. Chosen on the test images, the best cell looks better than it is. Each seed "
        "holds out others.",
    )  # fmt: skip


def _choose_training() -> dict[str, object]:
    """Epochs, batch size and learning rate."""
    bound("sweep_epochs", 1, MAX_EPOCHS)
    epochs = st.number_input("Epochs", 1, MAX_EPOCHS, key="sweep_epochs", persist_state="session", help=controls.HELP["epochs"])
    return {
        "epochs": int(epochs),
        "batch_size": _select("batch_size", "Batch size", [16, 32, 64, 128, 256, 512]),
        "learning_rate": _select("learning_rate", "Learning rate", controls.RATES),
    }


def _select(name: str, label: str, options: list, **more: Any) -> Any:
    """A select box. A number from a link joins the options if it can be run; anything else becomes the first of them."""
    key = f"sweep_{name}"
    current = st.session_state.get(key)
    if isinstance(current, int | float) and current not in options:
        try:
            _check(name, current)
        except ValueError as error:
            reset(key, defaults()[name], reason=f"cannot be used: {error}")
        else:
            options = [*options, current]
    if isinstance(current, int | float):
        options = sorted({*options, st.session_state[key]} - {0}) + [0] * (0 in options) if name == "images" else sorted(options)
    else:
        settle(key, options)
    return st.selectbox(label, options, key=key, persist_state="session", **{"help": controls.HELP.get(name), **more})


def _choose_values(axis: str, dataset: str) -> list:
    """The values of an axis. Numbers from a link join the options; values that this data set does not allow are removed."""
    key, options = f"sweep_values_{axis}", possible_values(axis, dataset)
    st.session_state.setdefault(key, INITIAL.get(axis, options))
    if axis in ("temperature", "alpha", "label_noise"):  # of several with one label the usual value stays
        options = sorted({figures.format_value(value): value for value in (*st.session_state[key], *options)}.values())
    if axis == "alpha" and any(METHODS[name].needs_hard_loss for name in _chosen_methods()):
        options = [value for value in options if value > 0]
    valid = [value for value in st.session_state[key] if value in options]
    if valid != st.session_state[key]:  # write only a change: the server's value would undo a click made in the meantime
        st.session_state[key] = valid
    label = controls.method_title if axis == "method" else figures.format_value
    picked = st.pills(
        f"Values of {figures.NAMES[axis]}", options, selection_mode="multi", key=key, format_func=label, persist_state="session",
        help="Each selected value is a column (horizontal axis) or a row (vertical axis) of the heat map.",
    )  # fmt: skip
    return [value for value in options if value in picked]


def _chosen_methods() -> list[str]:
    """The methods of the sweep, from its axis or from the setting that all cells share."""
    state = st.session_state
    names = (
        state.get("sweep_values_method", INITIAL["method"]) if "method" in (state["sweep_x"], state["sweep_y"]) else [state["sweep_method"]]
    )
    return [name for name in names if name in METHODS]


def describe(grid: Grid, experiments: list[Experiment]) -> None:
    """The question of the sweep, how many students it trains, an estimate of the time, and their loss."""
    axes = [QUESTION[axis] for axis, values in ((grid.x, grid.xs), (grid.y, grid.ys)) if len(values) > 1]
    cells = len(grid.xs) * len(grid.ys)
    try:
        estimate = f"about {_rounded(engine().estimate(experiments))} on this machine"
    except ValueError as error:
        estimate = str(error)
    seeds = f" x {grid.seeds} seeds" if grid.seeds > 1 else ""
    st.markdown(f"#### How does the gain depend on {' and '.join(axes) or 'these settings'}?")
    losses = loss_names(experiments)
    unit = " A nat is the unit of a loss with the natural logarithm: 1.44 bits." if "nats" in losses else ""
    st.markdown(
        f"{cells} cells{seeds} = {len(experiments)} students, each with its baseline: {estimate}. Loss: hard loss and {losses}.",
        help="The gain is the test accuracy of a student minus that of its baseline, which learns from the labels only. Each student "
        "minimises alpha times the hard loss plus (1 \u2212 alpha) times the loss of its method. The hard loss is the cross-entropy "
        f"with the labels.{unit}",
    )
    networks.show_untrained(experiments[0].dataset, *dict.fromkeys(experiment.teacher for experiment in experiments))


def loss_names(experiments: Sequence[Experiment]) -> str:
    """The own losses of the methods of these experiments, each once, with their units: "soft loss (nats), hint loss"."""
    methods = [METHODS[name] for name in dict.fromkeys(experiment.method for experiment in experiments)]
    return ", ".join(dict.fromkeys(f"{method.loss_name} ({method.unit})" if method.unit else method.loss_name for method in methods))


def _rounded(seconds: float) -> str:
    return f"{seconds / 60:.0f} minutes" if seconds >= 100 else f"{max(1, round(seconds))} s"


def start(grid: Grid, experiments: list[Experiment], *, note: str = "") -> str:
    """Queue a sweep, or find its finished run; returns the run's id, empty if it was refused."""
    return race.start(experiments, title=f"sweep of {grid.x} and {grid.y}{note}", kind="sweep") or ""


def has_t2(experiments: list[Experiment]) -> bool:
    """Whether the factor T squared can be left out: only the method soft targets has that variant."""
    return {experiment.method for experiment in experiments} == {Experiment.method}


def without_t2(experiments: list[Experiment]) -> list[Experiment]:
    """The same sweep without the factor T squared."""
    return [replace(experiment, method=WITHOUT_T2) for experiment in experiments]
