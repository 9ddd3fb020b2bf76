"""What a method compares, on real images: outputs and features of teacher and student, computed now and drawn side by side."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache, partial

import numpy as np
import streamlit as st
import torch
from torch import Tensor

from distill_core import features as layers
from distill_core import losses, models
from distill_core.controls import SMOOTHING, equalise_wrong_classes, permute_other_classes, targets_of_other_images
from distill_core.data import datasets
from distill_core.figures.methods import Pairs, pairs_figure, panels_figure
from distill_core.objectives import METHODS, Method
from distill_core.runs.schema import Entry
from pages.components.live_chart import live_chart
from pages.components.soft_targets import soft_targets
from pages.sections import controls, networks
from pages.server.experiments import first_experiment
from pages.server.lab import store
from pages.server.link import bound, settle
from pages.server.plain_text import show_error

EXAMPLES = 20  # images of a similarity matrix
MAX_CHANNELS = 6
ENLARGEMENT = 20  # px per pixel of an enlarged image
T = controls.START.temperature
Panels = list[list[tuple[str, np.ndarray]]]
TARGETS = "targets of the student"

# How a control changes the teacher's logits before they become the student's targets.
ALTERED = {
    "permuted-classes": lambda teacher_logits, labels: permute_other_classes(teacher_logits, datasets.seeded(0, "targets", 0)),
    "uniform-classes": partial(equalise_wrong_classes, temperature=T),
    "shuffled-targets": lambda teacher_logits, labels: targets_of_other_images(teacher_logits),
}


def show_inputs(name: str) -> None:
    """Teacher and student on real images, computed now: their logits, feature maps or relations, as the method compares them."""
    method = METHODS[name]
    st.subheader("Targets of the student" if method.kind == "control" else "What the method compares")
    dataset, run_id, image = _choose_images(method)
    data = networks.images(dataset)
    try:
        teacher = networks.teacher(dataset, "cnn-32")
        student = networks.pupils(store().entry(run_id))["student"] if run_id else _untrained(dataset)
    except ValueError as error:
        show_error(error)
        return
    examples = slice(image, image + EXAMPLES)
    pixels, labels = data.pixels(data.test_images[examples]), data.test_labels[examples]
    with torch.no_grad():
        outputs = {"teacher": teacher(pixels, features=True), "student": student(pixels, features=True)}
    logits = {role: logits for role, (logits, _) in outputs.items()}
    features = {role: blocks for role, (_, blocks) in outputs.items()}
    if name == "soft-targets":
        soft_targets(
            pixels=data.test_images[image].flatten().tolist(), image_shape=data.image_shape, class_names=data.class_names,
            logits={role: z[0].tolist() for role, z in logits.items()}, label=int(labels[0]), temperature=T, key="methods_soft_targets",
        )  # fmt: skip
    elif method.compares == "logits":
        _show_pairs(name, data, image, logits, labels)
    elif method.kind == "relation-based":
        note = f"Rows and columns are the test images {image} to {image + EXAMPLES - 1}."
        if name == "contrastive":
            note += " The loss compares the images across the networks, through projections that are not kept after the training."
        _show_panels(_relations(name, features), note, height=320)
    else:
        picture = data.test_images[image].float().mean(dim=0).numpy()
        _show_panels(_feature_maps(name, picture, features), "Each panel has its own colour scale.", height=200)


def _choose_images(method: Method) -> tuple[str, str, int]:
    """Data set, id of the student's run (empty: an untrained student), and index of the first test image."""
    available = [one for one, names in networks.teachers_here().items() if "cnn-32" in names]
    left, middle, right = st.columns(3)
    with left:
        settle("methods_dataset", available)
        dataset = st.selectbox(
            "Data set", available, key="methods_dataset", format_func=lambda n: datasets.DATASETS[n].title, persist_state="session",
            help="Its test images are the inputs of both networks; the teacher is cnn-32.",
        )  # fmt: skip
    found = networks.finished_runs(dataset, keep=st.session_state.get("methods_student", ""))
    runs = {run_id: run for run_id, run in found.items() if _is_convolutional(run)}
    with middle:
        settle("methods_student", ["", *runs])
        run_id = st.selectbox(
            "Student", ["", *runs], key="methods_student", persist_state="session",
            format_func=lambda r: networks.describe(runs[r]) if r else "cnn-4, untrained",
            help="The network that is compared with the teacher: an untrained one, or the convolutional student of a finished race.",
            disabled=method.kind == "control",
        )  # fmt: skip
    with right:
        last = len(networks.images(dataset).test_labels) - EXAMPLES
        bound("methods_image", 0, last)
        image = int(
            st.number_input("Test image", 0, last, key="methods_image", persist_state="session", help="Its number in the test set, from 0.")
        )
    return dataset, run_id, image


