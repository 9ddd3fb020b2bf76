"""The page Compress: from a released slider to its accuracy, and until the curves of all sliders are there."""

from __future__ import annotations

import time
from collections.abc import Iterator

from distill_core import models
from distill_core.compression import Compression
from distill_core.compression.curves import AXES, Curves
from distill_core.data import datasets
from tests.bench.measure import Figure

REPEATS = 9
GOALS = {"mlp-30x2": "at most 150", "cnn-8": "at most 1000", "cnn-32": ""}  # milliseconds


def run() -> Iterator[Figure]:
    """Networks with random weights: what they cost does not depend on their weights."""
    dataset = datasets.load("mnist")
    for name, goal in GOALS.items():
        network = models.build(name, image_shape=dataset.image_shape, classes=dataset.classes, seed=0).eval().requires_grad_(False)
        curves = Curves(network, dataset)
        curves.combination(Compression())
        combinations = [Compression(neurons=number, prune=30, bits=4) for number in range(REPEATS)]
        of_combination = f"{curves.images_of_combination:,} images"
        yield Figure(f"{name}, a released slider: {of_combination}", [1000 * _seconds(curves, one) for one in combinations], "ms", goal)
        started = time.perf_counter()
        while not all("accuracy" in points[-1] for points in curves.points.values()):
            curves.go_on(seconds=0)
        coarse = time.perf_counter() - started
        curves.go_on(seconds=600)
        yield Figure(f"{name}, the ends of all curves: {curves.images:,} images", [coarse], "s")
        yield Figure(f"{name}, all {sum(map(len, AXES.values()))} points of the curves", [time.perf_counter() - started], "s")


def _seconds(curves: Curves, compression: Compression) -> float:
    started = time.perf_counter()
    curves.combination(compression)
    return time.perf_counter() - started
