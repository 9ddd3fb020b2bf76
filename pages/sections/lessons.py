"""A lesson in parts: the list of lessons, the guess, the experiment while it runs, and the explanation."""

from __future__ import annotations

from concurrent.futures import Future
from dataclasses import asdict, replace

import streamlit as st

from distill_core.data import datasets
from distill_core.figures.lessons import guess_figure
from distill_core.glossary import linked
from distill_core.lessons import LESSONS
from distill_core.lessons import lesson as lessons
from distill_core.lessons.lesson import GROUPS, Choice, Lesson
from distill_core.lessons.measured import in_words, kept
from distill_core.references import citations, reference
from distill_core.runs.store import Run
from distill_core.statistics import ACCURACY, BITS
from pages.components.live_chart import have_charts_ready, live_chart
from pages.sections import controls, race, transfer_set
from pages.server.curves import ICONS, latest_accuracies
from pages.server.lab import engine, link, pace, store
from pages.server.plain_text import plain

POLL_SECONDS = 0.5
DONE, OPEN = ":material/check_circle:", ":material/circle:"


def choose(guesses: dict[str, float | str]) -> str:
    """The list of all lessons in the sidebar, those with a guess ticked; returns the name of the open one."""
    chosen = st.session_state["lessons_lesson"]
    for group in GROUPS:
        own = {name: lesson for name, lesson in LESSONS.items() if lesson.group == group}
        with st.expander(f"**{group}**, {len(set(own) & set(guesses))} of {len(own)} done", expanded=chosen in own, key=f"lessons_{group}"):
            for name, lesson in own.items():
                st.button(
                    f"{DONE if name in guesses else OPEN} {lesson.title}", key=f"lesson_{name}", type="tertiary",
                    on_click=_open, args=(name,), help=lesson.question,
                )  # fmt: skip
    st.caption(f"{len(guesses)} of {len(LESSONS)} lessons done. Your guesses stay in this browser.")
    return chosen


def _open(name: str) -> None:
    st.session_state["lessons_lesson"] = name


def ask(name: str, lesson: Lesson, before: float | str | None) -> None:
    """The question, the guess, and the button that starts the experiment."""
    st.markdown(f"#### {lesson.question}")
    key = f"guess_{name}"
    if isinstance(lesson.guess, Choice):
        options = list(lesson.guess.options)
        place = options.index(before) if before in options else None
        guess = st.radio("Your guess", options, index=place, key=key, help="What do you expect? Choose before you see the result.")
    else:
        low, high, step = (float(value) for value in (lesson.guess.low, lesson.guess.high, lesson.guess.step))
        start = min(high, max(low, float(before))) if isinstance(before, int | float) else 0.0
        points = " Points are percentage points." if lesson.guess.unit == "points" else ""
        guess = st.slider(
            f"Your guess, in {lesson.guess.unit} of test accuracy",
            low,
            high,
            start,
            step,
            key=key,
            help=f"What do you expect? Choose before you see the result.{points}",
        )
    label = "Guess, and run the experiment" if lesson.judge else "Guess, and see the answer"
    pressed = st.button(
        label, type="primary", icon=":material/sprint:", key="lesson_run", disabled=guess is None,
        help=f"Shows your guess next to the result. {_size(lesson)}".strip(),
    )  # fmt: skip
    if pressed:
        st.session_state.setdefault("lesson_guesses", {})[name] = guess
        if lesson.arms:
            st.session_state.setdefault("lesson_runs", {})[name] = race.start(
                lesson.experiments(), title=f"lesson: {lesson.title}", kind="race" if len(lesson.arms) == 1 else "sweep"
            )
        elif lesson.trial:
            st.session_state.setdefault("lesson_trials", set()).add(name)
        st.rerun()


def _size(lesson: Lesson) -> str:
    if not lesson.arms:
        return lesson.size
    pairs = len(lesson.arms) * lesson.seeds
    first = next(iter(lesson.arms.values()))
    return f"Trains {pairs} pairs of student and baseline on {datasets.SOURCES[first.dataset].title}."


# --- the result -----------------------------------------------------------------------------------------------------


def show_result(name: str, lesson: Lesson, guess: float | str) -> bool:
    """The experiment while it runs, then the guess beside the result. True once the explanation may be shown."""
    if lesson.trial:
        return _show_trial(name, lesson, guess)
    if not lesson.arms:
        _conclude(lesson.find({}), guess)
        return True
    run_id = st.session_state.get("lesson_runs", {}).get(name)
    run = store().get(run_id) if run_id else None
    if run is None:
        st.markdown("Press the button to run the experiment.")
        return False
    every = max(POLL_SECONDS, pace()) if run.active else None
    st.fragment(_follow, run_every=every)(run.id, name, guess, run.active)
    if run.status == "finished":
        if not (results := store().results(run.id)):
            race.show_unreadable(run)
            return False
        _conclude(lesson.find(lesson.by_arm(results)), guess)
        if run.kind == "race":
            link("pages/race.py", "Open this run with all its settings", icon="tune", run=run.id)
        elif not datasets.is_text(next(iter(lesson.arms.values())).dataset):  # the page Sweep shows images
            link("pages/sweep.py", "Open this run with all its settings", icon="tune", run=run.id)
    return run.status == "finished"


