"""The page Soft targets in parts: which networks, which image, and the bars."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import streamlit as st
import torch
from torch import Tensor, nn

from distill_core.data import datasets, drawing
from distill_core.data.image_order import ORDERS, WITHOUT_LOGITS, entropy
from distill_core.losses import soften
from distill_core.runs.schema import Entry
from distill_core.statistics import format_probability
from pages.components.image_grid import image_grid
from pages.components.soft_targets import Details, clamp_temperature, soft_targets
from pages.sections import networks
from pages.server.link import settle, to_link

IMAGES_PER_PAGE = 24
NONE, ALL, DRAWING = "none", "all", "drawing"
DEFAULTS = {
    "dataset": "", "teacher": "", "run": NONE, "network": "student", "image": "", "T": 4.0,
    "order": next(iter(ORDERS)), "class": ALL, "page": 0, "scale": "linear", "top": "shown", "formula": "",
}  # fmt: skip


@dataclass(frozen=True)
class Choices:
    """What the widgets above the image set. `run` is the finished run whose `network` (student or baseline) is compared."""

    dataset: str
    teacher: str
    order: str
    of_class: str  # a class name, or ALL
    run: Entry | None
    network: str


@dataclass(frozen=True)
class Loaded:
    """The data set, its networks by role, and the learner's drawing `(side, side)` if it fits this data set."""

    dataset: datasets.Dataset
    members: dict[str, nn.Module]
    drawing: np.ndarray | None


def choose() -> Choices:
    """The row of select boxes."""
    available = networks.teachers_here()
    with st.container(horizontal=True, vertical_alignment="bottom"):
        dataset = _select(
            "dataset", "Data set", list(available), format_func=lambda name: datasets.DATASETS[name].title,
            help="The test images to choose from.",
        )  # fmt: skip
        runs = networks.finished_runs(dataset, keep=st.session_state["soft_targets_run"])
        compared = runs.get(st.session_state["soft_targets_run"])
        teacher = _select(
            "teacher", "Teacher", networks.with_teacher_of(compared, available[dataset]), format_func=networks.name_with_layers,
            help="The trained network whose soft targets are shown.",
        )  # fmt: skip
        order = _select(
            "order", "Sort by", list(ORDERS),
            help="Most ambiguous: highest entropy first, so the most even predictions of the teacher. Hardest: lowest probability of "
            "the true class first. Teacher wrong: only images that the teacher classifies wrongly. In order: by their numbers.",
        )  # fmt: skip
        of_class = _select("class", "True class", [ALL, *datasets.DATASETS[dataset].class_names], help="Only images of this true class.")
        run_id = _select(
            "run", "Compare with a network of a race", [NONE, *runs], format_func=lambda r: networks.describe(runs[r]) if r in runs else r,
            help="Finished races of the page Race: the student or the baseline of one is shown beside the teacher.",
        )  # fmt: skip
        if not runs:
            st.caption(f"No finished race on {datasets.DATASETS[dataset].title} yet: train one on the page Race to compare with it.")
        roles = ["student", "baseline"]
        settle("soft_targets_network", roles)
        if run_id in runs:
            st.segmented_control(
                "Network of that race", roles, key="soft_targets_network", required=True, persist_state="session",
                help="Its student, which learned from the teacher too, or its baseline, which learned from the labels only.",
            )  # fmt: skip
    networks.show_notes(dataset, teacher)
    return Choices(dataset, teacher, order, of_class, runs.get(run_id), st.session_state["soft_targets_network"])


def _select(name: str, label: str, options: list, **more: Any) -> str:
    """A select box; a value that is not among the options becomes the first of them."""
    settle(f"soft_targets_{name}", options)
    return st.selectbox(label, options, key=f"soft_targets_{name}", persist_state="session", **more)


def load(choices: Choices) -> Loaded:
    """Read images and networks. Raises `ValueError` with one sentence if a file is missing or damaged."""
    dataset = networks.images(choices.dataset)
    members = {"teacher": networks.teacher(choices.dataset, choices.teacher, networks.combination(choices.run, choices.teacher))}
    if choices.run is not None:
        members[choices.network] = networks.pupils(choices.run)[choices.network]
    fits = "drawing" in st.session_state and choices.dataset in ("mnist", "digits")
    drawn = drawing.centre_digit(st.session_state["drawing"], size=dataset.image_shape[1]) if fits else None
    return Loaded(dataset, members, drawn)


def restore_bars(class_names: tuple[str, ...]) -> None:
    """Set the slider and the options of the bars to the values of the link, or to those of the last visit."""
    state = st.session_state
    formula = class_names.index(state["soft_targets_formula"]) if state["soft_targets_formula"] in class_names else None
    state["soft_targets_slider"] = clamp_temperature(state["soft_targets_T"])
    state["soft_targets_details"] = Details(
        hide_top=state["soft_targets_top"] == "hidden", log_scale=state["soft_targets_scale"] == "log", formula_class=formula
    )


# --- the image ------------------------------------------------------------------------------------------------------


