"""Setting up a sweep: its axes, their values, and the settings that all cells share."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import streamlit as st

from distill_core import models, teachers
from distill_core.data import datasets
from distill_core.experiment import Experiment, methods_for
from distill_core.figures import sweep as figures
from distill_core.method_settings import DEFAULTS, SETTINGS, settings_of
from distill_core.precision import PRECISIONS
from distill_core.studies.sweep import AXES, Grid
from distill_core.text_objectives import method_of
from pages.sections import controls, method_settings, networks, race
from pages.sections.help_texts import dataset_help, help_of
from pages.sections.sweep_values import (
    PRESETS,
    PRESETS_OF_TEXT,
    QUESTION,
    USUAL_OF_TEXT,
    axes_of,
    initial_values,
    possible_values,
)
from pages.server import incoming, pictures
from pages.server.lab import engine
from pages.server.link import bound, reset, settle
from pages.server.plain_text import show_error

WITHOUT_T2 = "soft-targets-without-t2"
BEST_CELL_HELP = (  # of images, of a text
    "Training images that are held out: nothing trains on them. The best cell is the one with the largest gain on them; the figures of "
    "all cells are those on the test images. Chosen on the test images, the best cell looks better than it is. Each seed holds out others.",
    "A stretch of the training text of so many windows is held out: nothing trains on it. The best cell is the one with the largest gain "
    "on it; the figures of all cells are those on the test text. Chosen on the test text, the best cell looks better than it is. Each "
    "seed holds out another stretch.",
)
LEARNING_RATE_HELP = (
    "The size of a step along the gradient at its highest: the schedule is one-cycle, which reaches it after 30 % of the steps."
)
MAX_SEEDS, MAX_EPOCHS = 10, 100


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
        "precision": Experiment.precision,
        "seeds": 5,
        "x": "temperature",
        "y": "alpha",
        "xs": "",  # values of the horizontal axis, separated by commas
        "ys": "",
        "run": "",
        "without_t2": "",  # the run without the factor T squared
        **DEFAULTS,
    }


def held_out(dataset: str) -> int:
    """How many validation images a sweep holds out unless told otherwise: few enough to be measured at each test."""
    train = datasets.about(dataset).train
    if datasets.is_text(dataset):
        return 300 if train >= 3000 else train // 10
    return 2000 if train >= 10_000 else 300


def is_offered(dataset: str) -> bool:
    """Whether this page takes the data set: any but uploaded images."""
    return dataset in datasets.SOURCES or dataset in datasets.kept_texts()


def link_to(grid: Grid, usual: Experiment) -> dict[str, str]:
    """The query of the sweep page's address for this sweep; `usual` has the settings that all cells share."""
    shared = {name: str(getattr(usual, name)) for name in defaults() if hasattr(usual, name) and name not in SETTINGS}
    shared |= {name: str(getattr(usual, name)) for name in settings_of(usual.method)}
    axes = {"x": grid.x, "y": grid.y, "xs": ",".join(map(str, grid.xs)), "ys": ",".join(map(str, grid.ys))}
    return shared | axes | {"seeds": str(grid.seeds)}


def choices(grid: Grid, usual: Experiment) -> dict[str, object]:
    """All that the page's address has of the chosen sweep; of the settings of methods those that all cells share."""
    state, axes = st.session_state, {"xs": ",".join(map(str, grid.xs)), "ys": ",".join(map(str, grid.ys))}
    own = [] if "method" in (grid.x, grid.y) else [name for name in settings_of(usual.method) if name not in (grid.x, grid.y)]
    named = [name for name in defaults() if name in own or name not in SETTINGS]
    return {name: state.get(f"sweep_{name}", "") for name in named} | axes


def restore_axes() -> None:
    """Set the values of both axes to those of the link. If one of them is invalid, one sentence says so, and the usual ones stay.

    What a link to a text leaves out is as usual for texts.
    """
    state = st.session_state
    named = [key.removeprefix("sweep_") for key in state["link_new"]]
    if "dataset" in named and is_offered(dataset := state["sweep_dataset"]) and (datasets.is_text(dataset) or _is_other_kind()):
        _take_usual(but=named)
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
        if value not in (known := methods_for(_dataset())):
            raise ValueError(f"method '{incoming.shorten(value)}' is not known; choose one of: {incoming.choices(known)}")
    else:
        method = SETTINGS[name].methods[0] if name in SETTINGS else Experiment.method
        replace(Experiment(dataset=_dataset(), alpha=0.5, method=method), **{name: value})


def _axes() -> list[str]:
    return [st.session_state["sweep_x"], st.session_state["sweep_y"]]


def _dataset() -> str:
    """The chosen data set, or the usual one where a link names another."""
    chosen = st.session_state.get("sweep_dataset")
    return chosen if isinstance(chosen, str) and is_offered(chosen) else Experiment.dataset


