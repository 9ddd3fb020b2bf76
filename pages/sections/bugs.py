"""Find the bug in parts: the hidden bug of this session, both races in the same charts, and the guesses."""

from __future__ import annotations

import math
import random
from dataclasses import replace

import streamlit as st

from distill_core.experiment import Experiment
from distill_core.figures.bugs import BUGS, bug_drawing, combine_races
from distill_core.figures.curves import bands
from distill_core.objectives import METHODS
from distill_core.studies.presets import PRESETS
from distill_core.studies.replays import replays
from pages.components.live_chart import live_chart
from pages.sections import race
from pages.server.experiments import HIDDEN, experiments_of
from pages.server.lab import engine, pace, store
from pages.server.plain_text import plain, show_error

TEMPERATURES = [1.0, 2.0, 4.0, 8.0, 20.0]
ALPHAS = [0.0, 0.1, 0.5, 0.9, 1.0]
BASE = Experiment(images=200, epochs=40, batch_size=16)
SEEDS = 5
PANELS = ("test_accuracy", "soft_loss", "hard_loss", "agreement")
HEIGHT = 320
RECORDED = "first-race"  # the preset whose replay the page opens with
MEANINGS = {
    "soft-targets-without-t2": "The divergence is not multiplied by T\u00b2.",
    "mean-over-classes": "The mean over examples and classes in place of the sum over classes: with ten classes the soft loss is a tenth "
    "of its size.",
    "shuffled-targets": "Each image is trained on the soft targets of another image.",
    "teacher-in-train-mode": "Dropout stays on while the teacher computes the soft targets.",
    "detach-forgotten": "This bug occurs only in mutual learning (two students that learn from each other), which the text above then "
    "names. The soft targets keep their gradient, so each student is trained by the other's loss too.",
    "alpha-swapped": "The hard loss has the weight 1 \u2212 alpha, the soft loss the weight alpha.",
    "doubled-hard-loss": "The hard loss is added a second time, with weight 1.",
    "probabilities-in-kl-div": "PyTorch's divergence expects the logarithms of the student's probabilities and gets the probabilities.",
    "logits-in-kl-div": "PyTorch's divergence expects the logarithms of the student's probabilities and gets its logits over T.",
    "divergence-reversed": "KL(student || teacher) in place of KL(teacher || student).",
    "softmax-twice": "Both networks end in a softmax, and the losses apply another one to their probabilities.",
}
CURVES_HELP = (
    "Means over the seeds with 95 % intervals. For both students the losses are computed by the correct formulas, before their weights, "
    "and drawn on a logarithmic axis; the value that the suspect minimises may be another. "
    "Agreement: fraction of test images on which student and teacher predict the same class."
)


def hidden_bug() -> str:
    """The method with this session's bug; the first one is drawn at random."""
    return st.session_state.setdefault("bug_hidden", random.choice(list(BUGS)))


def method_note() -> str:
    """A sentence where the correct code of this session's bug is not plain soft targets; empty otherwise."""
    if BUGS[hidden_bug()].correct == Experiment.method:
        return ""
    return (
        " This time both train by **mutual learning**: each student has a peer that trains beside it, and learns from the peer's outputs."
    )


def draw_new_bug() -> None:
    """Draw another bug, and clear the curves and guesses of the last one."""
    state = st.session_state
    state["bug_hidden"] = random.choice([name for name in BUGS if name != hidden_bug()])
    state.update({"bug_runs": (), "bug_found": None, "bug_wrong": []})


def experiments(method: str, temperature: float, alpha: float) -> list[Experiment]:
    """The experiments of a race by this method, one per seed."""
    first = replace(BASE, method=method, temperature=temperature, alpha=alpha)
    return [replace(first, seed=seed) for seed in range(SEEDS)]


def start(temperature: float, alpha: float) -> bool:
    """Queue the correct race and the suspect's, or find their finished runs; False if one was refused."""
    methods = (BUGS[hidden_bug()].correct, hidden_bug())
    ids = tuple(
        race.start(experiments(method, temperature, alpha), title="Find the bug", kind=HIDDEN) for method in methods
    )  # fmt: skip
    st.session_state["bug_runs"] = ids if all(ids) else ()
    return all(ids)


