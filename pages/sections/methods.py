"""The views of the page of methods: a card, a picture of who teaches whom, and how all of them fared."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import streamlit as st

from distill_core import losses, teachers
from distill_core.data import datasets
from distill_core.experiment import Experiment
from distill_core.figures import methods as figures
from distill_core.objectives import METHODS, Method
from distill_core.studies import comparison
from pages.components.live_chart import live_chart
from pages.sections import controls
from pages.sections.source import losses_in
from pages.server.lab import link
from pages.server.link import settle

GROUPS = {
    "Logits": "**Response-based, offline.** A teacher that was trained before answers each image; the student listens to its logits.",
    "Features": "**Feature-based, offline.** The student looks at what the teacher's hidden layers make of an image, before the answer.",
    "Relations": "**Relation-based, offline.** Not what the teacher makes of one image, but how the images of a batch stand to each other.",
    "Online": "**Online.** No teacher: several students learn at the same time, from the labels and from each other.",
    "Self and chains": "**Self-distillation, assistants, several teachers.** The loss is that of soft targets; who teaches whom changes.",
    "Controls": "**Controls.** Soft targets without knowledge in them: what is left of the gain came from somewhere else.",
}
OF_SEVERAL = ("Online", "Self and chains")  # groups whose idea is who teaches whom
KINDS = {"Logits": "response-based", "Features": "feature-based", "Relations": "relation-based", "Controls": "control"}


def members(group: str) -> dict[str, str]:
    """Titles of a group's methods, by name."""
    if group == "Self and chains":
        return {name: entry.title for name, entry in comparison.SET_UPS.items()}
    kind = KINDS.get(group)
    return {
        name: method.title
        for name, method in METHODS.items()
        if (method.scheme == "online" if group == "Online" else method.kind == kind and method.scheme == "offline")
    }


def show_card(name: str) -> None:
    """Its idea, its formula, who thought of it, its weight; what it did; and a button to race it."""
    method = METHODS.get(name)
    with st.container(border=True):
        st.markdown(controls.idea(method) if method else comparison.SET_UPS[name].idea)
        if method and (formula := _formula(method)):
            st.latex(formula)
        facts, found = st.columns([2, 3], gap="large")
        with facts:
            if method:
                st.markdown(
                    f"*{method.paper}*  \n{method.kind}, {method.scheme}  \n"
                    f"weight of its loss **{method.weight:.3g}**, looks at {_compares(method)}"
                )
            link("pages/race.py", "Race it", icon="sprint", **_race(name))
        with found:
            rows = {(row["setting"], row["name"]): row for row in comparison.kept()["rows"]}
            st.markdown("  \n".join(f"{s.title}: **{_found(rows.get((key, name)))}**" for key, s in comparison.SETTINGS.items()))


def _formula(method: Method) -> str:
    """The displayed formula of the method's own loss, as its docstring has it."""
    for loss in losses_in(method.definition):
        if loss is not losses.hard_loss and len(parts := loss.__doc__.split("$$")) > 2:
            return " ".join(parts[1].split())
    return ""


def _compares(method: Method) -> str:
    if method.peers:
        return "the logits of its peers"
    if method.compares == "maps":
        return "feature maps of both networks"
    return "hidden layers of both networks" if method.compares == "features" else "logits"


def _found(row: dict | None) -> str:
    if row is None:
        return "not measured yet"
    return "does not go together" if "refused" in row else figures.points(row)


def _race(name: str) -> dict[str, str]:
    """The race page's address for a quick race by this method."""
    usual, changes = _usual_race(name)
    return controls.link_to([replace(usual, **changes, seed=seed) for seed in range(5)])


