"""What a teacher takes for what, over a whole data set: its numbers, computed once, and its views."""

from __future__ import annotations

import numpy as np
import streamlit as st
import torch

from distill_core import analysis, teachers
from distill_core.data import datasets
from distill_core.figures import dark_knowledge
from distill_core.figures.palette import styles_of
from distill_core.losses import soften
from distill_core.statistics import bootstrap_interval
from pages.components.cloud import cloud
from pages.components.gallery import gallery
from pages.components.live_chart import live_chart

MAX = 10_000  # images of the training set that are looked at
MAPPED = 1_000  # points on a map
REFERENCE = 4.0  # T at which the classes are put round the circle, so that they stay where they are while T changes


def indices(dataset: datasets.Dataset, part: str) -> torch.Tensor:
    """The images that are looked at: all test images, or at most 10,000 training images drawn by seed 0."""
    n = len(getattr(dataset, f"{part}_labels"))
    return torch.arange(n) if n <= MAX else torch.randperm(n, generator=datasets.seeded(0, "looked at"))[:MAX].sort().values


@st.cache_resource(max_entries=16, show_spinner="The teacher looks at every image, once on this machine")
def logits_of(name: str, teacher: str, part: str) -> torch.Tensor:
    """A teacher's logits `(N, C)` of the images that are looked at."""
    dataset = datasets.load(name)
    chosen = indices(dataset, part)
    return teachers.teacher_logits(teachers.load_teacher(dataset, teacher), dataset, part=part, indices=chosen)[chosen]


def labels_of(dataset: datasets.Dataset, part: str) -> torch.Tensor:
    """Their labels `(N,)`."""
    return getattr(dataset, f"{part}_labels")[indices(dataset, part)]


def means(name: str, teacher: str, part: str, temperature: float) -> np.ndarray:
    """Mean soft targets `(C, C)`: milliseconds for 10,000 images, so that it follows T."""
    dataset = datasets.load(name)
    return analysis.mean_soft_targets(
        logits_of(name, teacher, part), labels_of(dataset, part), temperature=temperature, classes=dataset.classes
    )


@st.cache_data(max_entries=64, show_spinner=False)
def spread(name: str, teacher: str, part: str) -> tuple[float, float, float]:
    """How wide the classes lie against how far apart, with its bootstrap interval."""
    labels = labels_of(datasets.load(name), part).numpy()
    return bootstrap_interval(analysis.class_spread, logits_of(name, teacher, part).double().numpy(), labels, resamples=300, minimum=0.0)


@st.cache_data(max_entries=64, show_spinner=False)
def layout(name: str, teacher: str, part: str, how: str) -> tuple[np.ndarray, float]:
    """Where the first images of `shown` stand on the map, and the share of variance it shows (of t-SNE: 0)."""
    logits = logits_of(name, teacher, part).double().numpy()
    if how == "t-SNE":
        return analysis.neighbour_map(logits[shown(len(logits))]), 0.0
    places, share = analysis.principal_components(logits)
    return places[shown(len(logits))], share


def shown(n: int) -> np.ndarray:
    """Which of n images are points on a map, drawn by seed 0."""
    return np.sort(np.random.default_rng(0).permutation(n)[:MAPPED])


@st.cache_data(max_entries=64, show_spinner=False)
def spread_difference(name: str, first: str, second: str, part: str) -> tuple[float, float, float]:
    """The spread of `second` minus that of `first`, on the same images, with its bootstrap interval."""
    labels = labels_of(datasets.load(name), part).numpy()
    logits = [logits_of(name, teacher, part).double().numpy() for teacher in (first, second)]
    difference = lambda a, b, y: analysis.class_spread(b, y) - analysis.class_spread(a, y)  # noqa: E731
    return bootstrap_interval(difference, *logits, labels, resamples=300)


# --- views ----------------------------------------------------------------------------------------------------------


def in_words(mean: np.ndarray, class_names: tuple[str, ...], temperature: float) -> str:
    """The strongest doubts, and how much of all probability the wrong classes hold."""
    doubt = mean.copy()
    np.fill_diagonal(doubt, 0.0)
    strongest = [divmod(int(place), len(mean)) for place in np.argsort(-np.nan_to_num(doubt), axis=None, kind="stable")[:3]]
    told = ", ".join(f"**{class_names[a]}** for {class_names[b]} ({_percent(mean[a, b])})" for a, b in strongest)
    wrong = float(np.nanmean(1 - np.diag(mean)))
    return f"At T = {temperature:g} the wrong classes hold {_percent(wrong)}. It most takes {told}."


def _percent(p: float) -> str:
    return f"{100 * p:.2f} %" if p >= 0.0001 else "< 0.01 %"


def show_means(found: dict[str, np.ndarray], *, class_names: tuple[str, ...], temperature: float, diagonal: bool, log: bool) -> None:
    """A heat map a teacher, on one colour scale."""
    coloured = np.stack([np.where(np.eye(len(m), dtype=bool) & (not diagonal), np.nan, m) for m in found.values()])
    scale = {"minimum": float(np.nanmin(coloured)), "maximum": float(np.nanmax(coloured))}
    for number, (column, (teacher, mean)) in enumerate(zip(st.columns(len(found)), found.items(), strict=True)):
        with column:
            st.markdown(f"**{teacher}**: a row is what images of that class look like")
            figure = dark_knowledge.heat_map(mean, class_names, diagonal=diagonal, log=log, **scale)
            live_chart(figure, key=f"means_{number}", height=440, revision=teacher)
            st.markdown(in_words(mean, class_names, temperature))


