"""A race as a learner sees it: start it, follow it live, read its result."""

from __future__ import annotations

import time
from collections.abc import Sequence

import streamlit as st

from distill_core import analysis
from distill_core.data import datasets
from distill_core.experiment import Experiment
from distill_core.glossary import linked
from distill_core.references import citations, reference
from distill_core.runs.keys import owner_mark
from distill_core.runs.store import Run
from distill_core.studies.presets import preset_of
from distill_core.text_objectives import method_of
from pages.components.live_chart import live_chart
from pages.sections import texts
from pages.server import live_updates, room
from pages.server.curves import HEIGHTS, loss_label, race_figures, status_line
from pages.server.curves import curves as curves  # for Find the bug, which draws two races in one chart
from pages.server.experiments import experiments_of
from pages.server.lab import address, engine, owner, pace, run_owner, store
from pages.server.plain_text import plain, show_error

ROWS = (("test_accuracy",), ("difference", "agreement"), ("hard_loss", "soft_loss"))
FIRST = ROWS[0][0]  # the panel that matters most: drawn first, below the status line
TICK_WITH_UPDATES = 20.0  # seconds between ticks where charts and status line are updated without them


def start(experiments: Sequence[Experiment], *, title: str = "", **choices: object) -> str | None:
    """Queue a race, or find its stored result; returns its id. A race that is refused gives one sentence on the page."""
    try:
        run_id, is_cached = engine().submit(experiments, owner=run_owner(), address=address(), title=title, **choices)
        run = store().get(run_id)
        started_here = run is not None and run.owner_hash == owner_mark(run_owner())  # and not joined: a room deletes what it started
        room.note_run(run_id, owner(), is_new=started_here and not is_cached)
    except (ValueError, PermissionError) as error:
        show_error(error)
        return None
    st.session_state["cached_run"] = run_id if is_cached else None
    return run_id


def control(command: str, run_id: str) -> str:
    """Pause, resume, step, stop, reset or delete a run of this browser; a refusal gives one sentence on the page.

    Returns the id of the run to show: after the reset of a run that others train too, a new one.
    """
    choices = {"address": address()} if command == "reset" else {}
    try:
        answer = getattr(engine(), command)(run_id, owner=run_owner(), **choices)
    except (ValueError, PermissionError) as error:
        st.toast(plain(error), icon=":material/block:")
        return run_id
    if command == "reset":
        return answer
    if answer:
        st.toast(plain(answer), icon=":material/group:")
    return run_id


def enabled_buttons(run: Run | None, experiments: Sequence[Experiment] | None) -> dict[str, bool]:
    """Train, Pause, Step, Stop, Reset: whether each would have an effect now."""
    mine = run is not None and engine().may_control(run.id, owner=run_owner())
    active, paused = mine and run.active, mine and run.status == "paused"
    can_start = bool(paused or experiments)
    return {"train": not active and can_start, "pause": active, "step": active or can_start, "stop": active or paused, "reset": mine}


def act_on_press(run: Run | None, experiments: Sequence[Experiment] | None) -> str | None:
    """Carry out the press of a button; returns the id of the run to show then, None where nothing was pressed.

    Called before the buttons are drawn, so that a single run of the page shows them as they are afterwards. Of several presses that
    arrive at once the one that ends most counts.
    """
    presses = [name for name in ("stop", "reset", "pause", "train", "step") if st.session_state.get(name)]
    enabled = enabled_buttons(run, experiments) if presses else {}
    pressed = next((name for name in presses if enabled[name]), None)
    if pressed is None:
        return None
    if pressed in ("pause", "stop") or (pressed == "reset" and run.status != "finished"):
        return control(pressed, run.id)
    if pressed == "reset":  # a finished run keeps its result
        return start(experiments_of(run), title=run.title, fresh=True, paused_at=0)
    if enabled["stop"]:  # the run is paused, or a step of an active one was asked for
        return control("resume" if pressed == "train" else "step", run.id)
    return start(experiments, fresh=True, paused_at=1) if pressed == "step" else start(experiments)


