"""Trained networks for the pages that show their outputs: loaded once for the whole server, the oldest dropped first."""

from __future__ import annotations

import contextlib
import time

import numpy as np
import streamlit as st
import torch
from safetensors.torch import load
from torch import Tensor, nn

from distill_core import models, students, teachers
from distill_core.data import datasets
from distill_core.experiment import Experiment
from distill_core.machine import available_cores
from distill_core.method_settings import in_words
from distill_core.runs.schema import Entry
from distill_core.runs.store import Run
from distill_core.text_objectives import method_of
from distill_core.training.records import TEACHER
from pages.server import pictures
from pages.server.byte_cache import ByteCache
from pages.server.experiments import experiments_of, first_experiment
from pages.server.lab import store
from pages.server.plain_text import plain

WEIGHTS = "weights.safetensors"  # of a run's first seed
MAX_LISTED = 100  # runs to choose from
NOTES = {  # on teachers whose names do not describe their layers
    teachers.SELF: "own size, labels first",
    "mlp-1200x2-noisy": "trained with 40 % label noise",
    "mlp-1200x2-smoothed": "label smoothing 0.1",
    "mlp-1200x2-overfit": "overfitted to 1,000 images",
    "ensemble-5": "mean of 5 cnn-16",
    "airbench-pair": "mean of 2 airbench-256",
}


def name_with_layers(name: str) -> str:
    """A network as lists show it: "mlp-30x2 (2 layers of 30)". A name that is no single model's is returned as it is."""
    try:
        return f"{name} ({NOTES.get(name) or models.layers_in_words(name)})"
    except ValueError:
        return name


def teachers_here() -> dict[str, list[str]]:
    """Shipped teachers by data set, of the sets on this machine. MNIST comes first, and of each set the smallest teacher."""
    names: dict[str, list[str]] = {}
    for dataset, source in datasets.DATASETS.items():
        if source.is_here() and (cards := teachers.shipped_for(dataset)):
            names[dataset] = [card.name for card in sorted(cards, key=lambda card: card.parameters)]
    return dict(sorted(names.items(), key=lambda item: (item[0] != "mnist", item[0])))


def show_notes(dataset: str, *names: str) -> None:
    """What to know of these teachers: on which images they were trained, if not on these, and label smoothing."""
    for name in dict.fromkeys(names):
        with contextlib.suppress(ValueError):  # an unknown name: the page reports it where it was chosen
            for note in teachers.notes(dataset, name):
                st.caption(note)


def note_images_only() -> None:
    """On pages that need images."""
    st.caption("Images only. For races on texts, see the page Race.")


def show_untrained(dataset: str, *names: str) -> None:
    """Which of these teachers a run must train first, and how long that takes."""
    for name in dict.fromkeys(names):
        if note := teachers.untrained_note(dataset, name, cores=available_cores()):
            st.info(plain(note), icon=":material/hourglass_top:")


def images(name: str) -> datasets.Dataset:
    """A data set, with a message on the page while it is read. Raises `ValueError` with one sentence where it cannot be."""
    with st.spinner(f"Reading {datasets.DATASETS[name].title if name in datasets.DATASETS else 'the images'}"):
        return datasets.load(name)


def finished_runs(*names: str, keep: str = "") -> dict[str, Entry]:
    """Runs on these data sets whose weights are stored, the newest and the one with the id `keep`, by id.

    A run that cannot be read is left out.
    """
    entries = store().entries(status="finished", visible=pictures.visible(), limit=MAX_LISTED)
    if keep and keep not in {entry.id for entry in entries} and (kept := store().entry(keep)) and kept.status == "finished":
        entries.append(kept)
    readable = [entry for entry in entries if (first := first_experiment(entry)) and first.dataset in names]
    return {entry.id: entry for entry in readable if store().has_artefact(entry.id, WEIGHTS)}


