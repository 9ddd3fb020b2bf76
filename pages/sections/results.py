"""What a race left behind: every verdict on the test images after each epoch, and the final scores."""

from __future__ import annotations

import numpy as np
import pandas as pd
import streamlit as st
from PIL import Image
from safetensors.numpy import load

from distill_core import analysis, statistics
from distill_core.data import datasets
from distill_core.experiment import Experiment
from distill_core.figures.classes import class_accuracy, confusion_figure, per_class_figure
from distill_core.runs.store import Run
from pages.components.live_chart import live_chart
from pages.server.lab import store

MAX_SHOWN = 24


def show(run: Run) -> None:
    """The scores, and for the first seed a look back over the epochs: what changed, what is confused."""
    if found := store().results(run.id):
        _show_scores(found)
    if "predictions.safetensors" not in store().artefacts(run.id):
        return
    predictions = load(store().read_artefact(run.id, "predictions.safetensors"))
    experiment = Experiment.from_json(run.experiments[0])
    try:
        dataset = datasets.load(experiment.dataset)
    except ValueError as error:
        st.warning(str(error))
        return
    st.subheader("Look back", help=f"Seed {experiment.seed}, on all {len(predictions['labels']):,} test images.")
    epochs = predictions["epochs"].tolist()
    epoch = st.select_slider("After epoch", epochs, epochs[-1], key=f"epoch_{run.id}")
    student, baseline = predictions["by_epoch"][epochs.index(epoch)]
    named = {"teacher": predictions["teacher"], "baseline": baseline, "student": student}
    changed, confused, classes = st.tabs(["Whose verdict differs", "What is confused", "Class by class"])
    with changed:
        _show_differing(dataset, named, predictions["labels"])
    with confused:
        who = st.segmented_control("Whose", list(named), default="student", key=f"who_{run.id}", required=True)
        counts = analysis.confusion(named[who], predictions["labels"], classes=dataset.classes)
        live_chart(confusion_figure(counts, dataset.class_names), key=f"confusion_{run.id}", height=520, revision=run.id)
    with classes:
        right = {role: class_accuracy(v, predictions["labels"], classes=dataset.classes) for role, v in named.items()}
        live_chart(per_class_figure(right, dataset.class_names), key=f"classes_{run.id}", height=380, revision=run.id)


def _show_scores(results: list[dict]) -> None:
    """One row a network, averaged over the seeds."""
    rows, assistants = [], [f"assistant {n}" for n in range(1, 1 + len(results[0].get("assistants", ())))]
    for role in ("teacher", *assistants, "baseline", "student"):
        scores = [result["assistants"][assistants.index(role)] if role in assistants else result[role] for result in results]
        mean = {name: float(np.mean([s[name] for s in scores])) for name in ("test_accuracy", "test_errors", "agreement", "ece")}
        low, high = _interval(scores)
        rows.append(
            {
                "": f"{role}: {scores[0]['name']}" if role in assistants else role,
                "test accuracy": f"{mean['test_accuracy']:.2%}",
                "95 % interval": f"{low:.2%} to {high:.2%}",
                "errors": f"{mean['test_errors']:.1f} of {scores[0]['test_images']:,}",
                "agreement": f"{mean['agreement']:.1%}",
                "ECE": f"{mean['ece']:.3f}",
                "parameters": f"{scores[0]['parameters']:,}",
            }
        )
    st.dataframe(pd.DataFrame(rows), hide_index=True)


def _interval(scores: list[dict]) -> tuple[float, float]:
    """Over seeds where there are several different ones; of the test images otherwise."""
    accuracies = [s["test_accuracy"] for s in scores]
    if len(set(accuracies)) > 1:
        _, low, high = statistics.mean_interval(accuracies)
        return low, min(high, 1.0)
    return scores[0]["low"], scores[0]["high"]


def _show_differing(dataset: datasets.Dataset, named: dict[str, np.ndarray], labels: np.ndarray) -> None:
    """Test images on which the networks do not say the same."""
    right = {role: predictions == labels for role, predictions in named.items()}
    groups = {
        "student right, baseline wrong": right["student"] & ~right["baseline"],
        "baseline right, student wrong": right["baseline"] & ~right["student"],
        "student wrong as its teacher is": ~right["student"] & (named["student"] == named["teacher"]),
        "student right, teacher wrong": right["student"] & ~right["teacher"],
    }
    group = st.selectbox("Which images", list(groups), format_func=lambda g: f"{g}: {groups[g].sum():,}")
    places = np.flatnonzero(groups[group])[:MAX_SHOWN]
    if not len(places):
        st.markdown("There is no such image.")
        return
    names = dataset.class_names
    with st.container(horizontal=True):
        for place in places:
            said = " · ".join(f"{role} {names[named[role][place]]}" for role in named)
            st.image(_picture(dataset, place), caption=f"{said} · is {names[labels[place]]}", width=150)


def _picture(dataset: datasets.Dataset, place: int) -> Image.Image:
    """A test image, enlarged without smoothing."""
    pixels = dataset.test_images[int(place)].permute(1, 2, 0).numpy()
    picture = Image.fromarray(pixels.squeeze(-1) if pixels.shape[-1] == 1 else pixels)
    return picture.resize((150, 150 * picture.height // picture.width), Image.Resampling.NEAREST)
