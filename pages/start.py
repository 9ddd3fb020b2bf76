"""The first minute: soft targets that move, one button, one race."""

import json

import streamlit as st

from distill_core.glossary import linked
from distill_core.paths import WEIGHTS
from pages.components.live_chart import have_charts_ready
from pages.components.soft_targets import soft_targets
from pages.sections.join import show_address
from pages.server import room
from pages.server.lab import link, set_up

set_up("Start")
st.title("What does a teacher know beyond the answer?")

targets, race = st.columns([1, 1], gap="large")
with targets:
    digit = json.loads((WEIGHTS / "first_digit.json").read_text())
    st.markdown(
        linked(
            "A large network, the **teacher**, gives a probability to every class. Raise the temperature $T$: the probabilities of the "
            "wrong classes become visible (the slider moves by itself until you take it). These *soft targets* are what a "
            "small **student** learns from."
        )
    )
    soft_targets(
        pixels=digit["pixels"],
        image_shape=tuple(digit["image_shape"]),
        logits={"teacher": digit["logits"]},
        class_names=digit["class_names"],
        label=digit["label"],
        temperature=4.0,
        key="first_digit",
        moving=True,
    )

with race:
    st.markdown(
        "**Do soft targets help?** Two small networks train on the same 200 digits, in the same order, from the same initial weights. "
        + linked("The **baseline** learns from the labels only; the **student** also learns from the teacher's soft targets.")
    )
    pressed = st.button(
        "Start the race", type="primary", icon=":material/sprint:", key="start_race", width="stretch",
        help="Trains ten pairs of student and baseline, which takes some seconds, and draws their accuracy on test images.",
    )  # fmt: skip
    if pressed or st.session_state.get("first_run"):
        # Imported only now: torch comes with it, which takes seconds to load on a fresh server, and the bars are already moving.
        from distill_core.studies.presets import PRESETS
        from pages.sections import race as races

        preset = PRESETS["first-race"]
        if pressed:
            st.session_state["first_run"] = races.start(preset.experiments(), title=preset.title)
        if run_id := st.session_state.get("first_run"):
            races.follow(run_id, key="first", panels=("test_accuracy",))
            link("pages/race.py", "Change the settings and race again", icon="tune", run=run_id)
    else:
        have_charts_ready()

st.divider()
with st.container(horizontal=True, vertical_alignment="center"):
    st.markdown("**New to distillation?** Guess, run, and see why, lesson by lesson.")
    link("pages/lessons.py", "Take the first lesson", icon="school")
    st.markdown("**You know it?**")
    link("pages/race.py", "Set up your own race", icon="sprint")

if not st.session_state.get("seat") and (room.current() is not None):
    from pages.sections import classroom

    st.markdown("**A room is open.** Type the code that the lecturer shows to join it.")
    classroom.ask_for_code()
show_address()