def describe(run: Entry) -> str:
    """A run in a few words, different for every run. The first digits of its id come early: a narrow select box cuts the rest."""
    if (first := first_experiment(run)) is None:
        return f"run {run.id[:6]}, whose settings cannot be read"
    parts = [
        f"{first.student} ({run.id[:6]})",
        f"T {first.temperature:g}",
        f"alpha {first.alpha:g}",
        method_of(first.method).title,
        *filter(None, [in_words(first.method, vars(first))]),
        f"{first.images:,} images of {first.dataset}" if first.images else f"all images of {first.dataset}",
        f"{run.size} seed{'s' if run.size > 1 else ''}",
        time.strftime("%d %b %H:%M", time.localtime(run.created)),
    ]
    return ", ".join(parts)


@st.cache_resource(max_entries=8, show_spinner="Loading the teacher")
def teacher(dataset: str, name: str, combine: str = Experiment.combine) -> nn.Module:
    """A trained teacher, or several as one. Raises `ValueError` with one sentence where a file is missing or altered."""
    return teachers.load_teacher(datasets.load(dataset), name, combine=combine).network


def teacher_in_words(experiment: Experiment) -> str:
    """The teacher of a run, and for several teachers how their outputs are combined."""
    several = len(teachers.parse_ensemble(experiment.teacher)) > 1
    return f"{experiment.teacher}, mean of {experiment.combine}" if several else experiment.teacher


def with_teacher_of(run: Entry | None, names: list[str]) -> list[str]:
    """The names of teachers to choose from, that of the run first."""
    first = first_experiment(run) if run is not None else None
    return list(dict.fromkeys([first.teacher, *names])) if first is not None else names


def combination(run: Entry | None, teacher: str) -> str:
    """How the outputs of several teachers are combined: as in the run, if it had this teacher."""
    first = first_experiment(run) if run is not None else None
    return first.combine if first is not None and first.teacher == teacher else Experiment.combine


def pupils(run: Run | Entry) -> dict[str, nn.Module]:
    """Student and baseline of a finished run's first seed. Raises `ValueError` with one sentence where they cannot be loaded."""
    return {role: network for role, network in with_own_teacher(run).items() if role != TEACHER}


def with_own_teacher(run: Run | Entry) -> dict[str, nn.Module]:
    """The same, and the teacher if the run trained it (`self`)."""
    return _PUPILS.get((run.id, run.resets), lambda: _load_pupils(run.id, experiments_of(run)[0]))


def _bytes_of(networks: dict[str, nn.Module]) -> int:
    return sum(4 * parameter.numel() for network in networks.values() for parameter in network.parameters())


_PUPILS: ByteCache[dict[str, nn.Module]] = ByteCache(256e6, size=_bytes_of)


def _load_pupils(run_id: str, experiment: Experiment) -> dict[str, nn.Module]:
    dataset = datasets.load(experiment.dataset)
    try:
        weights = load(store().read_artefact(run_id, WEIGHTS))
        networks = {}
        for role in ("baseline", "student", *([TEACHER] if experiment.teacher == teachers.SELF else [])):
            network = students.empty(experiment, dataset)
            network.load_state_dict({n.removeprefix(f"{role}."): v.float() for n, v in weights.items() if n.startswith(f"{role}.")})
            networks[role] = network.eval().requires_grad_(False)
    except Exception as error:  # a truncated or foreign file raises many kinds of error
        raise ValueError(f"the weights of run {run_id} cannot be read; train it again, or choose another run") from error
    return networks


@st.cache_resource(max_entries=8, show_spinner="Computing the teacher's outputs for all test images, once on this machine")
def test_logits(dataset: str, name: str, combine: str = Experiment.combine) -> Tensor:
    """The teacher's logits `(N, C)` of all test images."""
    data = datasets.load(dataset)
    return teachers.teacher_logits(
        teachers.load_teacher(data, name, combine=combine), data, part="test", indices=torch.arange(len(data.test_labels))
    )  # fmt: skip


def ask(network: nn.Module, dataset: datasets.Dataset, images: np.ndarray | Tensor) -> Tensor:
    """Logits `(N, C)` of images `(N, D, H, W)` uint8."""
    return teachers.logits(network, dataset, torch.as_tensor(images))
