"""Accuracy and size over the whole range of each way to compress: computed once for a network, drawn in the browser."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor, nn

from distill_core.compression.low_rank import Decomposed, decompose
from distill_core.compression.measures import cost_of
from distill_core.compression.packing import STORED_BITS
from distill_core.compression.pruning import weight_layers
from distill_core.compression.quantisation import BITS
from distill_core.compression.recipe import NONE, Compression, compress

AXES: dict[str, tuple[int, ...]] = {
    "prune": tuple(range(0, 100, 5)),
    "neurons": tuple(range(0, 100, 5)),
    "rank": (100, *range(95, 0, -5)),
    "bits": (32, *BITS),
}
BUDGET = 2e10  # multiplications of all points of one network; a larger network is measured on fewer images
MIN_IMAGES = 500


def images_for(network: nn.Module, available: int, *, image_shape: tuple[int, int, int]) -> int:
    """On how many test images the curves are measured."""
    points = sum(map(len, AXES.values()))
    most = BUDGET / points / (cost_of(network, image_shape=image_shape).flops / 2)
    return min(available, max(MIN_IMAGES, int(most)))


@torch.inference_mode()
def curves(network: nn.Module, pixels: Tensor, labels: Tensor) -> dict[str, list[dict]]:
    """For each axis its points: `{"value", "accuracy", "bytes", "flops"}`; none where the network cannot be compressed so.

    `pixels`: `(N, D, H, W)`, standardised; `labels`: `(N,)`.
    """
    found, decomposed = {}, decompose(network)
    pixels = pixels.contiguous(memory_format=torch.channels_last)
    for axis, values in AXES.items():
        try:
            found[axis] = [
                point(network, replace(NONE, **{axis: value}), pixels, labels, decomposed=decomposed) | {"value": value} for value in values
            ]
        except ValueError:
            found[axis] = []
    return found


@torch.inference_mode()
def point(network: nn.Module, compression: Compression, pixels: Tensor, labels: Tensor, *, decomposed: Decomposed | None = None) -> dict:
    """Accuracy, bytes and FLOPs of one compression of a network."""
    small = compress(network, compression, decomposed=decomposed).to(memory_format=torch.channels_last)
    correct = sum(int((small(images).argmax(dim=1) == own).sum()) for images, own in zip(pixels.split(500), labels.split(500), strict=True))
    work = cost_of(small, image_shape=tuple(pixels.shape[1:]), sparse=bool(compression.prune))
    return {"accuracy": correct / len(labels), "bytes": stored_bytes(small, compression), "flops": work.flops}


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