def show_graph(found: dict[str, np.ndarray], order: list[int], *, class_names: tuple[str, ...], temperature: float, doubts: int) -> None:
    """Each class points to what it looks like; one scale of widths for both teachers."""
    widest = max((edge.probability for mean in found.values() for edge in dark_knowledge.edges(mean, per_class=doubts)), default=0.0)
    for number, (column, (teacher, mean)) in enumerate(zip(st.columns(len(found)), found.items(), strict=True)):
        with column:
            st.markdown(f"**{teacher}**: the thickest line of all is {_percent(widest)}")
            colour = list(styles_of(["teacher", "another"]).values())[number].light
            figure = dark_knowledge.similarity_graph(mean, class_names, order=order, per_class=doubts, widest=widest, colour=colour)
            live_chart(figure, key=f"graph_{number}", height=420, revision=teacher)
            st.markdown(in_words(mean, class_names, temperature))


def show_map(name: str, chosen: list[str], part: str, how: str) -> None:
    """Each image as a point, where its logits put it."""
    dataset = datasets.load(name)
    logits = {teacher: logits_of(name, teacher, part) for teacher in chosen}
    points = shown(len(indices(dataset, part)))
    laid = {}
    for teacher in chosen:
        with st.spinner(f"{how} moves {len(points):,} images to where {teacher}'s logits have their neighbours: some seconds, once"):
            laid[teacher] = layout(name, teacher, part, how)
    cloud(
        {teacher: places for teacher, (places, _) in laid.items()},
        predictions={teacher: z[points].argmax(dim=1).numpy() for teacher, z in logits.items()},
        labels=labels_of(dataset, part)[points].numpy(),
        images=getattr(dataset, f"{part}_images")[indices(dataset, part)[points]].numpy(),
        class_names=dataset.class_names,
        key="cloud",
    )
    seen = f"{len(points):,} of {len(indices(dataset, part)):,} images, ringed where the teacher is wrong."
    if how == "t-SNE":
        st.markdown(f"{seen} t-SNE keeps neighbours together; the distances between clusters and their sizes mean nothing.")
    else:
        shares = " and ".join(f"{share:.0%}" for _, share in laid.values())
        st.markdown(f"{seen} The two main directions of the logits show {shares} of their variance.")


def show_spread(name: str, chosen: list[str], part: str) -> None:
    """How tight the clusters are, as numbers with intervals."""
    found = {teacher: spread(name, teacher, part) for teacher in chosen}
    told = "; ".join(f"**{t}** {value:.3f} (95 % interval {low:.3f} to {high:.3f})" for t, (value, low, high) in found.items())
    n = len(indices(datasets.load(name), part))
    ending = ""
    if len(found) == 2:
        value, low, high = spread_difference(name, *chosen, part)
        told += f"; difference {value:+.3f} ({low:+.3f} to {high:+.3f})".replace("-", "\u2212")
        if low <= 0 <= high:
            ending = " Zero is inside the interval: these images show no difference."
        else:
            tighter = chosen[0] if value > 0 else chosen[1]
            ending = f" The clusters of **{tighter}** are tighter: its logits tell less of how one image differs from another of its class."
    st.markdown(f"Spread within classes over the distance between classes, on all {n:,} images: {told}.{ending}")


def show_pair(name: str, chosen: list[str], part: str, temperature: float, pair: tuple[int, int], *, most: int = 4) -> None:
    """Images of each of two classes that look most like the other."""
    dataset = datasets.load(name)
    labels, images = labels_of(dataset, part), getattr(dataset, f"{part}_images")[indices(dataset, part)]
    soft = {teacher: soften(logits_of(name, teacher, part).double(), temperature=temperature).numpy() for teacher in chosen}
    first = soft[chosen[0]]
    for a, b in (pair, pair[::-1]):
        own = np.flatnonzero(labels.numpy() == a)
        places = own[np.argsort(-first[own, b], kind="stable")[:most]]
        st.markdown(f"**{dataset.class_names[a]}** that look most like **{dataset.class_names[b]}** to {chosen[0]}, at T = {temperature:g}")
        if not len(places):
            st.markdown("There is no image of this class.")
            continue
        gallery(
            images[places].numpy(),
            captions=[f"{dataset.class_names[a]}, image {int(indices(dataset, part)[place]):,}" for place in places],
            soft={teacher: p[places] for teacher, p in _as_members(soft).items()},
            class_names=dataset.class_names,
            key=f"pair_{'ab' if (a, b) == pair else 'ba'}",
        )


def _as_members(soft: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """One teacher is drawn as the teacher; two by their names."""
    return {"teacher": next(iter(soft.values()))} if len(soft) == 1 else soft


def strongest_pair(mean: np.ndarray, class_names: list[str]) -> tuple[str, str]:
    """The two classes that look most alike."""
    like = np.nan_to_num(mean + mean.T)
    np.fill_diagonal(like, -1.0)
    a, b = divmod(int(like.argmax()), len(like))
    return class_names[a], class_names[b]
