"""What the learners of a room do together: join, guess, be the teacher; the board of its runs. All see the same figures."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import streamlit as st

from distill_core import teachers
from distill_core.consensus import odd_images
from distill_core.data import datasets
from distill_core.experiment import Experiment
from distill_core.figures.classroom import Dot, board_figure, choices_figure, guesses_figure, soft_labels_figure
from distill_core.runs.rooms import Activity, Room, Started
from distill_core.statistics import format_points
from distill_core.studies.presets import PRESETS
from pages.components.gallery import gallery
from pages.components.live_chart import live_chart
from pages.components.soft_label import soft_label
from pages.sections import networks
from pages.server import room as rooms
from pages.server.experiments import first_experiment
from pages.server.lab import owner, store
from pages.server.plain_text import plain

TICK = 2.0  # seconds between two looks at the runs of the room


# --- a learner ------------------------------------------------------------------------------------------------------


def ask_for_code() -> None:
    """The field for the code of a room, on the pages Start and Classroom."""
    with st.form("join", border=False):
        code, button = st.columns([2, 1], vertical_alignment="bottom")
        typed = code.text_input("Code of the room", max_chars=10, placeholder="K7M4P", key="code", help="The lecturer shows it.")
        pressed = button.form_submit_button(
            "Join the room", icon=":material/login:", width="stretch", help="Gives this browser a seat in the room."
        )
    if pressed and rooms.join(typed, owner()):
        st.switch_page("pages/classroom.py")


def answer(activity: Activity, given: dict[int, object]) -> None:
    """The question, with what this learner can answer, or the answers of all once they are revealed."""
    st.markdown(f"## {plain(activity.text)}")
    if activity.revealed:
        show_answers(activity, own=given.get(0))
        return
    if activity.kind == "teacher":
        _split(activity, given)
        return
    with st.form("answer", border=False):
        if activity.kind == "number":
            value: object = st.slider(
                "Your guess, in percentage points",
                -15.0,
                15.0,
                0.0,
                0.5,
                key=f"guess_{activity.id}",
                format="%+.1f",
                help="Student minus baseline: below zero if you expect the teacher to harm.",
            )
        else:
            value = st.radio(
                "Your answer", range(len(activity.choices)), format_func=lambda n: plain(activity.choices[n]),
                key=f"choice_{activity.id}", index=None, help="Choose one.",
            )  # fmt: skip
        sent = st.form_submit_button(
            "Send", type="primary", icon=":material/send:", help="You can send again until the answers are shown; the last one counts."
        )
    if sent and value is not None:
        _send(activity, value)
        given = rooms.rooms().answers_of(owner())
    if given:
        words = f"{format_points(given[0])} points" if activity.kind == "number" else plain(activity.choices[given[0]])
        st.markdown(f":material/check_circle: Your answer: **{words}**. You can change it until the lecturer shows all answers.")


def _split(activity: Activity, given: dict[int, object]) -> None:
    st.markdown(
        "You are the teacher. Split 100 % over the classes of each image: tap a class to give it 10 %. A clear digit gets all of it, an "
        "odd one is shared. A small network will learn from the mean of all answers."
    )
    soft_label(
        _images(activity), class_names=activity.choices, given=given, key=f"label_{activity.id}",
        on_label=lambda image, shares: _send(activity, shares, item=image),
    )  # fmt: skip


def _send(activity: Activity, value: object, *, item: int = 0) -> None:
    try:
        rooms.rooms().answer(activity.id, owner(), value, item=item)
    except ValueError as error:
        st.toast(plain(error), icon=":material/block:")


# --- answers --------------------------------------------------------------------------------------------------------


def show_answers(activity: Activity, *, own: object = None) -> None:
    """The histogram of the answers; of soft labels, what students learned from them."""
    answers, key = rooms.rooms().answers(), f"answers_{activity.id}"
    if activity.kind == "teacher":
        show_students(activity)
    elif activity.kind == "choice":
        live_chart(choices_figure(answers, activity.choices, own=own), key=key, height=110 + 60 * len(activity.choices))
    else:
        m = PRESETS[activity.preset].measured if activity.preset in PRESETS else None
        figure = guesses_figure(answers, measured=(m.difference, m.low, m.high) if m else None, own=own)
        live_chart(figure, key=key, height=400)
        if m and answers:
            count = f"{len(answers)} guesses, their mean is" if len(answers) > 1 else "One guess,"
            st.caption(
                f"Green: what was measured for this lab over {m.seeds} seeds, with its 95 % interval. {count} "
                f"{format_points(float(np.mean(answers)))} points."
            )


def show_students(activity: Activity) -> None:
    """The three students of the soft labels, in a figure, in words and as the labels themselves."""
    result = activity.result
    if not result:
        st.markdown(":material/hourglass_top: The students are being trained.")
        return
    live_chart(soft_labels_figure(result), key=f"students_{activity.id}", height=300)
    labels = result["class_minus"]["labels"]
    interval = f"{format_points(labels['low'])} to {format_points(labels['high'])}"
    sentence = (
        "Your soft labels taught more than the hard labels"
        if labels["low"] > 0
        else "Your soft labels taught less than the hard labels"
        if labels["high"] < 0
        else "One cannot tell whether your soft labels taught more than the hard labels"
    )
    st.markdown(
        f"**{sentence}**: {format_points(labels['mean'])} points (95 % interval {interval}), from {result['voters']} teachers in this room."
    )
    st.caption(
        f"Each student (`{result['student']}`) learned from these {result['images']} images and nothing else, which is very few: none can "
        f"be good. It was tested on the other {result['test_images']:,} test images, and never on these. Mean of {result['seeds']} seeds, "
        "the same for all three; the interval covers the variation between seeds."
    )
    soft = {title: np.array(result["soft_labels"][name]) for name, title in (("class", "learners"), ("network", "network"))}
    names = [activity.choices[int(np.argmax(row))] for row in result["soft_labels"]["labels"]]
    gallery(
        _images(activity)[result["used"]], captions=[f"label {name}" for name in names], soft=soft, class_names=activity.choices,
        key=f"gallery_{activity.id}",
    )  # fmt: skip


def odd_images_of(dataset: str) -> tuple[int, ...]:
    """The image of each class for which the default teacher of the data set is least certain."""
    found = networks.images(dataset)
    return tuple(odd_images(networks.test_logits(dataset, teachers.default_teacher(dataset)), found.test_labels)[:10])


def sets_to_teach() -> list[str]:
    """The data sets of digits on this machine, the one with larger images first."""
    return [name for name in ("mnist", "digits") if datasets.DATASETS[name].is_here()]


def _images(activity: Activity) -> np.ndarray:
    return networks.images(activity.dataset).test_images[list(activity.images)].numpy()


# --- the board ------------------------------------------------------------------------------------------------------


def board(room: Room, *, key: str) -> None:
    """Every run of the room as a dot on the map of T and alpha; a table says the same in words."""
    started = rooms.rooms().runs()
    dots = dots_of(started)
    ended = [dot for dot in dots if dot.gain is not None]
    st.markdown(f"**{len(dots)} runs, {len(ended)} finished.** {_best(ended)}" if dots else "No learner has started a run yet.")
    live_chart(board_figure(dots), key=key, height=520, revision=room.code)
    with st.expander("The board as a table"):
        st.dataframe(
            [
                {
                    "learner": dot.seat,
                    "T": dot.temperature,
                    "alpha": dot.alpha,
                    "gain (points)": format_points(dot.gain) if dot.gain is not None else "",
                    "status": dot.status,
                }
                for dot in dots
            ],
            hide_index=True,
        )


def dots_of(started: Sequence[Started]) -> list[Dot]:
    """The dots of these runs; a run that was deleted, or cannot be read, has none."""
    dots = []
    for one in started:
        run = store().get(one.run)
        if run is not None and (found := _dot(one.run, run.changes)):
            dots.append(Dot(one.seat, *found, run.status))
    return dots


@st.cache_data(max_entries=1000, show_spinner=False)
def _dot(run_id: str, version: int) -> tuple[float, float, float | None] | None:
    """T, alpha and gain of a run at `version`; none of a race on a text, whose gain has another unit."""
    run = store().get(run_id)
    first: Experiment | None = first_experiment(run) if run is not None else None
    if first is None or run.kind != "race" or datasets.is_text(first.dataset):
        return None
    gains = [100 * (one["student"]["test_accuracy"] - one["baseline"]["test_accuracy"]) for one in store().results(run_id)]
    return first.temperature, first.alpha, float(np.mean(gains)) if run.status == "finished" and gains else None


def _best(ended: Sequence[Dot]) -> str:
    if not ended:
        return ""
    best = max(ended, key=lambda dot: dot.gain)
    place = f"T = {best.temperature:g}, alpha = {best.alpha:g}"
    return f"The largest gain so far, which chance may have picked: {format_points(best.gain)} points at {place}."