def _usual_race(name: str) -> tuple[Experiment, dict]:
    """A quick race that the method's networks and images allow, and what the method changes in it."""
    usual = controls.START
    _, changes = comparison.entries(usual)[name]
    if name in METHODS and METHODS[name].compares == "maps":
        usual = replace(usual, teacher="cnn-32", student="cnn-4", epochs=40)
    if changes.get("teacher") == "ensemble-5" and datasets.DATASETS["mnist"].is_here():  # the digits have none
        usual = replace(usual, dataset="mnist", images=1000, epochs=40)
    return usual, changes


def show_who_teaches_whom(name: str) -> None:
    """A picture of the networks of this race: peers around a circle, or a chain from the teachers to the student."""
    usual, changes = _usual_race(name)
    race = replace(usual, **changes)
    if peers := METHODS[race.method].peers:
        networks, teaches = figures.circle(peers)
    else:
        recipes = [teachers.TEACHERS[one] for one in teachers.parse_ensemble(race.teacher)]
        members = [recipe.model for recipe in recipes for _ in range(recipe.members)]
        between = [f"earlier student<br>{one}" if one == race.student else f"assistant<br>{one}" for one in race.assistants]
        several = len(members) > 1
        networks, teaches = figures.chain(members if several else [f"teacher<br>{members[0]}"], between, mean_of=race.combine)
    st.subheader("Who teaches whom")
    figure = figures.who_teaches_whom(networks, teaches)
    live_chart(figure, key="methods_networks", height=figure.layout.height)


# --- all side by side -----------------------------------------------------------------------------------------------


def show_comparison(name: str) -> None:
    """Every method on the same images: its difference from the baseline, and what a step costs. Measured before, and said so."""
    told = comparison.kept()
    measured = [setting for setting in comparison.SETTINGS if setting in told["measured"]]
    if not measured:
        return
    st.subheader("All of them, side by side")
    settle("methods_setting", measured)
    setting = st.segmented_control(
        "On", measured, key="methods_setting", required=True, format_func=lambda s: comparison.SETTINGS[s].title, persist_state="session"
    )
    rows, about = told["rows"], told["measured"][setting]
    usual, shown = comparison.SETTINGS[setting].experiment, figures.ranked(rows, setting)
    helped = sum(figures.sign(row) > 0 for row in shown)
    hurt = sum(figures.sign(row) < 0 for row in shown)
    st.markdown(
        f"Of {len(shown)} methods **{helped}** help, **{hurt}** hurt, and of **{len(shown) - helped - hurt}** nothing can be told. "
        f"A `{usual.student}` learns from `{usual.teacher}`, {usual.epochs} epochs, T = {usual.temperature:g}, alpha {usual.alpha:g}; "
        f"its baseline reaches {np.mean(shown[0]['baselines']):.2f} %. "
        f"{len(shown[0]['students'])} seeds, 95 % intervals of the paired difference."
    )
    figure = figures.comparison_figure(rows, setting, marked=name)
    live_chart(figure, key="methods_comparison", height=figure.layout.height, revision=setting)
    st.markdown(
        f"*A replay:* measured on {about['date']} by `{about['command']}` in {about['seconds'] / 60:.0f} minutes on {about['machine']}."
    )
    with st.expander("As a table, with time and memory of a step"):
        st.dataframe(_table(rows, setting), hide_index=True)


def _table(rows: list[dict], setting: str) -> pd.DataFrame:
    shown = figures.ranked(rows, setting)
    usual = next((row for row in shown if row["name"] == "soft-targets"), shown[0])
    measured = [
        {
            "method": row["title"],
            "accuracy (%)": round(float(np.mean(row["students"])), 2),
            "difference": figures.points(row),
            "a step (ms)": row["step_ms"],
            "times soft targets": round(row["step_ms"] / usual["step_ms"], 2),
            "memory (MB)": row["step_mb"],
            "more than soft targets (MB)": round(row["step_mb"] - usual["step_mb"], 2),
        }
        for row in shown
    ]
    refused = [{"method": row["title"], "difference": row["refused"]} for row in rows if row["setting"] == setting and "refused" in row]
    return pd.DataFrame([*measured, *refused])
