"""The page Calibration in parts: the logits of the models, and the views."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
import streamlit as st
import torch
from torch import Tensor

from distill_core import analysis, calibration
from distill_core.data import cifar10h, datasets
from distill_core.experiment import Experiment
from distill_core.figures.calibration import coverage_figure, reliability_figure, scaling_figure
from distill_core.figures.palette import styles_of
from distill_core.statistics import format_interval, format_percent
from distill_core.teachers import SELF
from pages.components.gallery import gallery
from pages.components.live_chart import live_chart
from pages.sections import networks
from pages.server import pictures
from pages.server.experiments import experiments_of, first_experiment
from pages.server.lab import store

Members = Mapping[str, Tensor]  # by model, logits (N, C) of all test images
MAX_SHOWN = 12
ECE_HELP = (
    "Expected calibration error: images are binned by confidence (the largest probability); the gaps between accuracy and mean "
    "confidence of the bins are averaged, weighted by their numbers of images. 0 is perfectly calibrated. In percentage points."
)
COVERAGE_HELP = (
    "Coverage: the model classifies only the most confident x % of the images and abstains on the others. "
    "The curve shows its accuracy on those x %."
)


def datasets_with_runs(linked: str) -> list[str]:
    """Names of the data sets on this machine, of this browser's own zips, and of the one that the run `linked` is about."""
    run = store().get(linked) if linked else None
    of_link = first.dataset if run is not None and (first := first_experiment(run)) else ""
    return [*(name for name, source in datasets.DATASETS.items() if source.is_here()), *pictures.own(), of_link]


def logits_of_run(run_id: str) -> tuple[Experiment, dict[str, Tensor]]:
    """A run's first experiment, and the test logits `(N, C)` of its teacher, combined as in the run, of baseline and student."""
    run = store().entry(run_id)
    experiment = experiments_of(run)[0]
    trained = _logits_of_trained(run_id, run.resets, experiment.dataset)
    if experiment.teacher != SELF:
        trained = {"teacher": networks.test_logits(experiment.dataset, experiment.teacher, experiment.combine)} | trained
    return experiment, trained


@st.cache_resource(max_entries=16, show_spinner="Computing the logits of student and baseline on all test images")
def _logits_of_trained(run_id: str, resets: int, name: str) -> dict[str, Tensor]:
    dataset, trained = datasets.load(name), networks.with_own_teacher(store().entry(run_id))
    return {
        role: networks.ask(trained[role], dataset, dataset.test_images) for role in ("teacher", "baseline", "student") if role in trained
    }


def human_labels(name: str) -> tuple[Tensor | None, str]:
    """CIFAR-10H as logits `(N, C)`, None if the file or the data set is not there; and a note to show."""
    if name not in ("cifar10", "cifar10-jpeg"):
        return None, ""
    about = (
        "CIFAR-10H (Peterson et al. 2019, the README of the data) has the labels that about fifty people gave to each test image of "
        f"the original CIFAR-10. Its licence, CC BY-NC-SA 4.0, does not allow us to include it; it is available at {cifar10h.SOURCE}."
    )
    if name != cifar10h.DATASET:
        return None, f"{about} It follows the order of the original test images and cannot be used with these JPEG copies."
    try:
        logits = cifar10h.human_logits(datasets.load(name))
    except ValueError as error:
        return None, str(error)
    if logits is None:
        return None, f"{about} Put data/{cifar10h.FILE} into the data folder to compare the models with people."
    return logits, "People: CIFAR-10H (Peterson et al. 2019, the README of the data), CC BY-NC-SA 4.0."


# --- views ----------------------------------------------------------------------------------------------------------


def show_reliability(members: Members, labels: Tensor) -> None:
    """One reliability diagram per model, and a table with accuracy, mean confidence and ECE."""
    roles = styles_of(list(members))
    st.markdown(
        "Each bar is a bin of confidences. Filled: accuracy of its images. Hatched: gap between accuracy and mean confidence; "
        "outside the filled part the model is overconfident. Dotted line: perfect calibration. Black lines: 95 % intervals. **ECE**, the "
        "expected calibration error, is the mean gap, in percentage points."
    )
    for number, (column, (name, logits)) in enumerate(zip(st.columns(len(members)), members.items(), strict=True)):
        with column:
            error = calibration.expected_calibration_error(logits, labels)
            st.markdown(f"**{name}**: ECE {100 * error:.2f} points", help=ECE_HELP)
            figure = reliability_figure(calibration.reliability(logits, labels), style=roles[name])
            live_chart(figure, key=f"reliability_{number}", height=410, revision=name)
    rows = []
    for name, logits in members.items():
        correct = int((logits.argmax(dim=1) == labels).sum())
        low, high = analysis.accuracy_interval(correct, len(labels))
        error, error_low, error_high = _ece_interval(logits, labels)
        rows.append(
            {
                "model": name,
                "accuracy": f"{format_percent(correct / len(labels))} ({format_interval(low, high)})",
                "mean confidence": format_percent(torch.softmax(logits.double(), dim=1).max(dim=1).values.mean().item()),
                "ECE (points)": f"{100 * error:.2f} ({100 * error_low:.2f} to {100 * error_high:.2f})",
            }
        )
    st.dataframe(pd.DataFrame(rows), hide_index=True)
    st.caption("In brackets: 95 % intervals, Wilson's for accuracy, bootstrap over the test images for ECE.")


