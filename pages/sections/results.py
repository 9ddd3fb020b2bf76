"""The result of a finished race: final scores, and the predictions on the test images after each epoch."""

from __future__ import annotations

import numpy as np
import pandas as pd
import streamlit as st
import torch
from plotly.io.json import to_json_plotly
from safetensors.numpy import load

from distill_core import analysis, statistics
from distill_core.data import datasets
from distill_core.figures.classes import class_accuracy, confusion_figure, per_class_figure
from distill_core.runs.store import Run
from distill_core.statistics import format_interval, format_percent
from pages.components.gallery import gallery
from pages.components.live_chart import live_chart
from pages.sections import texts
from pages.server.byte_cache import ByteCache
from pages.server.experiments import experiments_of
from pages.server.lab import link, store
from pages.server.plain_text import plain

MAX_SHOWN = 24
PREDICTIONS = "predictions.safetensors"  # by epoch, on all test images
_FIGURES: ByteCache[str] = ByteCache(32e6, size=len)
_PREDICTIONS: ByteCache[dict[str, np.ndarray]] = ByteCache(128e6, size=lambda arrays: sum(array.nbytes for array in arrays.values()))
MEANINGS = {
    "network": "Student and baseline are means over the seeds; all seeds share one teacher, but each trains its own "
    "where the teacher is self.",
    "test accuracy": "The share of test images that are classified correctly.",
    "validation accuracy": "The share of the held-out training images that are classified as their labels, wrong labels included.",
    "95 % interval": "The confidence interval of the test accuracy of this network by itself; the conclusion above has the interval of "
    "the difference.",
    "interval covers": "Seeds: the mean over all seeds, of which these are a sample, with this teacher and these test images held fixed "
    "(Student's t interval). Test images: the accuracy on all images of this kind, of which the test images are a sample (Wilson's "
    "interval); the variation between seeds is not in it.",
    "errors": "Test images that are classified wrongly.",
    "agreement": "The share of test images to which this network and the teacher assign the same class, right or wrong.",
    "KL to teacher": "Kullback-Leibler divergence from the teacher's probabilities to this network's, on the test images at T = 1, "
    "in nats. 0: equal distributions. Agreement compares the top class only, this compares all classes.",
    "NLL": "Negative log-likelihood: the mean cross-entropy with the test labels, in nats. Lower is better.",
    "ECE": "Expected calibration error: the mean gap between confidence and accuracy over 15 bins of confidence. 0 is best.",
    "parameters": "Weights and biases that are trained.",
}
MAIN = ["network", "test accuracy", "95 % interval", "errors", "agreement"]  # what fits beside the sidebar; the rest is a table below


def show(run: Run) -> None:
    """The scores, and for the first seed the predictions by epoch: changed ones, the confusion matrix, accuracy by class.

    Of a text `texts.show` takes its place.
    """
    if datasets.is_text(experiments_of(run)[0].dataset):
        texts.show(run)
        return
    if results := store().results(run.id):
        _show_scores(results)
        if run.status == "finished":
            link("pages/compress.py", "Export: a report on one page, a notebook, the network", icon="download", network=run.id)
    if not store().has_artefact(run.id, PREDICTIONS):
        return
    key = run.id, run.resets, run.finished
    predictions = _PREDICTIONS.get(key, lambda: load(store().read_artefact(run.id, PREDICTIONS)))
    experiment = experiments_of(run)[0]
    try:
        dataset = datasets.load(experiment.dataset)
    except ValueError as error:
        st.warning(plain(error))
        return
    st.subheader(
        "Results by epoch", help=f"The pair of seed {experiment.seed}, measured on all {len(predictions['labels']):,} test images."
    )
    epochs = predictions["epochs"].tolist()
    epoch = st.select_slider("Epoch", epochs, epochs[-1], key=f"epoch_{run.id}", help="Results after this epoch of training.")
    student, baseline = predictions["by_epoch"][epochs.index(epoch)]
    by_role = {"teacher": predictions["teacher"], "baseline": baseline, "student": student}
    tabs = ["Changed predictions", "Confusion matrix", "Per-class accuracy"]
    changed, confusion, by_class = st.tabs(tabs, key=f"tabs_{run.id}", on_change="rerun")  # only the open one is drawn
    if changed.open:
        with changed:
            _show_differing(dataset, by_role, predictions["labels"])
    if confusion.open:
        with confusion:
            role = st.segmented_control(
                "Model", list(by_role), default="student", key=f"role_{run.id}", required=True, persist_state="session",
                help="Whose predictions are counted.",
            )  # fmt: skip
            figure = _FIGURES.get((*key, epoch, role), lambda: _confusion(by_role[role], predictions["labels"], dataset))
            live_chart(figure, key=f"confusion_{run.id}", height=520, revision=run.id)
    if by_class.open:
        with by_class:
            figure = _FIGURES.get((*key, epoch), lambda: _by_class(by_role, predictions["labels"], dataset))
            live_chart(figure, key=f"classes_{run.id}", height=380, revision=run.id)


