"""What a method compares, on real images: teacher and student answer now, and their numbers are drawn side by side."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np
import streamlit as st
import torch
from torch import Tensor

from distill_core import losses, models, objectives
from distill_core.controls import SMOOTHING, equalise_wrong_classes, permute_wrong_classes, targets_of_other_images
from distill_core.data import datasets
from distill_core.experiment import Experiment
from distill_core.figures.methods import Pairs, pairs_figure, panels_figure
from distill_core.objectives import METHODS
from distill_core.runs.store import Run
from pages.components.live_chart import live_chart
from pages.components.soft_targets import soft_targets
from pages.sections import controls, networks
from pages.server.lab import store
from pages.server.link import settle

EXAMPLES = 20  # images whose relations are shown
MAX_MAPS = 6
SQUARE = 20  # px of an enlarged image's pixel
T = controls.START.temperature
Panels = list[list[tuple[str, np.ndarray]]]

# What a control does to the teacher's logits before the student hears them.
HEARD = {
    "permuted-classes": permute_wrong_classes,
    "uniform-classes": partial(equalise_wrong_classes, temperature=T),
    "shuffled-targets": lambda teacher_logits, labels: targets_of_other_images(teacher_logits),
}


def show_what_is_compared(name: str) -> None:
    """Teacher and student on real images, computed now: their answers, their maps, or their relations."""
    method = METHODS[name]
    here = [one for one, names in networks.teachers_here().items() if "cnn-32" in names]
    st.subheader("What the student hears" if method.kind == "control" else "What is compared")
    left, middle, right = st.columns(3)
    with left:
        settle("methods_dataset", here)
        dataset = st.selectbox(
            "Images", here, key="methods_dataset", format_func=lambda n: datasets.DATASETS[n].title, persist_state="session"
        )
    runs = {run_id: run for run_id, run in networks.finished_runs(dataset).items() if _convolutional(run)}
    with middle:
        settle("methods_student", ["", *runs])
        run_id = st.selectbox(
            "Student", ["", *runs], key="methods_student", persist_state="session",
            format_func=lambda r: networks.describe(runs[r]) if r else "cnn-4, not trained yet",
            help="Convolutional students of finished races can be chosen here.", disabled=method.kind == "control",
        )  # fmt: skip
    data = networks.images(dataset)
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
    examples = slice(image, image + EXAMPLES)
    pixels, labels = data.pixels(data.test_images[examples]), data.test_labels[examples]
    with torch.no_grad():
        answers = {"teacher": teacher(pixels, features=True), "student": student(pixels, features=True)}
    logits = {who: logits for who, (logits, _) in answers.items()}
    features = {who: blocks for who, (_, blocks) in answers.items()}
    if name == "soft-targets":
        soft_targets(
            pixels=data.test_images[image].flatten().tolist(), image_shape=data.image_shape, class_names=data.class_names,
            logits={who: z[0].tolist() for who, z in logits.items()}, label=int(labels[0]), temperature=T, key="methods_soft_targets",
        )  # fmt: skip
    elif method.compares == "logits":
        said = heard(name, logits["teacher"], labels) if method.kind == "control" else None
        panels = of_controls(said, labels, data.class_names) if said else of_logits(name, logits, labels, data.class_names)
        figure, (seen, compared) = pairs_figure(panels), st.columns([1, 5])
        seen.image(_enlarged(data.test_images[image]), caption=f"{data.class_names[labels[0]]} (test image {image})")
        with compared:
            live_chart(figure, key="methods_pairs", height=figure.layout.height)
    elif method.kind == "relation-based":
        _show_panels(_relations(name, features), f"Rows and columns are the test images {image} to {image + EXAMPLES - 1}.", height=320)
    else:
        picture = data.test_images[image].float().mean(dim=0).numpy()
        _show_panels(_maps(name, picture, features), "Each picture by its own scale.", height=200)


def _convolutional(run: Run) -> bool:
    """Whether its students have feature maps."""
    return Experiment.from_json(run.experiments[0]).student.startswith(("cnn", "resnet"))


def _show_panels(panels: Panels, said: str, *, height: int) -> None:
    live_chart(panels_figure(panels, height=height), key="methods_panels", height=len(panels) * height)
    st.markdown(f"{said} Dark is little, light is much. Computed now, by the networks themselves.")


@st.cache_resource(show_spinner=False)
def _untrained(dataset: str) -> models.Network:
    data = datasets.load(dataset)
    return models.build("cnn-4", image_shape=data.image_shape, classes=data.classes, seed=0).eval().requires_grad_(False)


def _enlarged(image: Tensor) -> np.ndarray:
    """An image `(D, H, W)` as `(height, width, 3)`, its pixels as squares."""
    larger = image.repeat_interleave(SQUARE, dim=1).repeat_interleave(SQUARE, dim=2)
    return larger.expand(3, -1, -1).permute(1, 2, 0).numpy()


# --- logits ---------------------------------------------------------------------------------------------------------


def of_logits(name: str, logits: dict[str, Tensor], labels: Tensor, class_names: Sequence[str]) -> list[Pairs]:
    """What a method makes of the logits `(N, C)` of each side before it compares them, of the first image.

    For correlation also of the label's class in all N images.
    """
    whole = "logits"
    if name.endswith("-standardized"):
        whole, logits = "standardised logits", {who: losses.standardize(z) for who, z in logits.items()}
    label, p = int(labels[0]), {who: losses.soften(z, temperature=T) for who, z in logits.items()}
    panels = [Pairs(whole, class_names, _first(logits))]
    if name.startswith("soft-targets"):
        panels.append(Pairs(f"their softmax at T = {T:g}", class_names, _first(p)))
    elif name.startswith("decoupled"):
        wrong = _wrong(label, class_names)
        pair = {who: one[:, label].unsqueeze(1) for who, one in p.items()}
        pair = {who: torch.cat([one, 1 - one], dim=1) for who, one in pair.items()}
        among = {who: losses.soften(z[:, wrong], temperature=T) for who, z in logits.items()}
        panels = [
            Pairs(f"the label against all others (T = {T:g})", [class_names[label], "all others"], _first(pair)),
            Pairs(f"the others among themselves (T = {T:g})", [class_names[n] for n in wrong], _first(among)),
        ]
    elif name.startswith("correlation"):
        of_class = {who: one[:, label].unsqueeze(0) for who, one in p.items()}
        panels = [
            Pairs(f"the classes of one image (T = {T:g}): {_correlation(_first(p))}", class_names, _first(p)),
            Pairs(
                f"{class_names[label]} in {len(labels)} images: {_correlation(_first(of_class))}",
                [f"{n + 1}" for n in range(len(labels))], _first(of_class),
            ),
        ]  # fmt: skip
    return panels


def _first(rows: dict[str, Tensor]) -> dict[str, list[float]]:
    return {who: row[0].tolist() for who, row in rows.items()}


def _wrong(label: int, class_names: Sequence[str]) -> list[int]:
    return [n for n in range(len(class_names)) if n != label]


def _correlation(sides: dict[str, list[float]]) -> str:
    return f"correlation {np.corrcoef(*sides.values())[0, 1]:.2f}"


# --- controls -------------------------------------------------------------------------------------------------------


def heard(name: str, teacher_logits: Tensor, labels: Tensor) -> dict[str, Tensor]:
    """The teacher's soft targets `(N, C)`, and those that a student of this control learns from in their place."""
    if name == "label-smoothing":
        smooth, classes = SMOOTHING, teacher_logits.shape[-1]
        targets = (1 - smooth) * torch.nn.functional.one_hot(labels, classes).to(teacher_logits) + smooth / classes
    else:
        targets = losses.soften(HEARD[name](teacher_logits, labels), temperature=T)
    return {"teacher": losses.soften(teacher_logits, temperature=T), "heard by the student": targets}


