"""Is the confidence of a network honest? Whose logits are looked at, and the views."""

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
from pages.components.gallery import gallery
from pages.components.live_chart import live_chart
from pages.sections import networks
from pages.server.lab import store

Members = Mapping[str, Tensor]  # by name, logits (N, C) of all test images
MAX_SHOWN = 12


def sets_with_runs() -> list[str]:
    """The data sets on this machine, of which runs may be chosen."""
    return [name for name, source in datasets.DATASETS.items() if source.is_here()] + datasets.kept_zips()


def of_run(run_id: str) -> tuple[str, dict[str, Tensor]]:
    """The data set of a run, and the test logits of its teacher, and of baseline and student of its first seed."""
    run = store().get(run_id)
    experiment = Experiment.from_json(run.experiments[0])
    found = {"teacher": networks.test_logits(experiment.dataset, experiment.teacher)}
    return experiment.dataset, found | _pupils_logits(run_id, run.resets, experiment.dataset)


@st.cache_resource(max_entries=16, show_spinner="Student and baseline look at all test images")
def _pupils_logits(run_id: str, resets: int, name: str) -> dict[str, Tensor]:
    dataset = datasets.load(name)
    return {role: networks.ask(net, dataset, dataset.test_images) for role, net in networks.pupils(store().get(run_id)).items()}


def people(name: str) -> tuple[Tensor | None, str]:
    """What people said of the test images, where that is here; and one line about it otherwise."""
    if name not in ("cifar10", "cifar10-jpeg"):
        return None, ""
    about = (
        f"CIFAR-10H, the names that about fifty people gave to each test picture of the original CIFAR-10 "
        f"(Peterson et al. 2019), is not shipped: its licence is CC BY-NC-SA 4.0. It is at {cifar10h.SOURCE}."
    )
    if name != cifar10h.DATASET:
        return None, f"{about} It goes by the order of the original test pictures, so it cannot stand beside these JPEG copies."
    try:
        found = cifar10h.human_logits(datasets.load(name))
    except ValueError as error:
        return None, str(error)
    if found is None:
        return None, f"{about} Put data/{cifar10h.FILE} into the data folder and people stand here as one more column."
    return found, "People: CIFAR-10H (Peterson et al. 2019), CC BY-NC-SA 4.0."


# --- views ----------------------------------------------------------------------------------------------------------


def show_reliability(members: Members, labels: Tensor) -> None:
    """A reliability diagram each, and the numbers below."""
    drawn = styles_of(list(members))
    for number, (column, (name, logits)) in enumerate(zip(st.columns(len(members)), members.items(), strict=True)):
        with column:
            error = calibration.expected_calibration_error(logits, labels)
            st.markdown(f"**{name}**: ECE {100 * error:.2f} points")
            figure = reliability_figure(calibration.reliability(logits, labels), style=drawn[name])
            live_chart(figure, key=f"reliability_{number}", height=410, revision=name)
    st.markdown("Filled: how often it was right; hatched: the gap to what it claimed. On the dotted line confidence is honest.")
    rows = []
    for name, logits in members.items():
        right = int((logits.argmax(dim=1) == labels).sum())
        low, high = analysis.accuracy_interval(right, len(labels))
        error, least, most = _ece_interval(logits, labels)
        rows.append(
            {
                "": name,
                "accuracy": f"{right / len(labels):.2%} ({low:.2%} to {high:.2%})",
                "mean confidence": f"{torch.softmax(logits.double(), dim=1).max(dim=1).values.mean().item():.2%}",
                "ECE in points": f"{100 * error:.2f} ({100 * least:.2f} to {100 * most:.2f})",
            }
        )
    st.dataframe(pd.DataFrame(rows), hide_index=True)
    st.caption("95 % intervals: Wilson's for accuracy, bootstrap over the test images for ECE.")


@st.cache_data(max_entries=64, show_spinner=False, hash_funcs={Tensor: lambda t: t.numpy().tobytes()})
def _ece_interval(logits: Tensor, labels: Tensor) -> tuple[float, float, float]:
    return calibration.calibration_interval(logits, labels)


