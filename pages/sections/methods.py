"""The page Methods in parts: a method's card, a diagram of its networks, and the comparison of all methods."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import streamlit as st

from distill_core import losses, teachers
from distill_core.batch import mixed_after_warm_up, mixed_per_class, own_loss_alone
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

CHAINS = "Ensembles and chains"
GROUPS = {
    "Logits": "**Response-based, offline.** The teacher is trained first. The student learns from the teacher's logits for each image.",
    "Features": "**Feature-based, offline.** The student learns from the activations of the teacher's hidden layers.",
    "Relations": "**Relation-based, offline.** The student learns how the teacher's features relate the images of a batch.",
    "Online": "**Online.** There is no teacher: several students train at the same time and learn from the labels and from each other.",
    CHAINS: "**Several teachers, assistants, self-distillation.** The loss is that of soft targets; the networks that teach differ.",
    "Controls": "**Controls.** Soft targets from which a part of the information is removed. They show where the gain comes from.",
}
WITH_SEVERAL_NETWORKS = ("Online", CHAINS)  # groups whose methods differ in the networks that teach
KINDS = {"Logits": "response-based", "Features": "feature-based", "Relations": "relation-based", "Controls": "control"}
MIXTURES = {  # how the own loss is mixed with the hard loss, where it is not as WEIGHT_HELP states
    mixed_per_class: ", divided by the number of classes",
    mixed_after_warm_up: ", which rises from 0 over the first twelfth of the training",
    own_loss_alone: "; it is the whole loss, alpha has no effect",
}
WEIGHT_HELP = (
    "The student minimises alpha times the hard loss plus (1 - alpha) times this weight times the method's own loss. "
    "The weight brings the own loss to the scale of the hard loss."
)
DIFFERENCE_HELP = (
    "Test accuracy of the student minus that of its baseline, which learns from the labels only, in percentage points. "
    "Mean over the seeds with a 95 % interval of the paired differences; an interval that contains 0 shows no difference."
)


def members(group: str) -> dict[str, str]:
    """Titles of a group's methods, by name."""
    if group == CHAINS:
        return {name: entry.title for name, entry in comparison.SET_UPS.items()}
    kind, scheme = ("response-based", "online") if group == "Online" else (KINDS[group], "offline")
    return {name: method.title for name, method in METHODS.items() if (method.kind, method.scheme) == (kind, scheme)}


def show_card(name: str) -> None:
    """A method's idea, formula, source and weight, its measured differences, and a link to a race with it."""
    method = METHODS.get(name)
    with st.container(border=True):
        st.markdown(controls.idea(method) if method else comparison.SET_UPS[name].idea)
        if method and (formula := _formula(method)):
            st.latex(formula)
        facts, results = st.columns([2, 3], gap="large")
        with facts:
            if method:
                loss = f"**{method.loss_name}**{f' ({method.unit})' if method.unit else ''}"
                weight = f"weight **{method.weight:.3g}**{MIXTURES.get(method.mixture, '')}"
                st.markdown(
                    f"*{method.paper}*  \n{method.kind}, {method.scheme}  \nown loss: {loss}, {weight}  \ncompares {_compares(method)}",
                    help=WEIGHT_HELP,
                )
            link("pages/race.py", "Race this method", icon="sprint", **_race(name))
        with results:
            rows = {(row["setting"], row["name"]): row for row in comparison.kept()["rows"]}
            lines = [f"{setting.title}: **{_difference(rows.get((key, name)))}**" for key, setting in comparison.SETTINGS.items()]
            st.markdown("Difference from the baseline (95 % interval)  \n" + "  \n".join(lines), help=DIFFERENCE_HELP)


def _formula(method: Method) -> str:
    """The formula of the method's own loss, from its docstring; empty if there is none."""
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


def _difference(row: dict | None) -> str:
    if row is None:
        return "not measured yet"
    return "not applicable to these networks" if "refused" in row else figures.points(row)


def _race(name: str) -> dict[str, str]:
    """Query parameters of the race page for a quick race with this method."""
    experiment = _experiment(name)
    return controls.link_to([replace(experiment, seed=seed) for seed in range(5)])


