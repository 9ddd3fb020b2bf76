"""Trained networks for pages that ask them: loaded once for the whole server, and bounded."""

from __future__ import annotations

import time

import numpy as np
import streamlit as st
import torch
from safetensors.torch import load
from torch import Tensor, nn

from distill_core import models, teachers
from distill_core.data import datasets
from distill_core.experiment import Experiment
from distill_core.runs.store import Run
from pages.server.lab import store

WEIGHTS = "weights.safetensors"  # of a run's first seed


def teachers_here() -> dict[str, list[str]]:
    """Shipped teachers by data set, of the sets that are on this machine; the richest set and the smallest, quickest teacher first."""
    found: dict[str, list[str]] = {}
    for card in sorted(teachers.shipped(), key=lambda card: card.parameters):
        if card.dataset in datasets.DATASETS and datasets.DATASETS[card.dataset].is_here():
            found.setdefault(card.dataset, []).append(card.name)
    return dict(sorted(found.items(), key=lambda item: (item[0] != "mnist", item[0])))


def images(name: str) -> datasets.Dataset:
    """A data set; where it must be read first, the page says so. Raises `ValueError` with one sentence where that cannot be."""
    with st.spinner(f"Reading {datasets.DATASETS[name].title if name in datasets.DATASETS else 'the pictures'}"):
        return datasets.load(name)


def finished_runs(*names: str) -> dict[str, Run]:
    """Runs on these data sets that left their weights, newest first, by id."""
    runs = [run for run in store().list(status="finished") if Experiment.from_json(run.experiments[0]).dataset in names]
    return {run.id: run for run in runs if WEIGHTS in store().artefacts(run.id)}


def describe(run: Run) -> str:
    """A run in a few words."""
    first = Experiment.from_json(run.experiments[0])
    images = f"{first.images:,} images" if first.images else "all images"
    clock = time.strftime("%d.%m. %H:%M", time.localtime(run.created))
    return f"{first.student} of {first.dataset}, T = {first.temperature:g}, {images} ({clock})"


@st.cache_resource(max_entries=8, show_spinner="Loading the teacher")
def teacher(dataset: str, name: str) -> nn.Module:
    """A trained teacher. Raises `ValueError` with one sentence where its file or its data are missing or altered."""
    return teachers.load_teacher(datasets.load(dataset), name).network


def pupils(run: Run) -> dict[str, nn.Module]:
    """Student and baseline of a finished run's first seed."""
    return _pupils(run.id, run.resets, Experiment.from_json(run.experiments[0]))


@st.cache_resource(max_entries=16, show_spinner=False, hash_funcs={Experiment: lambda experiment: experiment.key})
def _pupils(run_id: str, resets: int, experiment: Experiment) -> dict[str, nn.Module]:
    dataset = datasets.load(experiment.dataset)
    try:
        weights = load(store().read_artefact(run_id, WEIGHTS))
        found = {}
        for role in ("baseline", "student"):
            network = models.build(experiment.student, image_shape=dataset.image_shape, classes=dataset.classes, seed=experiment.seed)
            network.load_state_dict({n.removeprefix(f"{role}."): v.float() for n, v in weights.items() if n.startswith(f"{role}.")})
            found[role] = network.eval().requires_grad_(False)
    except Exception as error:  # whatever a cut or foreign file makes of loading
        raise ValueError(f"the weights of the run {run_id} cannot be read; train it again, or choose another") from error
    return found


@st.cache_resource(max_entries=8, show_spinner="The teacher looks at all test images, once on this machine")
def test_logits(dataset: str, name: str) -> Tensor:
    """The teacher's logits `(N, C)` of all test images."""
    data = datasets.load(dataset)
    return teachers.teacher_logits(
        teachers.load_teacher(data, name), data, part="test", indices=torch.arange(len(data.test_labels))
    )  # fmt: skip


def ask(network: nn.Module, dataset: datasets.Dataset, images: np.ndarray | Tensor) -> Tensor:
    """Logits `(N, C)` of images `(N, D, H, W)` uint8."""
    return teachers.logits(network, dataset, torch.as_tensor(images))