def choose_image(choices: Choices, loaded: Loaded, *, linked: bool) -> str:
    """A page of the images to choose from; returns the index of the chosen test image, or DRAWING."""
    state, labels = st.session_state, loaded.dataset.test_labels
    found = _listed(choices, labels)
    listing = (choices.dataset, choices.teacher, choices.order, choices.of_class)
    if not linked and state.get("soft_targets_listing", listing) != listing:
        state["soft_targets_page"] = 0
    state["soft_targets_listing"] = listing
    state["soft_targets_page"] %= max(1, math.ceil(len(found) / IMAGES_PER_PAGE))
    first = IMAGES_PER_PAGE * state["soft_targets_page"]
    shown = found[first : first + IMAGES_PER_PAGE]
    logits = networks.ask(loaded.members["teacher"], loaded.dataset, loaded.dataset.test_images[shown])
    image = _valid_image(loaded, shown, logits)
    _show_grid(loaded.dataset, shown, logits, chosen=-1 if image == DRAWING else int(image))
    with st.container(horizontal=True, vertical_alignment="bottom"):
        st.button(
            "More images", icon=":material/arrow_forward:", key="soft_targets_more", disabled=len(found) <= IMAGES_PER_PAGE,
            on_click=_next_page, help="The next images of this list; after the last page the first one again.",
        )  # fmt: skip
        if image != DRAWING:
            state["soft_targets_index"] = int(image)
        st.number_input(
            "Test image", 0, len(labels) - 1, key="soft_targets_index", on_change=lambda: _select_image(state["soft_targets_index"]),
            help="The number of the image in the test set, from 0. A click on an image chooses it too.",
        )  # fmt: skip
        if loaded.drawing is not None:
            st.button(
                "My drawing", icon=":material/draw:", key="soft_targets_drawing", on_click=_select_image, args=(DRAWING,),
                help="The digit that you saved on the page Draw.",
            )  # fmt: skip
    return image


def _listed(choices: Choices, labels: Tensor) -> Tensor:
    """Indices of the test images of the chosen class, in the chosen order."""
    logits = None if choices.order in WITHOUT_LOGITS else _teacher_logits(choices)
    found = ORDERS[choices.order](logits, labels)
    if choices.of_class == ALL:
        return found
    return found[labels[found] == datasets.DATASETS[choices.dataset].class_names.index(choices.of_class)]


def _teacher_logits(choices: Choices) -> Tensor:
    return networks.test_logits(choices.dataset, choices.teacher, networks.combination(choices.run, choices.teacher))


def _valid_image(loaded: Loaded, shown: Tensor, logits: Tensor) -> str:
    """The image of the session if it exists here; otherwise the shown image with the highest entropy."""
    image = st.session_state["soft_targets_image"]
    if image == DRAWING and loaded.drawing is None:
        st.toast("This link shows a drawing, which only its own session has; make one on the page Draw.", icon=":material/draw:")
    if image == DRAWING and loaded.drawing is not None:
        return image
    if not (image.isdecimal() and int(image) < len(loaded.dataset.test_labels)):
        image = str(int(shown[entropy(logits).argmax()])) if len(shown) else "0"
        _select_image(image)
    return image


def _select_image(image: object) -> None:
    """Show this image from the next rerun on."""
    st.session_state["soft_targets_image"] = str(image)


def _next_page() -> None:
    st.session_state["soft_targets_page"] += 1


def _show_grid(dataset: datasets.Dataset, shown: Tensor, logits: Tensor, *, chosen: int) -> None:
    """The images as a grid, each with its true class and the teacher's prediction as its caption."""
    if not len(shown):
        st.markdown("No test image matches; choose another class or another order.")
        return
    probabilities, predictions = soften(logits, temperature=1).max(dim=1)
    names, labels = dataset.class_names, dataset.test_labels
    captions = [
        f"Image {i}: class {names[labels[i]]}, teacher predicts {names[c]} ({format_probability(p)} at T\u00a0=\u00a01)"
        for i, p, c in zip(shown.tolist(), probabilities.tolist(), predictions.tolist(), strict=True)
    ]
    image_grid(
        dataset.test_images[shown].numpy(), ids=shown.tolist(), captions=captions, chosen=chosen, on_pick=_select_image, key="grid"
    )  # fmt: skip


# --- the bars -------------------------------------------------------------------------------------------------------


def show_bars(loaded: Loaded, image: str) -> None:
    """Soft targets of the image by all networks; keeps the learner's T and options in the session."""
    state, dataset = st.session_state, loaded.dataset
    is_drawing = image == DRAWING
    side = dataset.image_shape[1]
    pixels = torch.from_numpy(loaded.drawing).view(1, 1, side, side) if is_drawing else dataset.test_images[[int(image)]]
    bars = soft_targets(
        pixels=pixels.numpy(),
        image_shape=dataset.image_shape,
        logits={role: networks.ask(network, dataset, pixels)[0].tolist() for role, network in loaded.members.items()},
        class_names=dataset.class_names,
        label=None if is_drawing else int(dataset.test_labels[int(image)]),
        temperature=state["soft_targets_slider"],
        key="soft_targets_bars",
        details=state["soft_targets_details"],
    )
    formula = bars.details.formula_class
    state.update(
        {
            "soft_targets_T": bars.temperature,
            "soft_targets_scale": "log" if bars.details.log_scale else "linear",
            "soft_targets_top": "hidden" if bars.details.hide_top else "shown",
            "soft_targets_formula": "" if formula is None else dataset.class_names[formula],
        }
    )


def write_link(choices: Choices, image: str) -> None:
    """Put all choices into the address; options with their default value are left out."""
    state = st.session_state
    options = {field: state[f"soft_targets_{field}"] for field in ("order", "class", "page", "scale", "top", "formula")}
    options = {field: value for field, value in options.items() if value != DEFAULTS[field]}
    run = {"run": choices.run.id, "network": choices.network} if choices.run is not None else {}
    fixed = {"dataset": choices.dataset, "teacher": choices.teacher, **run, "image": image, "T": state["soft_targets_T"]}
    to_link("soft_targets", {**fixed, **options})