def _is_convolutional(run: Entry) -> bool:
    """Whether the run's student has feature maps."""
    return first_experiment(run).student.startswith(("cnn", "resnet"))


def _show_pairs(name: str, data: datasets.Dataset, image: int, logits: dict[str, Tensor], labels: Tensor) -> None:
    """The first image, and paired bars of what both networks output for it, class by class."""
    if METHODS[name].kind == "control":
        panels = of_controls(control_targets(name, logits["teacher"], labels), labels, data.class_names)
    else:
        panels = of_logits(name, logits, labels, data.class_names)
    figure, (picture, bars) = pairs_figure(panels), st.columns([1, 5])
    shown = f"{data.class_names[labels[0]]} (test image {image})"
    picture.image(_enlarged(data.test_images[image]), caption=shown, alt=shown)
    with bars:
        live_chart(figure, key="methods_pairs", height=figure.layout.height)


def _show_panels(panels: Panels, note: str, *, height: int) -> None:
    live_chart(panels_figure(panels, height=height), key="methods_panels", height=len(panels) * height)
    st.markdown(f"{note} Dark is low, bright is high. Computed now by both networks.")


@st.cache_resource(show_spinner=False)
@lru_cache(maxsize=8)
def _untrained(dataset: str) -> models.Network:
    data = datasets.load(dataset)
    return models.build("cnn-4", image_shape=data.image_shape, classes=data.classes, seed=0).eval().requires_grad_(False)


def _enlarged(image: Tensor) -> np.ndarray:
    """An image `(D, H, W)` as `(height, width, 3)`, enlarged without smoothing."""
    larger = image.repeat_interleave(ENLARGEMENT, dim=1).repeat_interleave(ENLARGEMENT, dim=2)
    return larger.expand(3, -1, -1).permute(1, 2, 0).numpy()


# --- logits ---------------------------------------------------------------------------------------------------------


def of_logits(name: str, logits: dict[str, Tensor], labels: Tensor, class_names: Sequence[str]) -> list[Pairs]:
    """The quantities of the first image that a method computes from the logits `(N, C)` of both networks and compares.

    For correlation also the probability of the label's class in all N images.
    """
    title = "logits"
    if name.endswith("-standardized"):
        title, logits = "standardised logits", {role: losses.standardize(z) for role, z in logits.items()}
    label, p = int(labels[0]), {role: losses.soften(z, temperature=T) for role, z in logits.items()}
    panels = [Pairs(title, class_names, _first(logits))]
    if name.startswith(("soft-targets", "reverse-kl", "jensen-shannon")):
        panels.append(Pairs(f"softmax of the {title} at T = {T:g}", class_names, _first(p)))
    elif name.startswith("decoupled"):
        wrong = _wrong(label, class_names)
        target = {role: one[:, label].unsqueeze(1) for role, one in p.items()}
        binary = {role: torch.cat([one, 1 - one], dim=1) for role, one in target.items()}
        among = {role: losses.soften(z[:, wrong], temperature=T) for role, z in logits.items()}
        panels = [
            Pairs(f"target class against all others (T = {T:g})", [class_names[label], "all others"], _first(binary)),
            Pairs(f"softmax among the other classes (T = {T:g})", [class_names[n] for n in wrong], _first(among)),
        ]
    elif name.startswith("correlation"):
        of_class = {role: one[:, label].unsqueeze(0) for role, one in p.items()}
        panels = [
            Pairs(f"all classes, one image (T = {T:g}): {_correlation(_first(p))}", class_names, _first(p)),
            Pairs(
                f"class {class_names[label]}, {len(labels)} images (T = {T:g}): {_correlation(_first(of_class))}",
                [f"{n + 1}" for n in range(len(labels))], _first(of_class),
            ),
        ]  # fmt: skip
    return panels


