"""Quantisation: weights on a grid of a few levels.

The rounding is simulated: the product itself stays in float32. Where a runtime has kernels for int8, `export.onnx_int8` makes a
model whose weights and activations really are of 8 bits.
"""

from __future__ import annotations

import copy
import functools

import torch
from torch import Tensor, nn

from distill_core.compression.pruning import weight_layers

BITS = (8, 7, 6, 5, 4, 3, 2)
SHRINK = (1.0, 0.95, 0.9, 0.85, 0.8, 0.75, 0.7, 0.65, 0.6, 0.55, 0.5, 0.45, 0.4)  # of the largest weight; what is beyond is clipped


def scale_of(weight: Tensor, *, bits: int) -> Tensor:
    """The step of the grid of each output `(out, 1, ...)`: of a few tried, the one with the least squared error.

    A grid up to the largest weight has no error there, but with few bits too coarse a step everywhere else.
    """
    largest = weight.detach().flatten(1).abs().amax(dim=1).clamp(min=1e-12)  # (out,)
    most = 2 ** (bits - 1) - 1
    steps = _factors(bits, weight.dtype, weight.device)[:, None] * largest / most  # (tried, out)
    flat = weight.detach().flatten(1)
    rounded = steps[..., None] * (flat / steps[..., None]).round().clamp(-most, most)  # (tried, out, in)
    best = (rounded - flat).square().sum(dim=-1).argmin(dim=0)  # (out,)
    return steps.gather(0, best[None])[0].view(-1, *[1] * (weight.ndim - 1))


@functools.cache  # a copy to a GPU in each step would wait for it
def _factors(bits: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    return torch.tensor(SHRINK if bits < 8 else SHRINK[:1], dtype=dtype, device=device)


def codes(weight: Tensor, *, bits: int) -> tuple[Tensor, Tensor]:
    """The weights as whole numbers from -(2^(bits-1) - 1) to 2^(bits-1) - 1, and the step of each output. 0 stays 0."""
    most, scale = 2 ** (bits - 1) - 1, scale_of(weight, bits=bits)
    return (weight / scale).round().clamp(-most, most), scale


def fake_quantise(weight: Tensor, *, bits: int) -> Tensor:
    """The weights on their grid; a gradient passes as if they were not rounded (straight-through).

    Source: Jacob et al. 2018, section 3; one step for each output, and steps chosen by their error, are ours.
    """
    rounded, scale = codes(weight.detach(), bits=bits)
    return weight + (rounded * scale - weight).detach()


def quantise(network: nn.Module, *, bits: int) -> nn.Module:
    """A copy whose weights are on a grid of 2^bits - 1 levels for each output; biases and activations stay in float32."""
    rounded = copy.deepcopy(network)
    with torch.no_grad():
        for _, layer in weight_layers(rounded):
            layer.weight.copy_(fake_quantise(layer.weight, bits=bits))
    return rounded