def buttons(run: Run | None, experiments: Sequence[Experiment] | None) -> None:
    """Train, Pause, Step, Stop, Reset: always the same five, each enabled when it has an effect."""
    enabled = enabled_buttons(run, experiments)
    resume = enabled["stop"] and not enabled["pause"] and run.epoch  # a paused run of this browser

    def button(label: str, icon: str, *, key: str = "", **options: str) -> None:
        key = key or label.lower()
        st.button(label, icon=f":material/{icon}:", key=key, disabled=not enabled[key], width="stretch", **options)

    with st.container(horizontal=True):
        button(
            "Resume" if resume else "Train", "play_arrow", key="train", type="primary",
            help="Trains student and baseline for all epochs. Settings that were trained before show their stored result at once.",
        )  # fmt: skip
        button("Pause", "pause", help="Interrupts the run; Resume continues it from the same epoch.")
        button("Step", "skip_next", help="Trains one epoch, in which each training image is used once, then pauses.")
        button(
            "Stop", "stop",
            help="Ends the run for good; its curves stay. Where others have started the same experiments, it goes on for them.",
        )  # fmt: skip
        button(
            "Reset", "replay",
            help="Goes back to epoch 0 with the same initial weights; a finished result stays on the page Runs. Only the browser "
            "that started a run can pause, stop or reset it.",
        )  # fmt: skip
    st.caption(
        "**Step** trains one epoch. **Stop** ends the run and keeps its curves. **Reset** clears them and goes back to epoch 0, with the "
        "same initial weights."
    )


def follow(run_id: str, *, key: str, panels: Sequence[str] = tuple(HEIGHTS), drawn: Run | None = None) -> Run | None:
    """The live part of a page: the status line and the curves. It ticks by itself while the race runs.

    `drawn`: the run as the page's buttons show it; if it has paused or ended since, the page is drawn again.
    """
    run = store().get(run_id)
    if run is not None and drawn is not None and (run.active or run.status) != (drawn.active or drawn.status):
        st.rerun()
    if run is None:
        st.warning("This run does not exist: it was deleted, or it belongs to another server. Start a new one.")
        return None
    every = pace() if run.active else None
    if every and live_updates.address(run_id):
        every = max(TICK_WITH_UPDATES, every)
    st.fragment(_tick, run_every=every)(run_id, key, tuple(panels), (run.active, run.status), every)
    return run


def _tick(run_id: str, key: str, panels: tuple[str, ...], before: tuple[bool, str], every: float | None) -> None:
    began, run = time.perf_counter(), store().get(run_id)
    if run is None or (run.active, run.active or run.status) != (before[0], before[0] or before[1]):
        st.rerun()  # once, when the race ends: the page around it changes too
    _draw(run, key, panels)
    if every and pace(time.perf_counter() - began) > 2 * every:
        st.rerun()  # ticks faster than the page can draw would take the cores that the training needs


def _draw(run: Run, key: str, panels: tuple[str, ...]) -> None:
    """The status line, the curves, and the conclusion once there is one."""
    updates = live_updates.address(run.id) if run.active else ""
    with st.container():  # there even while the first chart has the status line, so that no chart is mounted again
        if not updates:
            _show_status(run)
    version = store().version(run.id)
    figures = race_figures(run.id, version, panels)
    revision = f"{run.id} {run.resets} {run.active}"
    results = [] if run.active else store().results(run.id)
    for row in ROWS:
        shown = [panel for panel in row if panel in panels]
        for column, panel in zip(st.columns(len(shown)) if shown else [], shown, strict=True):
            with column:
                first = panel == FIRST
                live_chart(
                    figures[panel], key=f"{key}_{panel}", height=HEIGHTS[panel], revision=revision, version=version[0],
                    updates=updates, panel=panel, status=status_line(run) if first and updates else None, patient=not first,
                )  # fmt: skip
        if row == ROWS[0]:
            with st.container():  # there from the start, so that the charts below it are not mounted again
                if results:
                    show_conclusion(results, method=experiments_of(run)[0].method)
                elif run.status == "finished":
                    show_unreadable(run)
            with st.container():  # likewise
                texts.show_samples(run, updates=updates)