def _first(rows: dict[str, Tensor]) -> dict[str, list[float]]:
    return {role: row[0].tolist() for role, row in rows.items()}


def _wrong(label: int, class_names: Sequence[str]) -> list[int]:
    return [n for n in range(len(class_names)) if n != label]


def _correlation(sides: dict[str, list[float]]) -> str:
    return f"correlation {np.corrcoef(*sides.values())[0, 1]:.2f}"


# --- controls -------------------------------------------------------------------------------------------------------


def control_targets(name: str, teacher_logits: Tensor, labels: Tensor) -> dict[str, Tensor]:
    """The teacher's soft targets and those of a control's student, each `(N, C)`."""
    if name == "label-smoothing":
        smooth, classes = SMOOTHING, teacher_logits.shape[-1]
        targets = (1 - smooth) * torch.nn.functional.one_hot(labels, classes).to(teacher_logits) + smooth / classes
    else:
        targets = losses.soften(ALTERED[name](teacher_logits, labels), temperature=T)
    return {"teacher": losses.soften(teacher_logits, temperature=T), TARGETS: targets}


def of_controls(targets: dict[str, Tensor], labels: Tensor, class_names: Sequence[str]) -> list[Pairs]:
    """The targets of the first image: all classes, and the wrong classes alone on a scale of their own."""
    wrong = _wrong(int(labels[0]), class_names)
    wrong_targets = {role: p[:, wrong] for role, p in targets.items()}
    return [
        Pairs(f"soft targets at T = {T:g}", class_names, _first(targets)),
        Pairs("wrong classes only, enlarged", [class_names[n] for n in wrong], _first(wrong_targets)),
    ]


# --- features and relations -----------------------------------------------------------------------------------------


def _relations(name: str, features: dict[str, list[Tensor]]) -> Panels:
    """One matrix `(N, N)` per network: how each pair of images relates in the features of its last block."""
    measure, what = {
        "similarity": (losses.similarity_matrix, "Gram matrix, rows normalised"),
        "distances": (losses.relative_distances, "relative distances"),
        "angles": (_cosines_at_first, "cosines at the first image"),
        "contrastive": (_cosines, "cosines, before the projection"),
    }[name]
    return [[(f"{role}: {what}", measure(blocks[-1].flatten(1)).numpy()) for role, blocks in features.items()]]


def _cosines(embeddings: Tensor) -> Tensor:
    """Cosines `(N, N)` of the angles between each two images as seen from the origin."""
    directions = torch.nn.functional.normalize(embeddings, dim=1)
    return directions @ directions.mT


def _cosines_at_first(embeddings: Tensor) -> Tensor:
    """Cosines `(N, N)` of the angles between each two images as seen from the first."""
    return _cosines(embeddings - embeddings[0])


def _feature_maps(name: str, image: np.ndarray, features: dict[str, list[Tensor]]) -> Panels:
    """One row per network: the image, then the attention map of each block, or the most active channels of the middle block."""
    rows = []
    for role, blocks in features.items():
        if name == "attention":
            maps = [(f"block {n}", losses.attention_map(block[:1])[0].numpy()) for n, block in enumerate(blocks, start=1)]
        else:
            channels = layers.middle_block(blocks)[0]
            active = channels.mean(dim=(1, 2)).topk(min(MAX_CHANNELS, len(channels))).indices.sort().values.tolist()
            maps = [(f"channel {n + 1}", channels[n].numpy()) for n in active]
        rows.append([(role, image), *maps])
    return rows