def _experiment(name: str) -> Experiment:
    """A quick experiment with networks and images to which the method applies."""
    base = controls.START
    _, changes = comparison.entries(base)[name]
    if name in METHODS and METHODS[name].compares == "maps":
        base = replace(base, teacher="cnn-32", student="cnn-4", epochs=40)
    if changes.get("teacher") == "ensemble-5" and datasets.DATASETS["mnist"].is_here():  # there is no ensemble for digits
        base = replace(base, dataset="mnist", images=1000, epochs=40)
    return replace(base, **changes)


def show_networks(name: str) -> None:
    """A diagram of the networks: peers that teach each other, or a chain from the teachers to the student."""
    experiment = _experiment(name)
    if peers := METHODS[experiment.method].peers:
        networks, edges = figures.circle(peers)
    else:
        recipes = [teachers.TEACHERS[one] for one in teachers.parse_ensemble(experiment.teacher)]
        models = [recipe.model for recipe in recipes for _ in range(recipe.members)]
        between = [
            f"earlier generation<br>{one}" if one == experiment.student else f"assistant<br>{one}" for one in experiment.assistants
        ]  # fmt: skip
        several = len(models) > 1
        networks, edges = figures.chain(models if several else [f"teacher<br>{models[0]}"], between, mean_of=experiment.combine)
    st.subheader("Which network teaches which")
    figure = figures.who_teaches_whom(networks, edges)
    live_chart(figure, key="methods_networks", height=figure.layout.height)


# --- the comparison -------------------------------------------------------------------------------------------------


def show_comparison(name: str) -> None:
    """All methods on the same images: difference from the baseline and cost of a step. Measured earlier, and labelled as such."""
    kept = comparison.kept()
    settings = [setting for setting in comparison.SETTINGS if setting in kept["measured"]]
    if not settings:
        return
    st.subheader("All methods compared", help=DIFFERENCE_HELP)
    settle("methods_setting", settings)
    setting = st.segmented_control(
        "Data set", settings, key="methods_setting", required=True, format_func=lambda s: comparison.SETTINGS[s].title,
        persist_state="session",
    )  # fmt: skip
    rows, measured = kept["rows"], kept["measured"][setting]
    base, shown = comparison.SETTINGS[setting].experiment, figures.ranked(rows, setting)
    helped = sum(figures.sign(row) > 0 for row in shown)
    hurt = sum(figures.sign(row) < 0 for row in shown)
    st.markdown(
        f"Of {len(shown)} methods **{helped}** help, **{hurt}** hurt, and **{len(shown) - helped - hurt}** show no difference. "
        f"Student `{base.student}`, teacher `{base.teacher}`, {base.epochs} epochs, T = {base.temperature:g}, alpha {base.alpha:g}; "
        f"the baseline reaches {np.mean(shown[0]['baselines']):.2f} %. "
        f"{len(shown[0]['students'])} seeds, 95 % intervals of the paired difference."
    )
    figure = figures.comparison_figure(rows, setting, marked=name)
    live_chart(figure, key="methods_comparison", height=figure.layout.height, revision=setting)
    st.markdown(
        f"*Measured earlier*, on {measured['date']}, by `{measured['command']}` in {measured['seconds'] / 60:.0f} minutes "
        f"on {measured['machine']}."
    )
    with st.expander("Table, with time and memory of a training step"):
        st.dataframe(_table(rows, setting), hide_index=True)


def _table(rows: list[dict], setting: str) -> pd.DataFrame:
    """One row per method; methods that do not apply to the networks of the setting come last, with the reason."""
    shown = figures.ranked(rows, setting)
    reference = next((row for row in shown if row["name"] == "soft-targets"), shown[0])
    measured = [
        {
            "method": row["title"],
            "accuracy (%)": round(float(np.mean(row["students"])), 2),
            "difference from baseline": figures.points(row),
            "time per step (ms)": row["step_ms"],
            "time relative to soft targets": round(row["step_ms"] / reference["step_ms"], 2),
            "memory per step (MB)": row["step_mb"],
            "memory above soft targets (MB)": round(row["step_mb"] - reference["step_mb"], 2),
        }
        for row in shown
    ]
    refused = [
        {"method": row["title"], "difference from baseline": row["refused"]}
        for row in rows
        if row["setting"] == setting and "refused" in row
    ]
    return pd.DataFrame([*measured, *refused])