def _follow(run_id: str, name: str, guess: float | str, was_active: bool) -> None:
    run = store().get(run_id)
    if run is None or run.active != was_active:
        st.rerun()
    if run.status == "failed":
        st.error(plain(run.message), icon=":material/error:")
        return
    status = f"finished in {run.seconds:.1f} s" if run.status == "finished" else plain(engine().status(run.id))
    st.markdown(f":material/{ICONS[run.status]}: {status}")
    _draw(name, _gains(run, LESSONS[name]), guess, revision=f"{run.id} {run.resets}")


def _draw(name: str, gains: list[lessons.Gain], guess: float | str, *, revision: str) -> None:
    figure = guess_figure([asdict(one) for one in gains], guess)
    live_chart(figure, key=f"lesson_chart_{name}", height=figure.layout.height, revision=revision)


def _gains(run: Run, lesson: Lesson) -> list[lessons.Gain]:
    """The gain of each arm by the latest accuracies of both networks; arms that were not tested yet are left out."""
    latest, seeds = latest_accuracies(run.id, store().version(run.id)[1]), lesson.seeds
    first = next(iter(lesson.arms.values()))
    images, field = datasets.SOURCES[first.dataset].test, (BITS if datasets.is_text(first.dataset) else ACCURACY).field
    found = []
    for place, arm in enumerate(lesson.arms):
        both = [
            {role: {field: latest[place * seeds + seed, role], "test_images": images} for role in ("student", "baseline")}
            for seed in range(seeds)
            if {(place * seeds + seed, "student"), (place * seeds + seed, "baseline")} <= set(latest)
        ]
        if len(both) == seeds:
            found.append(lessons.gain(arm, both))
    return found


# --- a trial --------------------------------------------------------------------------------------------------------


@st.cache_resource(max_entries=100, show_spinner=False)
def _trial(name: str) -> Future:
    """The results of a lesson's trial, which a worker computes once for all: its seeds are fixed, and with them its numbers."""
    return engine().compute(LESSONS[name].trial, LESSONS[name].seeds)


def _show_trial(name: str, lesson: Lesson, guess: float | str) -> bool:
    """A trial while it is computed, then the guess beside its result. True once the explanation may be shown."""
    if name not in st.session_state.get("lesson_trials", ()):
        st.markdown("Press the button to run the experiment.")
        return False
    future = _trial(name)
    if not future.done():
        st.fragment(_await, run_every=max(POLL_SECONDS, pace()))(name)
        return False
    try:
        results = future.result()
    except Exception as error:
        _trial.clear(name)  # the next press tries again
        st.session_state["lesson_trials"].discard(name)
        st.error(f"The experiment ended with an error ({plain(str(error))}). Press the button to run it again.", icon=":material/error:")
        return False
    _draw(name, lessons.gains(results), guess, revision=name)
    _conclude(lesson.find(results), guess)
    return True


def _await(name: str) -> None:
    if _trial(name).done():
        st.rerun()
    st.markdown(f":material/progress_activity: The experiment is running. {LESSONS[name].size}")


def _conclude(finding: lessons.Finding, guess: float | str) -> None:
    """The guess beside the finding, in words."""
    right = guess == finding.answer or (not isinstance(guess, str) and finding.low <= guess <= finding.high)
    box, icon = (st.success, "check") if right else (st.info, "lightbulb")
    box(f"{finding.sentence}\n\n**{lessons.reply(guess, finding)}**", icon=f":material/{icon}:")


# --- the explanation ------------------------------------------------------------------------------------------------


def explain(name: str, lesson: Lesson) -> None:
    """The explanation, its sources, what was measured over ten seeds, pages to open, and the next lesson."""
    levels = lesson.explanations()
    level = next(iter(levels))
    if len(levels) > 1:
        level = st.segmented_control(
            "Explained", list(levels), key=f"level_{name}", default=list(levels)[1], required=True, help="For whom the text is written."
        )
    st.markdown(linked(levels[level]))
    sources = dict.fromkeys(citation for text in (lesson.source, *levels.values()) for citation in citations(text))
    st.caption(f"Source: {lesson.source}.", help="\n\n".join(str(reference(one)) for one in sources) or None)
    if measured := kept().get(name):
        words = in_words(measured, lesson.why_not)
        st.caption(f"Measured for this lab over {measured['seeds']} seeds, on {measured['date']}: {words}")
    with st.container(horizontal=True):
        for label, (page, query) in lesson.look.items():
            link(page, label, icon="arrow_outward", **query)
    if lesson.races:
        st.markdown("**Races that show it:**")
        with st.container(horizontal=True):
            for label, experiment in lesson.races.items():
                seeds = [replace(experiment, seed=seed) for seed in range(lesson.seeds)]
                link("pages/race.py", label, icon="sprint", **controls.link_to(seeds))
    names = list(LESSONS)
    if name != names[-1]:
        following = names[names.index(name) + 1]
        st.button(
            f"Next: {LESSONS[following].title}", icon=":material/arrow_forward:", key="lesson_next", on_click=_open, args=(following,),
            type="primary", help=LESSONS[following].question,
        )  # fmt: skip


def invite(lesson: Lesson) -> None:
    """Before the guess: what will happen, and images or text that the experiment trains on."""
    have_charts_ready()
    seconds = " The experiment then runs in front of you, in some seconds." if lesson.judge else ""
    st.markdown(f"Guess first: what is predicted is remembered.{seconds} The explanation follows the result.")
    if lesson.arms:
        transfer_set.show_examples(next(iter(lesson.arms.values())))
