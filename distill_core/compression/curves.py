"""Accuracy and size over the whole range of each way to compress: measured in parts, a coarse curve first, drawn in the browser."""

from __future__ import annotations

import functools
import threading
import time
from dataclasses import replace

import torch
from torch import nn

from distill_core.compression.low_rank import Decomposed, decompose
from distill_core.compression.measures import cost_of
from distill_core.compression.packing import STORED_BITS
from distill_core.compression.pruning import is_chain, weight_layers
from distill_core.compression.quantisation import BITS
from distill_core.compression.recipe import NONE, Compression, compress
from distill_core.data.dataset import Dataset

AXES: dict[str, tuple[int, ...]] = {
    "prune": tuple(range(0, 100, 5)),
    "neurons": tuple(range(0, 100, 5)),
    "rank": (100, *range(95, 0, -5)),
    "bits": (32, *BITS),
}
STRIDES = (8, 4, 2, 1)  # of the points: first every eighth, then those in between
WORK_OF_CURVES = 6e10  # multiplications of all points of one network; a larger network is measured on fewer images
WORK_OF_POINT = 1e10  # of a combination of all ways
MIN_IMAGES = 500
BATCH = 100  # images at once, whose activations fit into a cache
KEPT = 256  # combinations


class Curves:
    """The points of one network for each way to compress it alone, measured a few at a time, and combinations when they are asked for.

    Safe to use from several threads: one of them measures the curves, the others see what is there. The network is in evaluation mode.
    """

    def __init__(self, network: nn.Module, dataset: Dataset) -> None:
        self.network, self.dataset = network, dataset
        axes = {axis: values for axis, values in AXES.items() if axis != "neurons" or is_chain(network)}
        self.points: dict[str, list[dict]] = {axis: [{"value": value} for value in values] for axis, values in axes.items()}
        self._waiting = coarse_first({axis: len(values) for axis, values in axes.items()})
        self._measuring = threading.Lock()
        self.combination = functools.lru_cache(KEPT)(self._combination)

    @functools.cached_property
    def decomposed(self) -> Decomposed:
        """The decomposition of each layer: it takes far longer than all the rest, and serves all ranks."""
        return decompose(self.network)

    @property
    def is_finished(self) -> bool:
        """Whether every point is measured."""
        return not self._waiting

    @functools.cached_property
    def images(self) -> int:
        """On how many test images the curves are measured: the first ones."""
        return self._images_for(WORK_OF_CURVES / sum(map(len, self.points.values())))

    @functools.cached_property
    def images_of_combination(self) -> int:
        """On how many test images a combination is measured."""
        return self._images_for(WORK_OF_POINT)

    def _images_for(self, multiplications: float) -> int:
        most = multiplications / (cost_of(self.network, image_shape=self.dataset.image_shape).flops / 2)
        return min(len(self.dataset.test_labels), max(MIN_IMAGES, int(most)))

    def go_on(self, *, seconds: float) -> None:
        """Measure further points for so long, at least one; none while another thread does."""
        if not self._measuring.acquire(blocking=False):
            return
        try:
            until = time.perf_counter() + seconds
            while self._waiting:
                axis, number = self._waiting[0]
                value = self.points[axis][number]["value"]
                compression = replace(NONE, **{axis: value})
                found = self._point(compression, self.images)
                same = [(axis, number)] if compression != NONE else [(other, 0) for other in self.points]  # all begin at the network itself
                for axis, number in same:
                    self.points[axis][number] |= found
                    self._waiting.remove((axis, number))
                if time.perf_counter() >= until:
                    return
        finally:
            self._measuring.release()

    def _combination(self, compression: Compression) -> dict:
        """Accuracy, bytes and FLOPs of the network after this compression. Raises `ValueError` for one that it cannot have."""
        return self._point(compression, self.images_of_combination)

    def _point(self, compression: Compression, images: int) -> dict:
        decomposed = self.decomposed if compression.rank < 100 and not compression.neurons else None
        return point(self.network, compression, self.dataset, images=images, decomposed=decomposed)


def coarse_first(lengths: dict[str, int]) -> list[tuple[str, int]]:
    """The points of all axes, each by its axis and its number: the ends of each axis and a few between, then those between these."""
    order: dict[tuple[str, int], None] = {}
    for stride in STRIDES:
        for axis, length in lengths.items():
            order |= dict.fromkeys((axis, number) for number in (*range(0, length, stride), length - 1))
    return list(order)


@torch.inference_mode()
def point(network: nn.Module, compression: Compression, dataset: Dataset, *, images: int, decomposed: Decomposed | None = None) -> dict:
    """Accuracy on the first test images, bytes and FLOPs of one compression of a network."""
    small = compress(network, compression, decomposed=decomposed).to(memory_format=torch.channels_last)
    batches = zip(dataset.test_images[:images].split(BATCH), dataset.test_labels[:images].split(BATCH), strict=True)
    correct = sum(int((small(dataset.pixels(own)).argmax(dim=1) == labels).sum()) for own, labels in batches)
    work = cost_of(small, image_shape=dataset.image_shape, sparse=bool(compression.prune))
    return {"accuracy": correct / images, "bytes": stored_bytes(small, compression), "flops": work.flops}


def stored_bytes(network: nn.Module, compression: Compression) -> int:
    """The bytes of its weights as `packing.pack` stores them, without the header of the file: from counts alone."""
    bits = next((size for size in STORED_BITS if size >= compression.bits), 32)
    layers = {id(layer.weight): layer.weight for _, layer in weight_layers(network)}
    total = 0
    for weight in network.parameters():
        if id(weight) not in layers:
            total += 4 * weight.numel()
            continue
        dense, sparse = weight.numel() * bits / 8, weight.numel() / 8 + int(weight.count_nonzero()) * bits / 8
        total += round(min(dense, sparse)) + (4 * weight.shape[0] if bits < 32 else 0)
    return total
