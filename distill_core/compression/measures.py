"""The size of a network, the work of one image, and its latency on this machine."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from distill_core import models
from distill_core.compression.pruning import weight_layers


class Work(NamedTuple):
    """`parameters`: weights and biases; `flops`: multiplications and additions of one image in linear layers and convolutions."""

    parameters: int
    flops: int


def nonzero(network: nn.Module) -> int:
    """The number of weights and biases without the weights that are 0."""
    weights = {id(layer.weight) for _, layer in weight_layers(network)}
    return sum(int(p.count_nonzero()) if id(p) in weights else p.numel() for p in network.parameters())


@torch.no_grad()
def cost_of(network: nn.Module, *, image_shape: tuple[int, int, int], sparse: bool = False) -> Work:
    """Parameters and FLOPs of a network as it is.

    `sparse`: without the weights that are 0, and the products with them. A dense product multiplies by zeros too: only other
    kernels than those of torch and ONNX Runtime would gain by them.
    """
    multiplications = 0

    def count(layer: nn.Module, _: object, output: Tensor) -> None:
        nonlocal multiplications
        multiplications += (
            output[0].numel() // layer.weight.shape[0] * int(layer.weight.count_nonzero() if sparse else layer.weight.numel())
        )

    hooks = [layer.register_forward_hook(count) for _, layer in weight_layers(network)]
    try:
        network(torch.zeros(1, *image_shape))
    finally:
        for hook in hooks:
            hook.remove()
    return Work(nonzero(network) if sparse else models.parameters(network), 2 * multiplications)


def latency(run: Callable[[], object], *, times: int = 200, warm_up: int = 20, seconds: float = 2.0) -> dict[str, float]:
    """Milliseconds of a call: median and 99th percentile of up to `times` calls in `seconds`, after `warm_up` calls."""
    for _ in range(warm_up):
        run()
    taken, started = [], time.perf_counter()
    while len(taken) < times and (len(taken) < 20 or time.perf_counter() - started < seconds):
        before = time.perf_counter()
        run()
        taken.append(1000 * (time.perf_counter() - before))
    return {"median": round(float(np.median(taken)), 5), "p99": round(float(np.quantile(taken, 0.99)), 5)}