def apply_preset(preset: dict) -> None:
    """Set both axes and their values to those of an entry of PRESETS."""
    st.session_state.update({"sweep_x": preset["x"], "sweep_y": preset["y"]})
    for axis in (preset["x"], preset["y"]):
        st.session_state[f"sweep_values_{axis}"] = list(preset.get(axis) or initial_values(axis, _dataset(), _axes()))


def choose() -> tuple[Grid, list[Experiment]] | None:
    """The sweep that the widgets describe; None, with an error message, if it is invalid."""
    presets = PRESETS_OF_TEXT if datasets.is_text(_dataset()) else PRESETS
    controls.offer(
        "Presets for both axes", {title: _preset_in_words(title, preset) for title, preset in presets.items()},
        take=lambda title: apply_preset(presets[title]), press="Train all",
        help="A preset is a pair of axes with their values. Choosing one fills in both; the other settings stay. Press Train all to train "
        "it.",
    )  # fmt: skip
    axes = axes_of(_dataset())
    x = _select(
        "x", "Horizontal axis", axes, format_func=_axis_title, help=f"The setting that differs from column to column. {_axes_help(axes)}",
    )  # fmt: skip
    y = _select(
        "y", "Vertical axis", [axis for axis in axes if axis != x], format_func=_axis_title,
        help=f"The setting that differs from row to row. With a single value, the sweep is one row. {_axes_help(axes)}",
    )  # fmt: skip
    offered = _datasets()
    dataset = _select(
        "dataset", "Data set", offered, format_func=controls.dataset_title, on_change=_follow_dataset, help=dataset_help(offered)
    )
    try:
        datasets.about(dataset)
    except ValueError as error:  # an own text that was deleted since
        show_error(error)
        return None
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


def _datasets() -> list[str]:
    """The data sets to choose from: those that are here or can be downloaded, own texts, and a text that a link names."""
    here = [name for name, source in datasets.SOURCES.items() if source.kind or source.is_here()]
    linked_text = [_dataset()] if _dataset() not in datasets.SOURCES else []
    return list(dict.fromkeys([*here, *pictures.own_texts(), *linked_text]))


def _axis_title(axis: str) -> str:
    is_of_text = axis == "images" and datasets.is_text(_dataset())
    return f"training windows of {controls.window_in_words(_dataset())}" if is_of_text else figures.NAMES[axis]


def _preset_in_words(title: str, preset: dict) -> str:
    """A preset as the list shows it: its title, and what its axes are."""
    value = preset.get(preset["y"], ())
    rows = f"one row, {preset['y']} {value[0]:g}" if len(value) == 1 else f"rows: {_axis_title(preset['y'])}"
    return f"**{title}.** Columns: {_axis_title(preset['x'])}; {rows}."


def _axes_help(axes: Sequence[str]) -> str:
    """Which methods have the axes that are settings of some methods alone, such as beta."""
    titles = {axis: [method_of(name).title for name in SETTINGS[axis].methods] for axis in axes if axis in SETTINGS}
    return " ".join(f"{SETTINGS[axis].symbol}: for the method {' or '.join(of_axis)} only." for axis, of_axis in titles.items())


def _choose_shared(dataset: str, *, without: dict[str, list]) -> dict[str, object]:
    """The settings that all cells share: those that are not on an axis."""
    source, possible = datasets.about(dataset), {axis: possible_values(axis, dataset, _axes()) for axis in AXES}
    examples = f"Training windows of {controls.window_in_words(dataset)}" if source.is_text else "Training images"
    counts = [*possible["images"], 0]
    widgets = {
        "method": ("Method", possible["method"], {"format_func": controls.method_title}),
        "student": ("Student", possible["student"], {"format_func": networks.name_with_layers}),
        "teacher": ("Teacher", possible["teacher"], {"format_func": networks.name_with_layers}),
        "images": (examples, counts, {"format_func": lambda n: f"{n:,}" if n else f"all {source.train:,}"}),
        "temperature": ("Temperature T", possible["temperature"], {}),
        "alpha": ("alpha, the weight of the hard loss", possible["alpha"], {}),
    }
    chosen = {name: _select(name, label, options, **more) for name, (label, options, more) in widgets.items() if name not in without}
    networks.show_notes(dataset, *without.get("teacher", [chosen.get("teacher")]))
    if "method" in chosen:  # methods on an axis have their usual settings: one may not have those of another
        chosen |= method_settings.choose([chosen["method"]], len(source.class_names), prefix="sweep_", without=without)
    return chosen


def _follow_dataset() -> None:
    """Keep the chosen teacher if it is shipped for the new data set; otherwise choose the default of the set.

    Between images and texts nearly all settings change: those of a good sweep take their place.
    """
    state = st.session_state
    state["sweep_teacher"] = teachers.teacher_after_change(state["sweep_dataset"], state["sweep_teacher"])
    if _is_other_kind():
        _take_usual()


def _is_other_kind() -> bool:
    """Whether the settings are those of images and the data set is a text, or the other way round."""
    return datasets.is_text(st.session_state["sweep_dataset"]) != st.session_state.get("sweep_student", "").startswith(models.LANGUAGE)


