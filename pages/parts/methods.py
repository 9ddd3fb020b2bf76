"""The views of the page of methods: a card, a picture of what is compared, and how all of them fared."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import streamlit as st
import torch

from distill_core import comparison, datasets, losses, models, objectives
from distill_core.figures import methods as figures
from distill_core.objectives import METHODS, Method
from pages.parts import controls, networks
from pages.parts.lab import link, store
from pages.parts.link import settle
from pages.parts.live_chart import live_chart
from pages.parts.soft_targets import soft_targets
from pages.parts.source import losses_in

GROUPS = {
    "Logits": "**Response-based, offline.** A teacher that was trained before answers each image; the student listens to its logits.",
    "Features": "**Feature-based, offline.** The student looks at what the teacher's hidden layers make of an image, before the answer.",
    "Relations": "**Relation-based, offline.** Not what the teacher makes of one image, but how the images of a batch stand to each other.",
    "Online": "**Online.** No teacher: several students learn at the same time, from the labels and from each other.",
    "Self and chains": "**Self-distillation, assistants, several teachers.** The loss is that of soft targets; who teaches whom changes.",
    "Controls": "**Controls.** Soft targets without knowledge in them: what is left of the gain came from somewhere else.",
}
KINDS = {"Logits": "response-based", "Features": "feature-based", "Relations": "relation-based", "Controls": "control"}
EXAMPLES = 20  # images whose relations are shown
MOST_MAPS = 6


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
                    f"weight of its loss **{method.weight:.3g}**, looks at {_looks_at(method)}"
                )
            link("pages/race.py", "Race it", icon="sprint", **_race(name))
        with found:
            rows = {(row["setting"], row["name"]): row for row in comparison.kept()["rows"]}
            st.markdown("  \n".join(f"{s.title}: **{_found(rows.get((key, name)))}**" for key, s in comparison.SETTINGS.items()))


def _formula(method: Method) -> str:
    """The displayed formula of the method's own loss, as its docstring has it."""
    for loss in losses_in(method.objective):
        if loss is not losses.hard_loss and len(parts := loss.__doc__.split("$$")) > 2:
            return " ".join(parts[1].split())
    return ""


def _looks_at(method: Method) -> str:
    if method.peers:
        return "the logits of its peers"
    if method.looks_at == "maps":
        return "feature maps of both networks"
    return "hidden layers of both networks" if method.looks_at == "features" else "logits"


def _found(row: dict | None) -> str:
    if row is None:
        return "not measured yet"
    return "does not go together" if "refused" in row else figures.points(row)


def _race(name: str) -> dict[str, str]:
    """The race page's address for a quick race by this method."""
    usual = controls.START
    _, changes = comparison.entries(usual)[name]
    if name in METHODS and METHODS[name].looks_at == "maps":
        usual = replace(usual, teacher="cnn-32", student="cnn-4", epochs=40)
    if changes.get("teacher") == "ensemble-5" and datasets.DATASETS["mnist"].is_here():  # the digits have none
        usual = replace(usual, dataset="mnist", images=1000, epochs=40)
    return controls.link_to([replace(usual, **changes, seed=seed) for seed in range(5)])


# --- what is compared -----------------------------------------------------------------------------------------------


