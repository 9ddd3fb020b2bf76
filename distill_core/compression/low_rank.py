"""Low rank: a layer's matrix as the product of two thin ones, found by singular value decomposition."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from distill_core import models
from distill_core.compression.pruning import weight_layers, with_weights

Decomposed = dict[str, tuple[Tensor, Tensor, Tensor]]  # U, S and V transposed of each layer, by its name


def decompose(network: nn.Module) -> Decomposed:
    """The singular value decomposition of every layer's matrix. It takes far longer than all the rest, and serves all ranks."""
    return {name: torch.linalg.svd(layer.weight.detach().flatten(1), full_matrices=False) for name, layer in weight_layers(network)}


def factorise(network: nn.Module, *, rank: float, decomposed: Decomposed | None = None) -> nn.Module:
    r"""A copy of which each layer is two: of all matrices of their rank, their product is the nearest to the layer's own.

    $$W = U S V^\top \approx (U_r S_r^{1/2}) (S_r^{1/2} V_r^\top)$$

    `rank`: r as a fraction of the full rank. A convolution of k x k pixels becomes one of k x k pixels with r channels and one
    of 1 x 1. A layer that would not get smaller stays as it is. `decomposed`: what `decompose` returns for the same network.

    Source: Denton et al. 2014, section 3.2.1 (a quoted copy was read), of which this is the simplest form.
    """
    small, decomposed = copy.deepcopy(network), decomposed or decompose(network)
    for name, layer in weight_layers(small):
        outputs, inputs = layer.weight.flatten(1).shape
        r = max(1, round(rank * min(outputs, inputs)))
        if r * (outputs + inputs) < outputs * inputs:
            first, second = split(layer, r, *decomposed[name])
            parent, _, child = name.rpartition(".")
            owner = small.get_submodule(parent)
            if child == "stem" and isinstance(owner, models.Network):
                _behind_stem(owner, first, second)
            else:
                small.set_submodule(name, nn.Sequential(first, second))
    return small


def split(layer: nn.Linear | nn.Conv2d, r: int, left: Tensor, sizes: Tensor, right: Tensor) -> tuple[nn.Module, nn.Module]:
    """Two layers whose product is the nearest of rank r, from the layer's decomposition; the first has a bias of 0, which a stem needs."""
    roots = sizes[:r].sqrt()
    before, after = roots[:, None] * right[:r], left[:, :r] * roots
    first = with_weights(layer, before.view(r, *layer.weight.shape[1:]), torch.zeros(r))
    return first, _pointwise(layer, after)


def _pointwise(layer: nn.Linear | nn.Conv2d, matrix: Tensor) -> nn.Module:
    """The second layer: a product with `matrix` `(out, r)` at every place."""
    if isinstance(layer, nn.Linear):
        return with_weights(layer, matrix, layer.bias)
    return with_weights(nn.Conv2d(1, 1, 1), matrix[:, :, None, None], layer.bias)


def _behind_stem(network: models.Network, first: nn.Module, second: nn.Module) -> None:
    """The stem stays one layer; what follows it goes before the rest."""
    network.stem = first
    if len(network.blocks):
        network.blocks[0] = nn.Sequential(second, network.blocks[0])
    else:
        network.head = nn.Sequential(second, network.head)