def _confusion(predictions: np.ndarray, labels: np.ndarray, dataset: datasets.Dataset) -> str:
    counts = analysis.confusion(predictions, labels, classes=dataset.classes)
    return to_json_plotly(confusion_figure(counts, dataset.class_names))


def _by_class(by_role: dict[str, np.ndarray], labels: np.ndarray, dataset: datasets.Dataset) -> str:
    accuracies = {role: class_accuracy(predictions, labels, classes=dataset.classes) for role, predictions in by_role.items()}
    return to_json_plotly(per_class_figure(accuracies, dataset.class_names))


def _show_scores(results: list[dict]) -> None:
    """One row for each network, averaged over the seeds: the main scores, and all others in an expander."""
    is_validated = results[0]["student"].get("validation_accuracy") is not None
    rows, assistants = [], [f"assistant {n}" for n in range(1, 1 + len(results[0].get("assistants", ())))]
    for role in ("teacher", *assistants, "baseline", "student"):
        scores = [result["assistants"][assistants.index(role)] if role in assistants else result[role] for result in results]
        mean = {name: float(np.mean([s[name] for s in scores])) for name in ("test_accuracy", "test_errors", "agreement", "ece")}
        nats = {name: _mean_nats(scores, name) for name in ("teacher_kl", "nll")}
        low, high, covers = _interval(scores)
        rows.append(
            {
                "network": f"{role}: {scores[0]['name']}" if role in assistants else role,
                "test accuracy": format_percent(mean["test_accuracy"]),
                "95 % interval": format_interval(low, high),
                "interval covers": covers,
                **({"validation accuracy": _validation_accuracy(scores)} if is_validated else {}),
                "errors": f"{mean['test_errors']:.1f} of {scores[0]['test_images']:,}",
                "agreement": format_percent(mean["agreement"]),
                "KL to teacher": nats["teacher_kl"],
                "NLL": nats["nll"],
                "ECE": f"{mean['ece']:.3f}",
                "parameters": f"{scores[0]['parameters']:,}",
            }
        )
    columns = {name: st.column_config.TextColumn(name, help=text) for name, text in MEANINGS.items()}
    table = pd.DataFrame(rows)
    st.dataframe(table[MAIN], hide_index=True, column_config=columns)
    with st.expander("More scores: what the interval covers, divergence from the teacher, calibration, size"):
        st.dataframe(table.drop(columns=MAIN[1:]), hide_index=True, column_config=columns)


def _validation_accuracy(scores: list[dict]) -> str:
    """The mean over the seeds; empty for the teacher, which was trained on these images."""
    accuracies = [s["validation_accuracy"] for s in scores if s.get("validation_accuracy") is not None]
    return format_percent(float(np.mean(accuracies))) if accuracies else ""


def _mean_nats(scores: list[dict], name: str) -> str:
    """The mean of a measure over the seeds; a dash where a network diverged, or an earlier version did not measure it."""
    found = [s.get(name) for s in scores]
    return "\u2013" if None in found else f"{np.mean(found):.3f}"


def _interval(scores: list[dict]) -> tuple[float, float, str]:
    """Student's t interval over seeds that differ, else the interval over the test images; and which of the two it is."""
    accuracies = [s["test_accuracy"] for s in scores]
    if len(set(accuracies)) > 1:
        _, low, high = statistics.mean_interval(accuracies, within=(0, 1))
        return low, high, f"{len(scores)} seeds (t)"
    return scores[0]["low"], scores[0]["high"], "test images (Wilson)"


def _show_differing(dataset: datasets.Dataset, by_role: dict[str, np.ndarray], labels: np.ndarray) -> None:
    """Test images on which the predictions of the networks differ."""
    right = {role: predictions == labels for role, predictions in by_role.items()}
    groups = {
        "student right, baseline wrong": right["student"] & ~right["baseline"],
        "baseline right, student wrong": right["baseline"] & ~right["student"],
        "student and teacher make the same error": ~right["student"] & (by_role["student"] == by_role["teacher"]),
        "student right, teacher wrong": right["student"] & ~right["teacher"],
    }
    group = st.selectbox(
        "Test images with", list(groups), format_func=lambda g: f"{g}: {groups[g].sum():,} image{'' if groups[g].sum() == 1 else 's'}",
        help=f"Groups of test images by who classifies them correctly after this epoch; at most {MAX_SHOWN} of a group are shown.",
    )  # fmt: skip
    indices = np.flatnonzero(groups[group])[:MAX_SHOWN]
    if not len(indices):
        st.markdown("No test image is in this group.")
        return
    names, captions = dataset.class_names, []
    for index in indices:
        label, *predicted = (names[c] for c in (labels[index], *(p[index] for p in by_role.values())))
        captions.append("\n".join([f"label {label}", *(f"{role} {name}" for role, name in zip(by_role, predicted, strict=True))]))
    gallery(dataset.test_images[torch.from_numpy(indices)].numpy(), captions=captions, key="differing")
