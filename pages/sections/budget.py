"""The check that trains the answer: student, T and alpha for a budget, raced against the advisor's choice."""

from __future__ import annotations

import streamlit as st

from distill_core import budget
from distill_core.advisor import advise
from distill_core.budget import Budget
from distill_core.figures.curves import compare_figure
from distill_core.runs.store import Run
from pages.components.live_chart import have_charts_ready, live_chart
from pages.sections import controls, networks, race, transfer_set
from pages.sections.help_texts import HELP
from pages.server.curves import ICONS, curves
from pages.server.lab import engine, link, pace, store
from pages.server.plain_text import plain, show_error

KIND = "Choose for a budget"
POLL_SECONDS = 0.5
HEIGHT = 380
NAMES = ("yours", "the lab's")


def ask(number: int) -> bool | None:
    """One question, the learner's choice, and both runs; whether the choice is not clearly below the lab's, once they have ended."""
    question = budget.budget(number)
    st.markdown(f"#### {question.question}")
    chosen = _choose(question, number)
    fits = question.bytes_of(chosen[0]) <= question.max_bytes
    if st.button(
        "Train it against the lab's choice", type="primary", icon=":material/sprint:", key="budget_run", disabled=not fits,
        help=f"Trains your choice and the lab's, each with its baseline, over {budget.SEEDS} seeds on the same images. Your first answer "
        "counts.",
    ):  # fmt: skip
        _start(question, number, chosen)
    runs = [store().get(run_id) for run_id in st.session_state.get("budget_runs", {}).get(number, ())]
    if not runs or None in runs:
        have_charts_ready()
        st.markdown("A weight takes four bytes. The lab's choice stays hidden until yours is trained; both learn from the same teacher.")
        if fits:
            student, temperature, alpha = chosen
            transfer_set.show_examples(question.answer(student, temperature=temperature, alpha=alpha))
        return None
    active = any(run.active for run in runs)
    every = max(POLL_SECONDS, pace()) if active else None
    st.fragment(_follow, run_every=every)(tuple(run.id for run in runs), active)
    return None if active else _conclude(question, runs)


def _choose(question: Budget, number: int) -> tuple[str, float, float]:
    """The widgets of one question: the student with its size, T and alpha."""
    left, middle, right = st.columns(3)
    with left:
        first = question.students.index(question.smallest)
        student = st.selectbox(
            "Student", question.students, first, networks.name_with_layers, key=f"budget_student_{number}", help=HELP["student"]
        )
    with middle:
        temperature = st.select_slider(
            "Temperature T", controls.TEMPERATURES, 4.0, key=f"budget_temperature_{number}", help=HELP["temperature"]
        )
    with right:
        alpha = st.slider("alpha, the weight of the hard loss", 0.0, 1.0, 0.5, 0.05, key=f"budget_alpha_{number}", help=HELP["alpha"])
    size = question.bytes_of(student)
    if size > question.max_bytes:
        show_error(f"this student has {size / 1000:,.1f} kB, and the budget is {question.max_bytes / 1000:g} kB; choose a smaller one")
    else:
        st.markdown(f"Your student has **{size / 1000:,.1f} kB** of {question.max_bytes / 1000:g} kB.")
    return student, temperature, alpha


def _start(question: Budget, number: int, chosen: tuple[str, float, float]) -> None:
    student, temperature, alpha = chosen
    both = (question.answer(student, temperature=temperature, alpha=alpha), question.lab)
    runs = [race.start(budget.experiments(one), title=f"budget: {name}") for one, name in zip(both, NAMES, strict=True)]
    if None not in runs:
        st.session_state.setdefault("budget_runs", {})[number] = tuple(runs)
        st.rerun()


def _follow(run_ids: tuple[str, ...], was_active: bool) -> None:
    runs = [store().get(run_id) for run_id in run_ids]
    if None in runs or any(run.active for run in runs) != was_active:
        st.rerun()
    for name, run in zip(NAMES, runs, strict=True):
        if run.status == "failed":
            st.error(plain(run.message), icon=":material/error:")
        status = f"finished in {run.seconds:.1f} s" if run.status == "finished" else plain(engine().status(run.id))
        st.markdown(f":material/{ICONS[run.status]}: {name}: {status}")
    drawn = {name: curves(run.id) for name, run in zip(NAMES, runs, strict=True)}
    live_chart(compare_figure(drawn), key="budget_curves", height=HEIGHT, revision=" ".join(run_ids))


def _conclude(question: Budget, runs: list[Run]) -> bool | None:
    """The verdict, the lab's choice with its reasons, and both runs; None where one of them did not reach its end."""
    results = [store().results(run.id) for run in runs]
    if any(run.status != "finished" for run in runs) or not all(results):
        st.markdown("One of the runs did not reach its end; train again.")
        return None
    found = budget.judge(*results)
    box, icon = (st.success, "check") if found.high >= 0 else (st.info, "lightbulb")
    box(found.sentence, icon=f":material/{icon}:")
    advice = advise(question.dataset, labels=question.labels, max_bytes=question.max_bytes)
    st.markdown(f"**The lab's choice:** {advice.headline} {advice.reasons[0]}")
    with st.container(horizontal=True):
        for name, run in zip(NAMES, runs, strict=True):
            link("pages/race.py", f"Open this race: {name}", icon="sprint", run=run.id)
        link(
            "pages/advisor.py",
            "Ask the advisor",
            icon="explore",
            dataset=question.dataset,
            labels=str(question.labels),
            kilobytes=f"{question.max_bytes / 1000:g}",
        )
    return found.high >= 0
