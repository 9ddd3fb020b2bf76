"""A race as a learner sees it: start it, follow it live, read its result."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Sequence

import streamlit as st

from distill_core import analysis
from distill_core.experiment import Experiment
from distill_core.figures.curves import Bands, bands, race_drawing
from distill_core.runs.store import Run
from distill_core.studies.presets import preset_of
from pages.components.live_chart import live_chart
from pages.server import live_updates
from pages.server.lab import engine, owner, pace, store

ROWS = (("test_accuracy",), ("hard_loss", "soft_loss"), ("agreement",))
FIRST = ROWS[0][0]  # the chart that matters
HEIGHTS = {"test_accuracy": 380, "hard_loss": 280, "soft_loss": 280, "agreement": 280}
BESIDE_NEWS = 1.0  # seconds between looks where the chart that matters gets its news without them
ICONS = {
    "queued": "hourglass_top",
    "preparing": "download",
    "running": "sprint",
    "paused": "pause",
    "finished": "flag",
    "stopped": "stop_circle",
    "failed": "error",
}


def start(experiments: Sequence[Experiment], *, title: str = "", **choices: object) -> str | None:
    """Queue a race, or find it on the shelf; returns its id. What cannot be queued is said in one sentence."""
    try:
        run_id, from_shelf = engine().submit(experiments, owner=owner(), title=title, **choices)
    except (ValueError, PermissionError) as error:
        st.error(str(error))
        return None
    st.session_state["from_shelf"] = run_id if from_shelf else None
    return run_id


def control(what: str, run_id: str) -> None:
    """Pause, resume, step, stop, reset or delete a run of this browser; a refusal is said in one sentence."""
    try:
        getattr(engine(), what)(run_id, owner=owner())
    except (ValueError, PermissionError) as error:
        st.toast(str(error), icon=":material/block:")


def buttons(run: Run | None, experiments: Sequence[Experiment] | None) -> str | None:
    """Train, Pause, Step, Stop, Reset: always the same five, each pressable when it means something.

    Returns the id of the run to show when one was pressed.
    """
    mine = run is not None and engine().may_control(run.id, owner=owner())
    active, paused = mine and run.active, mine and run.status == "paused"
    with st.container(horizontal=True):
        train = st.button(
            "Resume" if paused else "Train", type="primary", icon=":material/play_arrow:", key="train",
            disabled=active or not (paused or experiments), width="stretch",
        )  # fmt: skip
        pause = st.button("Pause", icon=":material/pause:", key="pause", disabled=not active, width="stretch")
        step = st.button(
            "Step", icon=":material/skip_next:", key="step", disabled=not (active or paused or experiments), width="stretch",
            help="One more epoch, then pause.",
        )  # fmt: skip
        stop = st.button("Stop", icon=":material/stop:", key="stop", disabled=not (active or paused), width="stretch")
        reset = st.button(
            "Reset", icon=":material/replay:", key="reset", disabled=not mine, width="stretch", help="Back to the same first weights."
        )
    if pause or stop or (reset and run.status != "finished") or (train and paused) or (step and (active or paused)):
        control("pause" if pause else "stop" if stop else "reset" if reset else "resume" if train else "step", run.id)
        return run.id
    if reset:  # a finished run stays on the shelf
        return start([Experiment.from_json(text) for text in run.experiments], title=run.title, fresh=True, paused_at=0)
    if train:
        return start(experiments)
    return start(experiments, fresh=True, paused_at=1) if step else None


def follow(run_id: str, *, key: str, panels: Sequence[str] = tuple(HEIGHTS)) -> Run | None:
    """The live part of a page: how the race stands, and its curves. Looks again by itself while the race goes on."""
    run = store().get(run_id)
    if run is None:
        st.warning("This run is not here: it was deleted, or it belongs to another server. Start a new one.")
        return None
    every = pace() if run.active else None
    if every and live_updates.of(run_id, FIRST):
        every = max(BESIDE_NEWS, 2 * every)
    st.fragment(_look, run_every=every)(run_id, key, tuple(panels), (run.active, run.status), every)
    return run


def _look(run_id: str, key: str, panels: tuple[str, ...], before: tuple[bool, str], every: float | None) -> None:
    began, run = time.perf_counter(), store().get(run_id)
    if run is None or (run.active, run.active or run.status) != (before[0], before[0] or before[1]):
        st.rerun()  # once, when the race ends: the page around it changes too
    _draw(run, key, panels)
    if every and pace(time.perf_counter() - began) > 2 * every:
        st.rerun()  # a page that looks more often than it can draw would only keep the machine from training


def _draw(run: Run, key: str, panels: tuple[str, ...]) -> None:
    """How the race stands, its curves, and its verdict once there is one."""
    _say_how_it_stands(run)
    version = store().version(run.id)
    figures = _figures(run.id, version, panels)
    revision = f"{run.id} {run.resets} {run.active}"
    results = store().results(run.id)
    for row in ROWS:
        shown = [panel for panel in row if panel in panels]
        for column, panel in zip(st.columns(len(shown)) if shown else [], shown, strict=True):
            with column:
                first = panel == FIRST
                ask = live_updates.of(run.id, panel) if first and run.active else ""
                live_chart(
                    figures[panel], key=f"{key}_{panel}", height=HEIGHTS[panel], revision=revision, version=version[0],
                    news=ask, patient=not first,
                )  # fmt: skip
        if results and row == ROWS[0]:
            show_verdict(results)


def newest(run_id: str, panel: str) -> dict | None:
    """One chart of a run as it stands now, for a browser that asks for its news; None where there is no such chart."""
    run, version = store().get(run_id), store().version(run_id)
    if run is None or panel not in HEIGHTS:
        return None
    return {"version": version[0], "active": run.active, "figure": _figures(run_id, version, (panel,))[panel]}


@st.cache_data(max_entries=256, show_spinner=False)
def _figures(run_id: str, version: tuple, panels: tuple[str, ...]) -> dict[str, dict]:
    """The figures of a run as it stands at `version`: drawn once, however many look."""
    run, curves = store().get(run_id), bands(_told(run_id, version[1]))
    results = store().results(run_id)
    teacher = results[0]["teacher"]["test_accuracy"] if results else None
    first = Experiment.from_json(run.experiments[0])
    members = ("student", "baseline", *(f"assistant-{number + 1}" for number in range(len(first.assistants))))
    common = {"teacher_accuracy": teacher, "epochs": first.epochs, "accuracy_from": _worth_seeing(results), "members": members}
    return {panel: race_drawing(curves, fields=(panel,), height=HEIGHTS[panel], **common) for panel in panels}


def curves(run_id: str) -> Bands:
    """The bands of a run as it stands."""
    return bands(_told(run_id, store().version(run_id)[1]))


def _told(run_id: str, resets: int) -> list[dict]:
    """All records of a run since it was last reset; only what is new is read from the store."""
    records, lock = _read(run_id, resets)
    with lock:
        records += store().records(run_id, after=records[-1]["row"] if records else 0)
        return list(records)


@st.cache_resource(max_entries=64, show_spinner=False)
def _read(run_id: str, resets: int) -> tuple[list[dict], threading.Lock]:
    return [], threading.Lock()


def _worth_seeing(results: Sequence[dict]) -> float:
    """Where the axis of accuracy begins: at 0 during the race, so that nothing jumps, and near the finish after it."""
    if not results:
        return 0.0
    errors = max(1 - result[role]["test_accuracy"] for result in results for role in ("student", "baseline"))
    return max(0.0, math.floor(20 * (1 - 2 * errors)) / 20)


def _say_how_it_stands(run: Run) -> None:
    """One line, always of the same height."""
    seeds = f"{len(run.experiments)} seeds" if len(run.experiments) > 1 else "one seed"
    if run.status == "failed":
        st.error(run.message, icon=":material/error:")
    elif run.status == "finished":
        shelf = ", from the shelf" if st.session_state.get("from_shelf") == run.id else ""
        st.markdown(f":material/{ICONS[run.status]}: finished: {run.epochs} epochs in {run.seconds:.1f} s, {seeds}{shelf}")
    else:
        st.markdown(f":material/{ICONS[run.status]}: {engine().status(run.id)}, {seeds}")


def show_claim(experiment: Experiment) -> None:
    """For an experiment of the literature: what its source says, and what we measured, beside what this run gives."""
    if preset := preset_of(experiment):
        m = preset.measured
        measured = f"difference {m.difference:+.2f} points (95 % interval {m.low:+.2f} to {m.high:+.2f})".replace("-", "\u2212")
        st.markdown(
            f"*{preset.source}:* {preset.claim}  \n"
            f"*Measured for this lab* over {m.seeds} seeds: baseline {m.baseline:.2f} %, student {m.student:.2f} %, {measured}."
        )


def show_verdict(results: Sequence[dict]) -> None:
    """The result in words."""
    found = analysis.verdict(results)
    box, icon = {1: (st.success, "trending_up"), -1: (st.warning, "trending_down"), 0: (st.info, "trending_flat")}[found.sign]
    box(found.sentence, icon=f":material/{icon}:")