def of_controls(said: dict[str, Tensor], labels: Tensor, class_names: Sequence[str]) -> list[Pairs]:
    """Of the first image all classes, and the wrong ones alone, on a scale of their own."""
    wrong = _wrong(int(labels[0]), class_names)
    return [
        Pairs(f"soft targets at T = {T:g}", class_names, _first(said)),
        Pairs("the wrong classes, closer", [class_names[n] for n in wrong], _first({who: p[:, wrong] for who, p in said.items()})),
    ]


# --- features and relations -----------------------------------------------------------------------------------------


def _relations(name: str, features: dict[str, list[Tensor]]) -> Panels:
    """One picture of teacher and one of student: how every two of the images stand to each other."""
    measure, what = {
        "similarity": (losses.similarity_matrix, "which are alike"),
        "distances": (losses.relative_distances, "distances"),
        "angles": (_cosines_at_first, "cosines at the first image"),
    }[name]
    return [[(f"{who}: {what}", measure(blocks[-1].flatten(1)).numpy()) for who, blocks in features.items()]]


def _cosines_at_first(embeddings: Tensor) -> Tensor:
    """Of all triples those whose angle is at the first image, `(N, N)`."""
    away = torch.nn.functional.normalize(embeddings - embeddings[0], dim=1)
    return away @ away.mT


def _maps(name: str, image: np.ndarray, features: dict[str, list[Tensor]]) -> Panels:
    """A row for the teacher, a row for the student: the image, then attention maps block by block, or the guided layer's channels."""
    rows = []
    for who, blocks in features.items():
        if name == "attention":
            shown = [(f"block {n}", losses.attention_map(block[:1])[0].numpy()) for n, block in enumerate(blocks, start=1)]
        else:
            channels = objectives.middle_block(blocks)[0]
            busiest = channels.mean(dim=(1, 2)).topk(min(MAX_MAPS, len(channels))).indices.sort().values.tolist()
            shown = [(f"channel {n + 1}", channels[n].numpy()) for n in busiest]
        rows.append([(who, image), *shown])
    return rows