@st.cache_data(max_entries=64, show_spinner=False, hash_funcs={Tensor: lambda t: t.numpy().tobytes()})
def _ece_interval(logits: Tensor, labels: Tensor) -> tuple[float, float, float]:
    return calibration.calibration_interval(logits, labels)


def show_coverage(members: Members, labels: Tensor) -> None:
    """Accuracy on the most confident images against their fraction of all images."""
    curves = {name: calibration.selective_accuracy(logits, labels) for name, logits in members.items()}
    live_chart(coverage_figure(curves), key="coverage", height=480, revision=" ".join(members))
    accuracies = "; ".join(
        f"**{name}** {format_percent(curve['accuracy'][49])} on its most confident half, "
        f"{format_percent(curve['accuracy'][-1])} on all images"
        for name, curve in curves.items()
    )
    st.markdown(f"Accuracy: {accuracies}. Bands: Wilson's 95 % interval.", help=COVERAGE_HELP)


@st.cache_data(max_entries=64, show_spinner="Fitting a temperature", hash_funcs={Tensor: lambda t: t.numpy().tobytes()})
def _calibrate(logits: Tensor, labels: Tensor) -> dict:
    return calibration.calibrate(logits, labels)


def show_scaling(members: Members, labels: Tensor) -> None:
    """ECE before and after temperature scaling, on images that the temperature was not fitted on."""
    finite = {name: logits for name, logits in members.items() if logits.isfinite().all()}
    results = {name: _calibrate(logits, labels) for name, logits in finite.items()}
    live_chart(scaling_figure(results), key="scaling", height=110 + 80 * len(results), revision=" ".join(results))
    first = next(iter(results.values()))
    st.markdown(
        f"Open markers: before; filled: after. One T per model is fitted on {first['fitted']:,} test images drawn by seed 0; all "
        f"numbers of this view are measured on the other {first['reported']:,}. T above 1 means that the model was overconfident. "
        "Predictions do not change.",
        help="Temperature scaling divides the logits by the T that minimises the negative log-likelihood (Guo et al. 2017, section 4.2).",
    )
    rows = [
        {
            "model": name,
            "fitted T": f"{one['temperature']:.3f}",
            "ECE before": _interval(one["ece"]["before"], 100, 2),
            "ECE after": _interval(one["ece"]["after"], 100, 2),
            "ECE difference": _interval(one["ece"]["difference"], 100, 2, sign="+"),
            "NLL before": _interval(one["nll"]["before"], 1, 4),
            "NLL after": _interval(one["nll"]["after"], 1, 4),
            "NLL difference": _interval(one["nll"]["difference"], 1, 4, sign="+"),
        }
        for name, one in results.items()
    ]
    st.dataframe(pd.DataFrame(rows).set_index("model").T)
    st.caption(
        "ECE: expected calibration error in percentage points. NLL: negative log-likelihood in nats. "
        "In brackets: 95 % bootstrap intervals, of paired differences in the rows with differences."
    )
    if len(finite) < len(members):
        st.markdown("No temperature can be fitted for people: some classes were never chosen, so their logits are not finite.")


def _interval(values: tuple[float, float, float], factor: float, digits: int, *, sign: str = "") -> str:
    value, low, high = (f"{factor * number:{sign}.{digits}f}".replace("-", "\u2212") for number in values)
    return f"{value} ({low} to {high})"


def show_disagreements(members: Members, dataset: datasets.Dataset, sort: str) -> None:
    """The images on which the models differ most, by number of predicted classes ("classes") or by divergence ("divergence")."""
    predictions = torch.stack([logits.argmax(dim=1) for logits in members.values()])  # (K, N)
    distinct = torch.tensor([len(set(column)) for column in predictions.T.tolist()])
    divergences = analysis.divergence(*members.values())
    all_different = int((distinct == len(members)).sum())
    if sort == "classes":
        order = torch.argsort(distinct.double() * 10 + divergences, descending=True)
        models = "Both models" if len(members) == 2 else f"All {len(members)} models"
        st.markdown(f"{models} predict different classes for **{all_different:,}** of {len(distinct):,} images.")
    else:
        order = torch.argsort(divergences, descending=True)
        st.markdown(
            "Jensen-Shannon divergence of the soft targets at T = 1: 0 if they are equal, at most "
            f"ln {len(members)} = {np.log(len(members)):.2f} nats."
        )
    places = order[:MAX_SHOWN].numpy()
    gallery(
        dataset.test_images[places].numpy(),
        captions=[
            f"image {int(i):,}, true class {dataset.class_names[int(dataset.test_labels[i])]} · {divergences[i].item():.2f} nats"
            for i in places
        ],
        soft={name: torch.softmax(logits[places].double(), dim=1).numpy() for name, logits in members.items()},
        class_names=dataset.class_names,
        key="disagreements",
        most=2,
    )
