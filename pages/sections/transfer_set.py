"""What a race or a lesson trains on, before it starts: its images with the teacher's soft targets; and an earlier result."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import streamlit as st
import torch

from distill_core import teachers
from distill_core.data import datasets
from distill_core.data.image_order import entropy
from distill_core.experiment import Experiment
from distill_core.machine import available_cores
from distill_core.runs.keys import run_key
from pages.components.gallery import gallery
from pages.sections import networks, race, texts
from pages.server.lab import link, store

SHOWN, SEARCHED = 4, 300  # images; those shown are found among the first of the transfer set


def show(experiments: Sequence[Experiment]) -> None:
    """The result of these settings, if the lab has one; and what they train on."""
    first = experiments[0]
    run = store().finished_with_key(run_key(experiments))
    if run is not None and (results := store().results(run.id)):
        st.markdown("**These settings were trained before:**")
        race.show_conclusion(results, method=first.method)
        link("pages/race.py", "Open this finished race", icon="flag", run=run.id)
    show_examples(first)


def show_examples(first: Experiment) -> None:
    """Images or text that an experiment trains on, with what the teacher outputs for them.

    Nothing is shown where that would take a download or a training.
    """
    if not datasets.is_ready(first.dataset) or first.teacher == teachers.SELF:
        return
    if datasets.is_text(first.dataset):
        texts.show_transfer_set(first)
        return
    if teachers.untrained_note(first.dataset, first.teacher, cores=available_cores()):
        return
    try:
        count, indices, logits = _least_certain(
            first.dataset, first.teacher, first.combine, first.images, first.hide_classes, first.validation, first.seed
        )
        dataset = datasets.load(first.dataset)
        noise = {"label_noise": first.label_noise, "classes": dataset.classes, "hide_classes": first.hide_classes}
        labels = datasets.add_label_noise(dataset.train_labels, **noise, seed=first.seed)[indices].tolist()
    except ValueError:  # a damaged file: Train shows which
        return
    names, true = dataset.class_names, dataset.train_labels[indices].tolist()
    wrong = ["" if label == correct else ", a wrong one" for label, correct in zip(labels, true, strict=True)]
    st.markdown(
        f"**From the {count:,} training images:** those of which the teacher is least certain, with its soft targets at "
        f"T = {first.temperature:g}."
    )
    gallery(
        dataset.train_images[indices].numpy(),
        captions=[f"label {names[label]}{note}" for label, note in zip(labels, wrong, strict=True)],  # not Markdown
        soft={"teacher": np.asarray((logits / first.temperature).softmax(dim=-1))},
        class_names=names,
        key="transfer_set",
    )


@st.cache_data(max_entries=64, show_spinner=False)
def _least_certain(
    dataset: str, teacher: str, combine: str, images: int, hide_classes: tuple[int, ...], validation: int, seed: int
) -> tuple[int, torch.Tensor, torch.Tensor]:
    """Some training images of different classes, the least certain first.

    Returns the number of all training images, the indices `(n,)` of these, and the teacher's logits `(n, C)` for them.
    """
    found = datasets.load(dataset)
    chosen = datasets.choose_images(found.train_labels, images=images, hide_classes=hide_classes, seed=seed, validation=validation)
    count, chosen = len(chosen), chosen[:SEARCHED]
    logits = networks.ask(networks.teacher(dataset, teacher, combine), found, found.train_images[chosen])
    order = entropy(logits).argsort(descending=True).tolist()
    places: dict[int, int] = {}
    for place in order:
        places.setdefault(int(found.train_labels[chosen[place]]), place)
    first = list(places.values())[:SHOWN]
    return count, chosen[first], logits[first]