def show_coverage(members: Members, labels: Tensor) -> None:
    """Accuracy of the most confident images."""
    curves = {name: calibration.selective_accuracy(logits, labels) for name, logits in members.items()}
    live_chart(coverage_figure(curves), key="coverage", height=480, revision=" ".join(members))
    told = "; ".join(
        f"**{name}** {curve['accuracy'][49]:.2%} of its surest half, {curve['accuracy'][-1]:.2%} of all" for name, curve in curves.items()
    )
    st.markdown(f"Right are: {told}. Bands: Wilson's 95 % interval.")


@st.cache_data(max_entries=64, show_spinner="Fitting a temperature", hash_funcs={Tensor: lambda t: t.numpy().tobytes()})
def _calibrate(logits: Tensor, labels: Tensor) -> dict:
    return calibration.calibrate(logits, labels)


def show_scaling(members: Members, labels: Tensor) -> None:
    """ECE before and after temperature scaling, on images that the temperature was not fitted on."""
    able = {name: logits for name, logits in members.items() if logits.isfinite().all()}
    found = {name: _calibrate(logits, labels) for name, logits in able.items()}
    live_chart(scaling_figure(found), key="scaling", height=110 + 80 * len(found), revision=" ".join(found))
    first = next(iter(found.values()))
    st.markdown(
        "Open marks: before; full: after. "
        f"One number T each, fitted on {first['fitted']:,} test images drawn by seed 0; everything shown is measured on the other "
        f"{first['reported']:,}. T above 1: it was too sure. No verdict changes."
    )
    rows = [
        {
            "": name,
            "fitted T": f"{one['temperature']:.3f}",
            "ECE before": _interval(one["ece"]["before"], 100, 2),
            "ECE after": _interval(one["ece"]["after"], 100, 2),
            "ECE difference": _interval(one["ece"]["difference"], 100, 2, sign="+"),
            "NLL before": _interval(one["nll"]["before"], 1, 4),
            "NLL after": _interval(one["nll"]["after"], 1, 4),
            "NLL difference": _interval(one["nll"]["difference"], 1, 4, sign="+"),
        }
        for name, one in found.items()
    ]
    st.dataframe(pd.DataFrame(rows).set_index("").T)
    st.caption("ECE in points, NLL (negative log-likelihood) in nats; 95 % bootstrap intervals, of paired differences.")
    if len(able) < len(members):
        st.markdown("People gave some names no chance at all, so there is no temperature to fit for them.")


def _interval(values: tuple[float, float, float], factor: float, digits: int, *, sign: str = "") -> str:
    value, low, high = (f"{factor * number:{sign}.{digits}f}".replace("-", "\u2212") for number in values)
    return f"{value} ({low} to {high})"


def show_disputed(members: Members, dataset: datasets.Dataset, by: str) -> None:
    """The images about which they disagree most."""
    named = torch.stack([logits.argmax(dim=1) for logits in members.values()])  # (K, N)
    names = torch.tensor([len(set(column)) for column in named.T.tolist()])
    apart = analysis.divergence(*members.values())
    different = int((names == len(members)).sum())
    if by == "names":
        order = torch.argsort(names.double() * 10 + apart, descending=True)
        all_of_them = "Both" if len(members) == 2 else f"All {len(members)}"
        st.markdown(f"{all_of_them} name different classes for **{different:,}** of {len(names):,} images.")
    else:
        order = torch.argsort(apart, descending=True)
        st.markdown(f"Jensen-Shannon divergence of their soft targets at T = 1: 0 is agreement, {np.log(len(members)):.2f} nats the most.")
    places = order[:MAX_SHOWN].numpy()
    gallery(
        dataset.test_images[places].numpy(),
        captions=[f"image {int(i):,} is {dataset.class_names[int(dataset.test_labels[i])]} · {apart[i].item():.2f} nats" for i in places],
        soft={name: torch.softmax(logits[places].double(), dim=1).numpy() for name, logits in members.items()},
        class_names=dataset.class_names,
        key="disputed",
        most=2,
    )
