"""The bug zoo: a mistake that nobody names, its curves beside the right ones, a guess, and what would have told."""

from __future__ import annotations

import random
from dataclasses import replace

import streamlit as st

from distill_core.experiment import Experiment
from distill_core.figures.bugs import ZOO, beside_each_other, bug_drawing
from distill_core.objectives import METHODS
from pages.components.live_chart import live_chart
from pages.sections import race
from pages.server.lab import pace, store

TEMPERATURES = [1.0, 2.0, 4.0, 8.0, 20.0]
ALPHAS = [0.0, 0.1, 0.5, 0.9, 1.0]
USUAL = Experiment(images=200, epochs=40, batch_size=16)
SEEDS = 5
PANELS = ("test_accuracy", "soft_loss", "hard_loss", "agreement")
HEIGHT = 320


def hidden() -> str:
    """The bug of this session; the first one is drawn by chance."""
    return st.session_state.setdefault("bug_hidden", random.choice(list(ZOO)))


def hide_another() -> None:
    """Another bug than before; the curves go, the score stays."""
    state = st.session_state
    state["bug_hidden"] = random.choice([name for name in ZOO if name != hidden()])
    state.update({"bug_runs": (), "bug_answer": None, "bug_wrong": []})


def experiments(method: str, temperature: float, alpha: float) -> list[Experiment]:
    """A race of several seeds by a method."""
    usual = replace(USUAL, method=method, temperature=temperature, alpha=alpha)
    return [replace(usual, seed=seed) for seed in range(SEEDS)]


def start(temperature: float, alpha: float) -> bool:
    """Queue both races; those that ran before are taken from the shelf."""
    ids = tuple(race.start(experiments(method, temperature, alpha), title="find the bug") for method in (Experiment.method, hidden()))
    st.session_state["bug_runs"] = ids if all(ids) else ()
    return all(ids)


def runs() -> tuple[str, ...]:
    """The races that are shown: the right one, and the one in question."""
    return tuple(run_id for run_id in st.session_state.get("bug_runs", ()) if store().get(run_id))


def running() -> bool:
    """Whether one of them still trains."""
    return any(store().get(run_id).active for run_id in runs())


def follow() -> None:
    """The live part: both races in the same charts."""
    active = running()
    st.fragment(_look, run_every=pace() if active else None)(runs(), active)


def _look(ids: tuple[str, ...], before: bool) -> None:
    standing = [store().get(run_id) for run_id in ids]
    if None in standing or any(run.active for run in standing) != before:
        st.rerun()
    for run in standing:
        if run.status == "failed":
            st.error(run.message)
    curves = beside_each_other(*(race.curves(run_id) for run_id in ids))
    first = Experiment.from_json(standing[0].experiments[0])
    columns = [column for _ in range(2) for column in st.columns(2)]
    for panel, column in zip(PANELS, columns, strict=True):
        with column:
            drawing = bug_drawing(curves, field=panel, epochs=first.epochs, height=HEIGHT)
            live_chart(drawing, key=f"bug_{panel}", height=HEIGHT, revision=" ".join(ids), patient=panel != PANELS[0])


def guess() -> None:
    """Name the bug; whoever is wrong is told what that bug would have shown."""
    state = st.session_state
    st.subheader("Which is it?")
    columns = [column for _ in range(2) for column in st.columns(3)]
    for name, column in zip(ZOO, columns, strict=True):
        with column:
            said = state.get("bug_answer") == name or name in state.get("bug_wrong", [])
            st.button(
                METHODS[name].title, key=f"bug_is_{name}", width="stretch", disabled=bool(solved()) or said or not runs(),
                on_click=_answer, args=(name,),
            )  # fmt: skip
    if not runs():
        st.markdown("First let both run.")
        return
    for name in state.get("bug_wrong", []):
        st.warning(f"**Not {METHODS[name].title.lower()}.** {ZOO[name].tells}", icon=":material/close:")
    if named := solved():
        tries = len(state.get("bug_wrong", [])) + 1
        st.success(
            f"**{METHODS[named].title}**, found in {tries} {'try' if tries == 1 else 'tries'}. {ZOO[named].tells}",
            icon=":material/bug_report:",
        )
        st.markdown(f"*The repair:* {ZOO[named].repair}")


def _answer(name: str) -> None:
    state = st.session_state
    if name == hidden():
        state["bug_answer"] = name
    else:
        state["bug_wrong"] = [*state.get("bug_wrong", []), name]


def solved() -> str | None:
    """The bug, once it was named."""
    return st.session_state.get("bug_answer")