def show_what_is_compared(group: str, name: str) -> None:
    """Teacher and student on real images, computed now: their soft targets, their maps, or their relations."""
    if group not in ("Logits", "Features", "Relations"):
        return
    here = [one for one, names in networks.teachers_here().items() if "cnn-32" in names]
    st.subheader("What is compared")
    left, middle, right = st.columns(3)
    with left:
        settle("methods_dataset", here)
        dataset = st.selectbox(
            "Images", here, key="methods_dataset", format_func=lambda n: datasets.DATASETS[n].title, persist_state="session"
        )
    runs = {
        run_id: run for run_id, run in networks.finished_runs(dataset).items() if "cnn" in run.experiments[0].split('"student"')[1][:20]
    }
    with middle:
        settle("methods_student", ["", *runs])
        run_id = st.selectbox(
            "Student", ["", *runs], key="methods_student", persist_state="session",
            format_func=lambda r: networks.describe(runs[r]) if r else "cnn-4, not trained yet",
            help="Convolutional students of finished races can be chosen here.",
        )  # fmt: skip
    data = datasets.load(dataset)
    with right:
        most = len(data.test_labels) - EXAMPLES
        st.session_state["methods_image"] = min(max(0, st.session_state["methods_image"]), most)
        image = int(st.number_input("Test image", 0, most, key="methods_image", persist_state="session"))
    try:
        teacher = networks.teacher(dataset, "cnn-32")
        student = networks.pupils(store().get(run_id))["student"] if run_id else _untrained(dataset)
    except ValueError as error:
        st.error(str(error))
        return
    pixels = data.pixels(data.test_images[image : image + EXAMPLES])
    with torch.no_grad():
        answers = {"teacher": teacher(pixels, features=True), "student": student(pixels, features=True)}
    if group == "Logits":
        soft_targets(
            pixels=data.test_images[image].flatten().tolist(), image_shape=data.image_shape, class_names=data.class_names,
            logits={who: logits[0].tolist() for who, (logits, _) in answers.items()}, label=int(data.test_labels[image]),
            temperature=4.0, key="methods_soft_targets",
        )  # fmt: skip
        return
    features = {who: blocks for who, (_, blocks) in answers.items()}
    if group == "Relations":
        panels, said = _relations(name, features), f"Rows and columns are the test images {image} to {image + EXAMPLES - 1}."
    else:
        panels, said = _maps(name, data.test_images[image].float().mean(dim=0).numpy(), features), "Each picture by its own scale."
    height = 320 if group == "Relations" else 200
    live_chart(figures.panels_figure(panels, height=height), key="methods_panels", height=len(panels) * height)
    st.markdown(f"{said} Dark is little, light is much. Computed now, by the networks themselves.")


@st.cache_resource(show_spinner=False)
def _untrained(dataset: str) -> models.Network:
    data = datasets.load(dataset)
    return models.build("cnn-4", image_shape=data.image_shape, classes=data.classes, seed=0).eval().requires_grad_(False)


def _relations(name: str, features: dict[str, list[torch.Tensor]]) -> list[list[tuple[str, np.ndarray]]]:
    """One picture of teacher and one of student: how every two of the images stand to each other."""
    measure, what = {
        "similarity": (losses.similarity_matrix, "which are alike"),
        "distances": (losses.relative_distances, "distances"),
        "angles": (_cosines_at_first, "cosines at the first image"),
    }[name]
    return [[(f"{who}: {what}", measure(blocks[-1].flatten(1)).numpy()) for who, blocks in features.items()]]


def _cosines_at_first(embeddings: torch.Tensor) -> torch.Tensor:
    """Of all triples those whose angle is at the first image, `(N, N)`."""
    away = torch.nn.functional.normalize(embeddings - embeddings[0], dim=1)
    return away @ away.mT


def _maps(name: str, image: np.ndarray, features: dict[str, list[torch.Tensor]]) -> list[list[tuple[str, np.ndarray]]]:
    """A row for the teacher, a row for the student: the image, then attention maps block by block, or the guided layer's channels."""
    rows = []
    for who, blocks in features.items():
        if name == "attention":
            shown = [(f"block {n}", losses.attention_map(block[:1])[0].numpy()) for n, block in enumerate(blocks, start=1)]
        else:
            channels = objectives.guided(blocks)[0]
            busiest = channels.mean(dim=(1, 2)).topk(min(MOST_MAPS, len(channels))).indices.sort().values.tolist()
            shown = [(f"channel {n + 1}", channels[n].numpy()) for n in busiest]
        rows.append([(who, image), *shown])
    return rows


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
