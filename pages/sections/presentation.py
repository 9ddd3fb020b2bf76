"""A preset on the wall: its question, one large chart with fixed axes, keys for everything, and a replay if the machine fails."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import replace

import streamlit as st

from distill_core import analysis
from distill_core.figures.curves import bands, race_drawing
from distill_core.runs.keys import run_key
from distill_core.runs.store import Run
from distill_core.studies.presets import PRESETS, Preset
from distill_core.studies.replays import Replay, record_replay, replays
from pages.components.live_chart import live_chart
from pages.sections import race
from pages.server.curves import ICONS
from pages.server.lab import engine, run_owner, store
from pages.server.plain_text import plain

NAMES = tuple(PRESETS)
SCALE = 1.4  # of the chart's text: 16 px become 22
HEIGHT = 340
TICK = 0.4  # seconds between two looks at a run
MAX_REPLAY = 12.0  # seconds: a longer run is replayed faster
STYLE = """<style>
.block-container p, .block-container li, .block-container button p {font-size: max(1.1rem, 21px)}
.block-container [data-testid=stCaptionContainer] p {font-size: 20px}
.replay-label {display: inline-block; padding: .2em .7em; border-radius: .4em; font: 700 22px sans-serif;
background: #E69F00; color: #14161A}
</style>"""


def choose() -> str:
    """The preset on the wall; the arrow keys change it."""
    state = st.session_state
    state.setdefault("shown_preset", NAMES[0])
    return state["shown_preset"]


def buttons(name: str, run: Run | None) -> None:
    """One row of buttons, each with its key."""
    mine = run is not None and engine().may_control(run.id, owner=run_owner())
    active, paused = mine and run.active, mine and run.status == "paused"
    with st.container(horizontal=True):
        st.button("Previous", key="previous", help="The preset before this one (arrow left).", shortcut="Left", on_click=_go, args=(-1,))
        st.button("Next", key="next", help="The next preset (arrow right).", shortcut="Right", on_click=_go, args=(1,))
        icon = ":material/pause:" if active else ":material/play_arrow:"
        if st.button(
            "Pause" if active else "Play",
            key="play",
            help="Trains a new run of the preset, or interrupts and resumes it (space).",
            shortcut="Space",
            type="primary",
            icon=icon,
        ):
            _play(name, run, active=active, paused=paused)
            st.rerun()
        if st.button("Step", key="step_once", help="Trains one epoch, then pauses (S).", shortcut="S", icon=":material/skip_next:"):
            _step(name, run, going=bool(active or paused))
            st.rerun()
        if st.button(
            "Reset",
            key="reset_all",
            help="Clears the chart for another run; this one stays on the page Runs (Backspace).",
            shortcut="Backspace",
            icon=":material/replay:",
        ):
            st.session_state.update({"shown_run": "", "revealed": False, "replay_began": 0.0})
            st.rerun()
        if st.button(
            "Reveal",
            key="reveal_result",
            help="Shows or hides the result in words and what its source states (V).",
            shortcut="V",
            icon=":material/visibility:",
        ):
            st.session_state["revealed"] = not st.session_state.get("revealed")
            st.rerun()
        if st.button(
            "Replay",
            key="replay",
            help="Plays a recorded run of this preset, labelled as a replay with its date (P).",
            shortcut="P",
            icon=":material/history:",
            disabled=replay_of(name) is None,
        ):
            st.session_state.update({"replay_began": time.time(), "shown_run": ""})
            st.rerun()


def _go(by: int) -> None:
    state = st.session_state
    state["shown_preset"] = NAMES[(NAMES.index(state["shown_preset"]) + by) % len(NAMES)]
    state.update({"shown_run": "", "revealed": False, "replay_began": 0.0})


def _play(name: str, run: Run | None, *, active: bool, paused: bool) -> None:
    st.session_state["replay_began"] = 0.0
    if active or paused:
        race.control("pause" if active else "resume", run.id)
        return
    preset = PRESETS[name]
    # Always a new run: a stored result would be there at once, and nobody would see it learn.
    st.session_state["shown_run"] = race.start(preset.experiments(), title=preset.title, fresh=True) or ""


def _step(name: str, run: Run | None, *, going: bool) -> None:
    st.session_state["replay_began"] = 0.0
    if going:
        race.control("step", run.id)
        return
    preset = PRESETS[name]
    st.session_state["shown_run"] = race.start(preset.experiments(), title=preset.title, fresh=True, paused_at=1) or ""


def show(name: str, run: Run | None) -> None:
    """The chart: of the run, of the replay, or empty with its axes."""
    began = st.session_state.get("replay_began", 0.0)
    if began and (replay := replay_of(name)):
        runs_until = began + min(replay.seconds, MAX_REPLAY)
        st.fragment(_replay, run_every=TICK if time.time() < runs_until else None)(name, replay, began)
    elif run is not None:
        st.fragment(_live, run_every=TICK if run.active else None)(name, run.id, run.status)
    else:
        _chart(name, [])
        st.markdown("Press **Space** to train, **V** to reveal the result.")


def replay_of(name: str) -> Replay | None:
    """The shipped replay of a preset, or its newest run on this server; None where it never ran here either."""
    if name in replays():
        return replays()[name]
    run = store().finished_with_key(run_key(PRESETS[name].experiments()))
    return _replay_of_run(name, run.id) if run is not None else None


@st.cache_data(max_entries=32, show_spinner=False)
def _replay_of_run(name: str, run_id: str) -> Replay:
    run = store().get(run_id)
    about = {"method": PRESETS[name].experiment.method, "test_images": store().results(run_id)[0]["student"]["test_images"]}
    replay = record_replay(store().records(run_id), seconds=run.seconds, seeds=len(run.experiments), **about)
    return replace(replay, recorded=time.strftime("%Y-%m-%d", time.localtime(run.finished)), machine="this server")


def _live(name: str, run_id: str, before: str) -> None:
    run = store().get(run_id)
    if run is None or run.active != (before in ("queued", "preparing", "running")):
        st.rerun()
    _chart(name, store().records(run_id))
    st.markdown(f":material/{ICONS[run.status]}: {plain(engine().status(run_id))}, {len(run.experiments)} seeds")
    results = store().results(run_id)
    if st.session_state.get("revealed"):
        sentence = analysis.verdict(results, method=PRESETS[name].experiment.method).sentence if results else ""
        _reveal(PRESETS[name], sentence or "This run has not ended yet.")


def _replay(name: str, replay: Replay, began: float) -> None:
    elapsed, most = time.time() - began, min(replay.seconds, MAX_REPLAY)
    st.html(f'<div class="replay-label">{replay.caption}</div>')
    _chart(name, replay.records(until=elapsed * replay.seconds / most))
    if elapsed >= most and st.session_state.get("replay_ended") != began:
        st.session_state["replay_ended"] = began
        st.rerun()  # once: it ticks no more
    if st.session_state.get("revealed"):
        _reveal(PRESETS[name], replay.conclusion)


def _reveal(preset: Preset, sentence: str) -> None:
    st.markdown(f"**{sentence}**")
    st.markdown(f"*{preset.source}:* {preset.claim}")


def _chart(name: str, records: Sequence[dict]) -> None:
    preset = PRESETS[name]
    figure = race_drawing(bands(records), epochs=preset.experiment.epochs, accuracy_from=lowest_accuracy(preset), height=HEIGHT)
    figure = enlarged(figure)
    figure["layout"].update({"showlegend": False, "margin": {**figure["layout"]["margin"], "b": 66, "r": 130}})  # lines have their names
    live_chart(figure, key="wall", height=HEIGHT, revision=name)


def lowest_accuracy(preset: Preset) -> float:
    """Where the accuracy axis begins, the same for every run of the preset: 20 points below the lower measured end."""
    lower = min(preset.measured.baseline, preset.measured.student)
    return max(0, math.floor((lower - 20) / 10)) / 10


def enlarged(figure: object, factor: float = SCALE) -> object:
    """The same figure with all text and its margins larger."""
    if isinstance(figure, list):
        return [enlarged(one, factor) for one in figure]
    if not isinstance(figure, dict):
        return figure
    changed = {name: enlarged(value, factor) for name, value in figure.items()}
    for name in ("font", "textfont", "tickfont"):
        if isinstance(changed.get(name), dict) and "size" in changed[name]:
            changed[name] = {**changed[name], "size": round(changed[name]["size"] * factor)}
    if isinstance(margin := changed.get("margin"), dict):
        changed["margin"] = {side: round(value * factor) if side in "lrtb" else value for side, value in margin.items()}
    return changed
