"""The page Dark knowledge in parts: a teacher's numbers over a whole data set, computed once, and the views."""

from __future__ import annotations

import numpy as np
import streamlit as st
import torch

from distill_core import analysis, teachers
from distill_core.data import datasets
from distill_core.figures import dark_knowledge
from distill_core.figures.palette import styles_of
from distill_core.losses import soften
from distill_core.statistics import bootstrap_interval, format_percent, format_probability
from pages.components.cloud import cloud
from pages.components.gallery import gallery
from pages.components.live_chart import live_chart

MAX_IMAGES = 10_000  # of the training set
MAX_POINTS = 1_000  # in a projection
LAYOUT_TEMPERATURE = 4.0  # orders the classes of the similarity graph, so that they do not move when T changes
SPREAD_HELP = (
    "Root mean square distance of an image's logits from the mean of its class, divided by the root mean square distance "
    "between class means. Small: tight clusters, in which the logits carry little beyond the class. 95 % bootstrap intervals."
)


def indices(dataset: datasets.Dataset, part: str) -> torch.Tensor:
    """Indices of the images that are used: all, or `MAX_IMAGES` of them drawn by seed 0."""
    n = len(getattr(dataset, f"{part}_labels"))
    if n <= MAX_IMAGES:
        return torch.arange(n)
    return torch.randperm(n, generator=datasets.seeded(0, "looked at"))[:MAX_IMAGES].sort().values


@st.cache_resource(max_entries=16, show_spinner="Computing the teacher's logits of all images (once on this machine)")
def logits_of(name: str, teacher: str, part: str) -> torch.Tensor:
    """A teacher's logits `(N, C)` of the images of `indices`."""
    dataset = datasets.load(name)
    chosen = indices(dataset, part)
    return teachers.teacher_logits(teachers.load_teacher(dataset, teacher), dataset, part=part, indices=chosen)[chosen]


def labels_of(dataset: datasets.Dataset, part: str) -> torch.Tensor:
    """Labels `(N,)` of the images of `indices`."""
    return getattr(dataset, f"{part}_labels")[indices(dataset, part)]


def means(name: str, teacher: str, part: str, temperature: float) -> np.ndarray:
    """Mean soft targets `(C, C)`, one row per true class. Not cached: milliseconds for 10,000 images."""
    dataset = datasets.load(name)
    return analysis.mean_soft_targets(
        logits_of(name, teacher, part), labels_of(dataset, part), temperature=temperature, classes=dataset.classes
    )


@st.cache_data(max_entries=64, show_spinner=False)
def spread(name: str, teacher: str, part: str) -> tuple[float, float, float]:
    """Class spread of the logits with its 95 % bootstrap interval: `(value, low, high)`, ratios."""
    labels = labels_of(datasets.load(name), part).numpy()
    return bootstrap_interval(analysis.class_spread, logits_of(name, teacher, part).double().numpy(), labels, resamples=300, minimum=0.0)


@st.cache_data(max_entries=64, show_spinner=False)
def spread_difference(name: str, first: str, second: str, part: str) -> tuple[float, float, float]:
    """Class spread of `second` minus that of `first` on the same images, with its 95 % bootstrap interval."""
    labels = labels_of(datasets.load(name), part).numpy()
    logits = [logits_of(name, teacher, part).double().numpy() for teacher in (first, second)]
    difference = lambda a, b, y: analysis.class_spread(b, y) - analysis.class_spread(a, y)  # noqa: E731
    return bootstrap_interval(difference, *logits, labels, resamples=300)


@st.cache_data(max_entries=64, show_spinner=False)
def projection(name: str, teacher: str, part: str, method: str) -> tuple[np.ndarray, float]:
    """Coordinates `(n, 2)` of the images of `sampled`, and the fraction of variance they explain (0 for t-SNE)."""
    logits = logits_of(name, teacher, part).double().numpy()
    if method == "t-SNE":
        return analysis.neighbour_map(logits[sampled(len(logits))]), 0.0
    points, explained = analysis.principal_components(logits)
    return points[sampled(len(logits))], explained


