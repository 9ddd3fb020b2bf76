"""Sixty seconds: one picture that moves, one button, one race."""

import json

import streamlit as st

from distill_core.paths import WEIGHTS
from pages.components.live_chart import have_charts_ready
from pages.components.soft_targets import soft_targets
from pages.server.lab import link, set_up

set_up("Start")
st.title("What does a teacher know beyond the answer?")

doubts, race = st.columns([1, 1], gap="large")
with doubts:
    digit = json.loads((WEIGHTS / "first_digit.json").read_text())
    st.markdown(
        "A large network, the **teacher**, sees a digit. Raise the temperature $T$ and its doubts come to light: "
        "the *soft targets* that a small **student** can learn from."
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
        "**Is it worth anything?** Two tiny networks see the same 200 digits, in the same order, from the same first weights. "
        "The **baseline** gets the labels alone; the **student** hears the teacher too."
    )
    pressed = st.button("Start the race", type="primary", icon=":material/sprint:", key="start_race", width="stretch")
    if pressed or st.session_state.get("first_run"):
        # Only now, because this needs torch: on a fresh server it takes seconds to load, and the picture is already moving.
        from distill_core.studies.presets import PRESETS
        from pages.sections import race as races

        preset = PRESETS["first-race"]
        if pressed:
            st.session_state["first_run"] = races.start(preset.experiments(), title=preset.title)
        if run_id := st.session_state.get("first_run"):
            races.follow(run_id, key="first", panels=("test_accuracy",))
            link("pages/race.py", "Change something and race again", icon="tune", run=run_id)
    else:
        have_charts_ready()