def _take_usual(*, but: Sequence[str] = ()) -> None:
    """Set everything but the precision and these fields to a good sweep on the data set; the values of the axes to the usual ones."""
    state, dataset = st.session_state, st.session_state["sweep_dataset"]
    of_text = datasets.is_text(dataset)
    usual = defaults() | {"method": Experiment.method}
    usual |= {**controls.usual_of(dataset), **USUAL_OF_TEXT} if of_text else {}
    fields = ("student", "method", "images", "temperature", "alpha", "epochs", "batch_size", "learning_rate", "seeds")
    chosen = {name: usual[name] for name in fields}
    with contextlib.suppress(ValueError):  # an own text that cannot be read: its message is shown where it is used
        chosen |= {"validation": held_out(dataset), "teacher": teachers.teacher_after_change(dataset, state["sweep_teacher"])}
    if not set(_axes()) <= set(axes_of(dataset)):
        chosen |= {"x": "temperature", "y": "alpha"}
    state.update({f"sweep_{name}": value for name, value in chosen.items() if name not in but})
    for axis in AXES:
        state.pop(f"sweep_values_{axis}", None)


def _choose_validation(dataset: str) -> int:
    """The number of training images, or windows of a text, on which the best cell is chosen."""
    train, is_text = datasets.about(dataset).train, datasets.is_text(dataset)
    bound("sweep_validation", 0, (train - 1) // 2, otherwise=held_out(dataset))
    return _select(
        "validation", "Validation windows" if is_text else "Validation images", [n for n in controls.VALIDATION if n < train / 2],
        format_func=lambda n: f"{n:,}" if n else f"none: choose on the test {'text' if is_text else 'images'}",
        help=BEST_CELL_HELP[is_text],
    )  # fmt: skip


def _choose_training() -> dict[str, object]:
    """Epochs, batch size, learning rate and precision."""
    bound("sweep_epochs", 1, MAX_EPOCHS)
    epochs = st.number_input("Epochs", 1, MAX_EPOCHS, key="sweep_epochs", persist_state="session", help=help_of("epochs", _dataset()))
    return {
        "epochs": int(epochs),
        "batch_size": _select("batch_size", "Batch size", [16, 32, 64, 128, 256, 512]),
        "learning_rate": _select("learning_rate", "Learning rate", controls.RATES, help=LEARNING_RATE_HELP),
        "precision": _select("precision", "Precision of matrix products", list(PRECISIONS), format_func=controls.precision_title),
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
    return st.selectbox(label, options, key=key, persist_state="session", **{"help": help_of(name, _dataset()), **more})


def _choose_values(axis: str, dataset: str) -> list:
    """The values of an axis. Numbers from a link join the options; values that this data set does not allow are removed."""
    key, options = f"sweep_values_{axis}", possible_values(axis, dataset, _axes())
    st.session_state.setdefault(key, initial_values(axis, dataset, _axes()))
    if axis in ("temperature", "alpha", "label_noise", "on_policy_share", "beta"):  # of several with one label the usual value stays
        options = sorted({figures.format_value(value): value for value in (*st.session_state[key], *options)}.values())
    if axis == "alpha" and any(method_of(name).needs_hard_loss for name in _chosen_methods()):
        options = [value for value in options if value > 0]
    valid = [value for value in st.session_state[key] if value in options]
    if valid != st.session_state[key]:  # write only a change: the server's value would undo a click made in the meantime
        st.session_state[key] = valid
    label = controls.method_title if axis == "method" else figures.format_value
    picked = st.pills(
        f"Values of {_axis_title(axis)}", options, selection_mode="multi", key=key, format_func=label, persist_state="session",
        help="Each selected value is a column (horizontal axis) or a row (vertical axis) of the heat map.",
    )  # fmt: skip
    return [value for value in options if value in picked]


def _chosen_methods() -> list[str]:
    """The methods of the sweep, from its axis or from the setting that all cells share."""
    state = st.session_state
    initial = initial_values("method", _dataset(), _axes())
    names = state.get("sweep_values_method", initial) if "method" in _axes() else [state["sweep_method"]]
    return [name for name in names if name in methods_for(_dataset())]


GAIN = (  # of images, of a text
    "the test accuracy of a student minus that of its baseline",
    "the number of bits a character that a student needs less than its baseline to encode the test text (fewer bits are better)",
)


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
        help=f"The gain is {GAIN[datasets.is_text(experiments[0].dataset)]}, which learns from the labels only. Each student "
        "minimises alpha times the hard loss plus (1 \u2212 alpha) times the loss of its method. The hard loss is the cross-entropy "
        f"with the labels.{unit}",
    )
    networks.show_untrained(experiments[0].dataset, *dict.fromkeys(experiment.teacher for experiment in experiments))


def loss_names(experiments: Sequence[Experiment]) -> str:
    """The own losses of the methods of these experiments, each once, with their units: "soft loss (nats), hint loss"."""
    methods = [method_of(name) for name in dict.fromkeys(experiment.method for experiment in experiments)]
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