def _show_status(run: Run) -> None:
    """One line, always of the same height."""
    if run.status == "failed":
        st.error(plain(run.message), icon=":material/error:")
        return
    (icon, line), explanation = status_line(run), None
    if run.status == "finished" and st.session_state.get("cached_run") == run.id:
        line += ", cached result"
        explanation = "This race was trained on this server before; this is its stored result."
    st.markdown(f":material/{icon}: {plain(line)}", help=explanation)


TEST_ACCURACY = "- **Test accuracy**: the share of test images that are classified correctly. The dotted line is the teacher.\n"
BITS_PER_CHARACTER = (
    "- **Bits per character**: what the network needs to encode a character of the test text; lower is better. The dotted line is the "
    "teacher; of the little language the grey line is the entropy rate, which no network can beat.\n"
)


def explain_charts(experiment: Experiment) -> None:
    """What each chart of a race shows, and in which unit."""
    score, measure, examples = (
        (BITS_PER_CHARACTER, "bits a character", "positions of the text")
        if datasets.is_text(experiment.dataset)
        else (TEST_ACCURACY, "test accuracies in percentage points (in short, *points*)", "images")
    )
    with st.expander("What the charts show"):
        text = (
            f"{score}"
            f"- **Student minus baseline**: the mean difference of their {measure}, seed by seed, with its 95 % interval. The "
            "conclusion is read from its last point. Two bands of the first chart may overlap while their difference is clear: what "
            "a seed does to both networks cancels in the difference.\n"
            f"- **Hard loss**: cross-entropy with the labels on the training {examples}, in nats (natural logarithm; 1 nat = 1.44 bits), "
            "before its weight alpha.\n"
            f"- **{loss_label(experiment.method).capitalize()}**: the loss of the method *{method_of(experiment.method).title}* on the "
            f"training {examples}, before its weight. It is measured for the baseline too where it is defined, but the "
            "baseline does not train on it.\n"
            f"- **Agreement**: the share of test {examples} to which a network and the teacher assign the same class, right or wrong.\n"
            "- **Line and band**: the mean over the seeds with its 95 % confidence interval; for two seeds the band of a single curve is "
            "their range.\n"
            f"- **What an interval covers**: the variation between seeds (initial weights, choice and order of the training {examples}), "
            f"with this teacher and these test {examples} held fixed. It does not show what another teacher or another test set would "
            f"give. With one seed the interval covers the choice of test {examples} instead, and not the seeds."
        )
        st.markdown(linked(text))


def show_claim(experiment: Experiment) -> None:
    """For an experiment of the literature: the claim of its source, and what was measured here over many seeds."""
    if preset := preset_of(experiment):
        m = preset.measured
        measured = f"difference {m.difference:+.2f} points (95 % interval {m.low:+.2f} to {m.high:+.2f})".replace("-", "\u2212")
        st.markdown(
            f"*{preset.source}:* {preset.claim}  \n"
            f"*Measured for this lab* over {m.seeds} seeds: baseline {m.baseline:.2f} %, student {m.student:.2f} %, {measured}.",
            help=" ".join(str(reference(citation)) for citation in citations(preset.source)) or None,
        )


def show_unreadable(run: Run) -> None:
    """In place of the results of a finished run that are damaged."""
    show_error(f"the results of run {run.id} cannot be read; press Train on the page Race to train these settings again")


def show_conclusion(results: Sequence[dict], *, method: str) -> None:
    """The result in words; of one seed in a neutral box, because it does not cover other seeds."""
    conclusion = analysis.verdict(results, method=method)
    sign = conclusion.sign if len(results) > 1 else 0
    box, icon = {1: (st.success, "trending_up"), -1: (st.warning, "trending_down"), 0: (st.info, "trending_flat")}[sign]
    box(conclusion.sentence, icon=f":material/{icon}:")