def sampled(n: int) -> np.ndarray:
    """Which of n images become points of a projection, drawn by seed 0."""
    return np.sort(np.random.default_rng(0).permutation(n)[:MAX_POINTS])


# --- views ----------------------------------------------------------------------------------------------------------


def in_words(mean: np.ndarray, class_names: tuple[str, ...], temperature: float) -> str:
    """The three largest mean probabilities of a wrong class, and the mean probability of all wrong classes together."""
    wrong = mean.copy()
    np.fill_diagonal(wrong, 0.0)
    strongest = [divmod(int(place), len(mean)) for place in np.argsort(-np.nan_to_num(wrong), axis=None, kind="stable")[:3]]
    pairs = ", ".join(f"**{class_names[a]}** \u2192 {class_names[b]} ({format_probability(mean[a, b])})" for a, b in strongest)
    total = float(np.nanmean(1 - np.diag(mean)))
    return f"At T = {temperature:g} the wrong classes have a mean probability of {format_probability(total)}. Most similar: {pairs}."


def show_means(means_of: dict[str, np.ndarray], *, class_names: tuple[str, ...], temperature: float, diagonal: bool, log: bool) -> None:
    """One heat map per teacher, all on the same colour scale."""
    coloured = np.stack([np.where(np.eye(len(m), dtype=bool) & (not diagonal), np.nan, m) for m in means_of.values()])
    scale = {"minimum": float(np.nanmin(coloured)), "maximum": float(np.nanmax(coloured))}
    for number, (column, (teacher, mean)) in enumerate(zip(st.columns(len(means_of)), means_of.items(), strict=True)):
        with column:
            st.markdown(
                f"**{teacher}**: mean soft targets in percent, one row per true class; below 0.5 % no number is written"
                + ("" if diagonal else "; the true class itself is left out"),
                help="The teacher's softmax(logits / T), averaged over all images of the row's class.",
            )
            figure = dark_knowledge.heat_map(mean, class_names, diagonal=diagonal, log=log, **scale)
            live_chart(figure, key=f"means_{number}", height=440, revision=teacher)
            st.markdown(in_words(mean, class_names, temperature))


def show_graph(
    means_of: dict[str, np.ndarray], order: list[int], *, class_names: tuple[str, ...], temperature: float, edges_per_class: int
) -> None:
    """One graph per teacher: arrows from each class to its most similar classes, their widths on one scale."""
    probabilities = [edge.probability for mean in means_of.values() for edge in dark_knowledge.edges(mean, per_class=edges_per_class)]
    widest = max(probabilities, default=0.0)
    for number, (column, (teacher, mean)) in enumerate(zip(st.columns(len(means_of)), means_of.items(), strict=True)):
        with column:
            st.markdown(
                f"**{teacher}**: an arrow's width is the mean probability of its end class; the widest is {format_probability(widest)}",
                help="Each arrow goes from the true class of the images to a class that the teacher finds similar.",
            )
            colour = list(styles_of(["teacher", "another"]).values())[number].light
            figure = dark_knowledge.similarity_graph(
                mean, class_names, order=order, per_class=edges_per_class, widest=widest, colour=colour
            )
            live_chart(figure, key=f"graph_{number}", height=420, revision=teacher)
            st.markdown(in_words(mean, class_names, temperature))