def runs() -> tuple[str, ...]:
    """Ids of the races in the charts: the correct one, then the suspect's. Empty before the first training."""
    return tuple(run_id for run_id in st.session_state.get("bug_runs", ()) if store().get(run_id))


def training() -> bool:
    """Whether one of the races is still active."""
    return any(store().get(run_id).active for run_id in runs())


def follow() -> None:
    """The live part of the page: both races in the same charts."""
    active = training()
    if active:
        st.markdown(f":material/sprint: Both are training: {', '.join(plain(engine().status(run_id)) for run_id in runs())}.")
    st.markdown(f"{SEEDS} seeds each. Compare the **correct** student with the **suspect**.", help=CURVES_HELP)
    st.fragment(_update, run_every=pace() if active else None)(runs(), active)


def _update(ids: tuple[str, ...], were_active: bool) -> None:
    shown = [store().get(run_id) for run_id in ids]
    if None in shown or any(run.active for run in shown) != were_active:
        st.rerun()
    for run in shown:
        if run.status == "failed":
            show_error(run.message)
    curves = combine_races(*(race.curves(run_id) for run_id in ids))
    first = experiments_of(shown[0])[0]
    columns = [column for _ in range(2) for column in st.columns(2)]
    for panel, column in zip(PANELS, columns, strict=True):
        with column:
            drawing = bug_drawing(curves, field=panel, epochs=first.epochs, height=HEIGHT)
            live_chart(drawing, key=f"bug_{panel}", height=HEIGHT, revision=" ".join(ids), patient=panel != PANELS[0])


def show_correct() -> None:
    """Before the first training: the recorded race of a correct implementation, labelled as a replay."""
    preset, replay = PRESETS[RECORDED], replays()[RECORDED]
    one = preset.experiment
    st.markdown(
        f":material/history: **How the correct implementation learns**, at T = {one.temperature:g} and alpha = {one.alpha:g}. "
        f"{replay.caption}. Train both to see the suspect beside it, with the losses and the agreement."
    )
    curves = combine_races(bands(replay.records()), {})
    drawing = bug_drawing(curves, field=PANELS[0], epochs=one.epochs, height=HEIGHT)
    live_chart(drawing, key="bug_correct", height=HEIGHT)


def show_guesses() -> None:
    """One button per bug; for each wrong guess, what that bug would have shown."""
    state = st.session_state
    st.subheader("Which bug is it?")
    found, wrong = found_bug(), state.get("bug_wrong", [])
    if not (trained := runs()):
        st.markdown("Each button is a guess; its help text explains the bug. Press **Train both** first, then compare the curves.")
    columns = [column for _ in range(math.ceil(len(BUGS) / 3)) for column in st.columns(3)]
    for name, column in zip(BUGS, columns, strict=False):
        with column:
            st.button(
                METHODS[name].title, key=f"bug_is_{name}", width="stretch", disabled=bool(found) or name in wrong or not trained,
                on_click=_guess, args=(name,), help=MEANINGS[name] if trained else f"{MEANINGS[name]} Press Train both first.",
            )  # fmt: skip
    if not trained:
        return
    for name in wrong:
        st.warning(f"**Not this one: {METHODS[name].title}.** {BUGS[name].symptoms}", icon=":material/close:")
    if found:
        tries = len(wrong) + 1
        st.success(
            f"**{METHODS[found].title}**, found in {tries} {'try' if tries == 1 else 'tries'}. {BUGS[found].symptoms}",
            icon=":material/bug_report:",
        )
        source = f"  \n**Seen in** {BUGS[found].found}" if BUGS[found].found else ""
        st.markdown(f"**Fix:** {BUGS[found].fix}{source}")


def _guess(name: str) -> None:
    state = st.session_state
    if name == hidden_bug():
        state["bug_found"] = name
    else:
        state["bug_wrong"] = [*state.get("bug_wrong", []), name]


def found_bug() -> str | None:
    """The bug, once it has been guessed."""
    return st.session_state.get("bug_found")
