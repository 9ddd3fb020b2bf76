"""The page Draw in parts: which networks, the pad, and the soft targets of the drawing."""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np
import streamlit as st
from PIL import Image
from torch import nn

from distill_core.data import datasets
from distill_core.data.drawing import NORMALISERS, centre_digit
from distill_core.runs.schema import Entry
from pages.components.draw_pad import draw_pad
from pages.components.gallery import gallery
from pages.components.soft_targets import clamp_temperature, soft_targets
from pages.sections import networks
from pages.server.experiments import first_experiment
from pages.server.lab import link
from pages.server.link import settle, to_link
from pages.server.plain_text import plain

NONE = "none"
EXAMPLES = 4  # test images that are shown while nothing is drawn
DEFAULTS = {"dataset": "", "teacher": "", "run": "", "T": 1.0}


@dataclass(frozen=True)
class Choices:
    """What the select boxes set. `run` is the finished run whose student and baseline classify the drawing too."""

    dataset: str
    teacher: str
    run: Entry | None


@dataclass(frozen=True)
class Loaded:
    """The data set whose format the drawing gets, and its networks by role."""

    dataset: datasets.Dataset
    members: dict[str, nn.Module]


def choose() -> Choices:
    """The row of select boxes."""
    available = {name: found for name, found in networks.teachers_here().items() if name in ("mnist", "digits")}
    runs = networks.finished_runs(*available, keep=st.session_state.get("draw_run", ""))
    first, second, third = st.columns([5, 3, 4])
    with first:
        settle("draw_run", [*runs, NONE])
        run_id = st.selectbox(
            "Student and baseline of a race", [*runs, NONE], format_func=lambda r: networks.describe(runs[r]) if r in runs else r,
            key="draw_run", persist_state="session",
            help="Finished races of the page Race: the student and the baseline of one classify the drawing too.",
        )  # fmt: skip
    with second:
        fitting = [first_experiment(runs[run_id]).dataset] if run_id in runs else list(available)
        settle("draw_dataset", fitting)
        dataset = st.selectbox(
            "Data set", fitting, format_func=lambda n: datasets.DATASETS[n].title, key="draw_dataset", persist_state="session",
            help="The drawing is centred and scaled like the images of this data set, on which the networks were trained.",
        )  # fmt: skip
    with third:
        names = networks.with_teacher_of(runs.get(run_id), available[dataset])
        settle("draw_teacher", names)
        teacher = st.selectbox(
            "Teacher", names, key="draw_teacher", persist_state="session", format_func=networks.name_with_layers,
            help="The trained network that classifies the drawing.",
        )  # fmt: skip
    networks.show_notes(dataset, teacher)
    return Choices(dataset, teacher, runs.get(run_id))


def load(choices: Choices) -> Loaded:
    """Read data set and networks. Raises `ValueError` with one sentence if a file is missing or damaged."""
    dataset = networks.images(choices.dataset)
    assert dataset.image_shape[1] in NORMALISERS
    members = {"teacher": networks.teacher(choices.dataset, choices.teacher, networks.combination(choices.run, choices.teacher))}
    return Loaded(dataset, members | (networks.pupils(choices.run) if choices.run is not None else {}))


def restore_slider(*, linked: bool) -> None:
    """Set the slider to the T of a new link, or of the last visit to this page."""
    if linked or "draw_bars" not in st.session_state:
        st.session_state["draw_slider"] = clamp_temperature(st.session_state["draw_T"])


@st.fragment
def show_pad_and_bars(choices: Choices, loaded: Loaded) -> None:
    """The pad and the soft targets of its drawing. A stroke reruns this fragment and nothing else of the page."""
    state = st.session_state
    run = {"run": choices.run.id} if choices.run is not None else {}
    pad, bars = st.columns([3, 8], gap="large")
    with pad:
        pixels = draw_pad(key="draw_pad")
        if pixels.any():
            st.download_button(
                "Save drawing", lambda: _png(pixels), file_name="digit.png", mime="image/png", icon=":material/download:",
                key="draw_save", on_click=lambda: state.update({"drawing": pixels}),
                help="Downloads the drawing as a PNG file and keeps it for the page Soft targets.",
            )  # fmt: skip
        if "drawing" in state:
            query = {"dataset": choices.dataset, "teacher": choices.teacher, "image": "drawing", **run}
            link("pages/soft_targets.py", "Open in Soft targets", icon="biotech", **query)
    with bars:
        image = centre_digit(pixels, size=loaded.dataset.image_shape[1])[None, None]
        shown = soft_targets(
            pixels=image,
            image_shape=loaded.dataset.image_shape,
            logits={
                role: networks.ask(network, loaded.dataset, image)[0].tolist() if pixels.any() else None
                for role, network in loaded.members.items()
            },
            class_names=loaded.dataset.class_names,
            label=None,
            temperature=state["draw_slider"],
            key="draw_bars",
        )
    if not pixels.any():
        _show_examples(loaded, shown.temperature)
    state["draw_T"] = shown.temperature
    to_link("draw", {"dataset": choices.dataset, "teacher": choices.teacher, **run, "T": shown.temperature})


def _show_examples(loaded: Loaded, temperature: float) -> None:
    """While nothing is drawn: what the networks output for test images."""
    dataset, images = loaded.dataset, loaded.dataset.test_images[:EXAMPLES].numpy()
    st.markdown(f"**Until you draw:** how they classify the first test images of {plain(dataset.title)}, at T = {temperature:g}.")
    gallery(
        images,
        captions=[f"label {dataset.class_names[label]}" for label in dataset.test_labels[:EXAMPLES].tolist()],
        soft={
            role: (networks.ask(network, dataset, images) / temperature).softmax(dim=-1).numpy() for role, network in loaded.members.items()
        },
        class_names=dataset.class_names,
        key="draw_examples",
    )


def _png(pixels: np.ndarray) -> bytes:
    """The drawing as a PNG file, enlarged four times."""
    file = io.BytesIO()
    Image.fromarray(pixels).resize((448, 448), Image.Resampling.BICUBIC).save(file, "PNG")
    return file.getvalue()