def show_projection(name: str, chosen: list[str], part: str, method: str) -> None:
    """Each image as a point in a two-dimensional projection of its logits, one plot per teacher."""
    dataset = datasets.load(name)
    logits = {teacher: logits_of(name, teacher, part) for teacher in chosen}
    places = sampled(len(indices(dataset, part)))
    projected = {}
    for teacher in chosen:
        with st.spinner(f"Computing the {method} projection of {len(places):,} images by {teacher}: some seconds, once"):
            projected[teacher] = projection(name, teacher, part, method)
    cloud(
        {teacher: points for teacher, (points, _) in projected.items()},
        predictions={teacher: z[places].argmax(dim=1).numpy() for teacher, z in logits.items()},
        labels=labels_of(dataset, part)[places].numpy(),
        images=getattr(dataset, f"{part}_images")[indices(dataset, part)[places]].numpy(),
        class_names=dataset.class_names,
        key="cloud",
    )
    count = f"{len(places):,} of {len(indices(dataset, part)):,} images; a ring marks a wrong prediction of the teacher."
    if method == "t-SNE":
        st.markdown(f"{count} t-SNE keeps neighbours together; distances between clusters and their sizes have no meaning.")
    else:
        explained = " and ".join(format_percent(share, 0) for _, share in projected.values())
        st.markdown(f"{count} The first two principal components of the logits explain {explained} of their variance.")


def show_spread(name: str, chosen: list[str], part: str) -> None:
    """Class spread of each teacher with its interval, and the difference of two teachers."""
    spreads = {teacher: spread(name, teacher, part) for teacher in chosen}
    values = "; ".join(f"**{t}** {value:.3f} (95 % interval {low:.3f} to {high:.3f})" for t, (value, low, high) in spreads.items())
    n = len(indices(datasets.load(name), part))
    conclusion = ""
    if len(spreads) == 2:
        value, low, high = spread_difference(name, *chosen, part)
        values += f"; difference {value:+.3f} ({low:+.3f} to {high:+.3f})".replace("-", "\u2212")
        if low <= 0 <= high:
            conclusion = " The interval of the difference contains zero: one cannot tell whose clusters are tighter."
        else:
            tighter = chosen[0] if value > 0 else chosen[1]
            conclusion = f" The clusters of **{tighter}** are tighter: its logits carry less information on how images of one class differ."
    st.markdown(
        f"Class spread of the logits of {n:,} images (distances within classes divided by distances between them; small: tight clusters): "
        f"{values}.{conclusion}",
        help=SPREAD_HELP,
    )


def show_pair(name: str, chosen: list[str], part: str, temperature: float, pair: tuple[int, int], *, most: int = 4) -> None:
    """Of each of two classes, the `most` images to which the first teacher gives the largest probability of the other class."""
    dataset = datasets.load(name)
    labels, images = labels_of(dataset, part), getattr(dataset, f"{part}_images")[indices(dataset, part)]
    soft = {teacher: soften(logits_of(name, teacher, part).double(), temperature=temperature).numpy() for teacher in chosen}
    first = soft[chosen[0]]
    for a, b in (pair, pair[::-1]):
        of_class = np.flatnonzero(labels.numpy() == a)
        places = of_class[np.argsort(-first[of_class, b], kind="stable")[:most]]
        st.markdown(
            f"Images of **{dataset.class_names[a]}** with the largest probability of **{dataset.class_names[b]}** "
            f"by {chosen[0]}, at T = {temperature:g}"
        )
        if not len(places):
            st.markdown("There is no image of this class.")
            continue
        gallery(
            images[places].numpy(),
            captions=[f"{dataset.class_names[a]}, image {int(indices(dataset, part)[place]):,}" for place in places],
            soft={teacher: p[places] for teacher, p in _by_role(soft).items()},
            class_names=dataset.class_names,
            key=f"pair_{'ab' if (a, b) == pair else 'ba'}",
        )


def _by_role(soft: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """A single teacher gets the colour of the role teacher; two teachers keep their names."""
    return {"teacher": next(iter(soft.values()))} if len(soft) == 1 else soft


def most_similar_pair(mean: np.ndarray, class_names: list[str]) -> tuple[str, str]:
    """The two classes with the largest mean probability of each other, both directions added."""
    similarity = np.nan_to_num(mean + mean.T)
    np.fill_diagonal(similarity, -1.0)
    a, b = divmod(int(similarity.argmax()), len(similarity))
    return class_names[a], class_names[b]
