"""The charts of a race: its records so far, averaged into curves and drawn once for all sessions that show them."""

from __future__ import annotations

import math
import threading
from collections.abc import Sequence

import streamlit as st

from distill_core.data import datasets
from distill_core.experiment import Experiment
from distill_core.figures.curves import FIELDS, Bands, bands, race_drawing
from distill_core.figures.difference import difference_band, difference_drawing
from distill_core.objectives import METHODS
from distill_core.teachers import SELF
from distill_core.training.records import TEACHER
from pages.server.experiments import experiments_of
from pages.server.lab import store

HEIGHTS = {"test_accuracy": 380, "difference": 280, "agreement": 280, "hard_loss": 280, "soft_loss": 280}  # px of each panel


def curves(run_id: str) -> Bands:
    """Mean curves of a run with their bands, from all records so far."""
    return bands(_records(run_id, store().version(run_id)[1]))


def newest_figure(run_id: str, panel: str) -> dict | None:
    """One panel of a run: `{"version", "active", "figure"}`; None where there is no such run or panel."""
    run, version = store().get(run_id), store().version(run_id)
    if run is None or panel not in HEIGHTS:
        return None
    return {"version": version[0], "active": run.active, "figure": race_figures(run_id, version, (panel,))[panel]}


@st.cache_data(max_entries=256, show_spinner=False)
def race_figures(run_id: str, version: tuple, panels: tuple[str, ...]) -> dict[str, dict]:
    """The figures of a run at `version`, by panel."""
    results = store().results(run_id)
    first = experiments_of(store().get(run_id))[0]
    own_teacher = (TEACHER,) if first.teacher == SELF else ()  # has a curve of its own, in place of a line
    choices = {
        "teacher_accuracy": results[0]["teacher"]["test_accuracy"] if results and not own_teacher else None,
        "epochs": first.epochs,
        "accuracy_from": _lowest_accuracy_shown(results),
        "members": ("student", "baseline", *(f"assistant-{number + 1}" for number in range(len(first.assistants))), *own_teacher),
        "loss_label": loss_label(first.method),
    }
    records = _records(run_id, version[1])
    run_curves = bands(records)
    figures = {panel: race_drawing(run_curves, fields=(panel,), height=HEIGHTS[panel], **choices) for panel in panels if panel in FIELDS}
    if "difference" in panels:
        test_images = _test_images(first, results)
        band = difference_band(records, test_images=test_images) if test_images else None
        settled = first.epochs / 2 if results else 0.0  # after the race the axis fits its second half: the first is far from zero
        figures["difference"] = difference_drawing(band, epochs=first.epochs, from_epoch=settled, height=HEIGHTS["difference"])
    return figures


def _test_images(experiment: Experiment, results: Sequence[dict]) -> int:
    """The number of test images of a race; a zip is opened for it until the race has ended. 0 if that zip is not here any more."""
    if results:
        return results[0]["student"]["test_images"]
    if source := datasets.DATASETS.get(experiment.dataset):
        return source.test
    try:
        return len(datasets.load(experiment.dataset).test_labels)
    except ValueError:
        return 0


def loss_label(method: str) -> str:
    """A method's own loss with its unit, as its axis names it: "hint loss (squared activations)"."""
    name, unit = METHODS[method].loss_name, METHODS[method].unit
    return f"{name} ({unit})" if unit else name


def latest_accuracies(run_id: str, resets: int) -> dict[tuple[int, str], float]:
    """The newest test accuracy of each network of a run, by the place of its experiment and by its role."""
    return {
        (one["experiment"], one["member"]): one["test_accuracy"] for one in _records(run_id, resets) if one["test_accuracy"] is not None
    }


def _records(run_id: str, resets: int) -> list[dict]:
    """All records of a run since its last reset; only new ones are read from the store."""
    records, lock = _records_read(run_id, resets)
    with lock:
        records += store().records(run_id, after=records[-1]["row"] if records else 0)
        return list(records)


@st.cache_resource(max_entries=64, show_spinner=False)
def _records_read(run_id: str, resets: int) -> tuple[list[dict], threading.Lock]:
    return [], threading.Lock()


def _lowest_accuracy_shown(results: Sequence[dict]) -> float:
    """Where the accuracy axis begins: at 0 during the race, so that nothing jumps; after it, just below the curves' ends."""
    if not results:
        return 0.0
    errors = max(1 - result[role]["test_accuracy"] for result in results for role in ("student", "baseline"))
    return max(0.0, math.floor(20 * (1 - 2 * errors)) / 20)
