"""Trained networks for the pages that show their outputs: loaded once for the whole server, the oldest dropped first."""

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
from distill_core.objectives import METHODS
from distill_core.runs.store import Run
from distill_core.training.records import TEACHER
from pages.server.experiments import experiments_of, first_experiment
from pages.server.lab import store

WEIGHTS = "weights.safetensors"  # of a run's first seed


def teachers_here() -> dict[str, list[str]]:
    """Shipped teachers by data set, of the sets on this machine. MNIST comes first, and of each set the smallest teacher."""
    names: dict[str, list[str]] = {}
    for card in sorted(teachers.shipped(), key=lambda card: card.parameters):
        if card.dataset in datasets.DATASETS and datasets.DATASETS[card.dataset].is_here():
            names.setdefault(card.dataset, []).append(card.name)
    return dict(sorted(names.items(), key=lambda item: (item[0] != "mnist", item[0])))


def images(name: str) -> datasets.Dataset:
    """A data set, with a message on the page while it is read. Raises `ValueError` with one sentence where it cannot be."""
    with st.spinner(f"Reading {datasets.DATASETS[name].title if name in datasets.DATASETS else 'the images'}"):
        return datasets.load(name)


def finished_runs(*names: str) -> dict[str, Run]:
    """Runs on these data sets whose weights are stored, newest first, by id. A run that cannot be read is left out."""
    runs = [run for run in store().list(status="finished") if (first := first_experiment(run)) and first.dataset in names]
    return {run.id: run for run in runs if WEIGHTS in store().artefacts(run.id)}


def describe(run: Run) -> str:
    """A run in a few words, different for every run. The first digits of its id come early: a narrow select box cuts the rest."""
    if (first := first_experiment(run)) is None:
        return f"run {run.id[:6]}, whose settings cannot be read"
    parts = [
        f"{first.student} ({run.id[:6]})",
        f"T {first.temperature:g}",
        f"alpha {first.alpha:g}",
        METHODS[first.method].title,
        f"{first.images:,} images of {first.dataset}" if first.images else f"all images of {first.dataset}",
        f"{len(run.experiments)} seed{'s' if len(run.experiments) > 1 else ''}",
        time.strftime("%d %b %H:%M", time.localtime(run.created)),
    ]
    return ", ".join(parts)


@st.cache_resource(max_entries=8, show_spinner="Loading the teacher")
def teacher(dataset: str, name: str) -> nn.Module:
    """A trained teacher. Raises `ValueError` with one sentence where its file or its data are missing or altered."""
    return teachers.load_teacher(datasets.load(dataset), name).network


def pupils(run: Run) -> dict[str, nn.Module]:
    """Student and baseline of a finished run's first seed. Raises `ValueError` with one sentence where they cannot be loaded."""
    return {role: network for role, network in with_own_teacher(run).items() if role != TEACHER}


def with_own_teacher(run: Run) -> dict[str, nn.Module]:
    """The same, and the teacher if the run trained it (`self`)."""
    return _pupils(run.id, run.resets, experiments_of(run)[0])


@st.cache_resource(max_entries=16, show_spinner=False, hash_funcs={Experiment: lambda experiment: experiment.key})
def _pupils(run_id: str, resets: int, experiment: Experiment) -> dict[str, nn.Module]:
    dataset = datasets.load(experiment.dataset)
    try:
        weights = load(store().read_artefact(run_id, WEIGHTS))
        networks = {}
        for role in ("baseline", "student", *([TEACHER] if experiment.teacher == teachers.SELF else [])):
            network = models.build(experiment.student, image_shape=dataset.image_shape, classes=dataset.classes, seed=experiment.seed)
            network.load_state_dict({n.removeprefix(f"{role}."): v.float() for n, v in weights.items() if n.startswith(f"{role}.")})
            networks[role] = network.eval().requires_grad_(False)
    except Exception as error:  # a truncated or foreign file raises many kinds of error
        raise ValueError(f"the weights of run {run_id} cannot be read; train it again, or choose another run") from error
    return networks


@st.cache_resource(max_entries=8, show_spinner="Computing the teacher's outputs for all test images, once on this machine")
def test_logits(dataset: str, name: str) -> Tensor:
    """The teacher's logits `(N, C)` of all test images."""
    data = datasets.load(dataset)
    return teachers.teacher_logits(
        teachers.load_teacher(data, name), data, part="test", indices=torch.arange(len(data.test_labels))
    )  # fmt: skip


def ask(network: nn.Module, dataset: datasets.Dataset, images: np.ndarray | Tensor) -> Tensor:
    """Logits `(N, C)` of images `(N, D, H, W)` uint8."""
    return teachers.logits(network, dataset, torch.as_tensor(images))
