"""Pruning: weights of small magnitude become 0, or whole units and channels are removed.

Weights that are 0 are still multiplied by a dense product; removed units make the network really smaller.
"""

from __future__ import annotations

import copy
import itertools

import torch
from torch import Tensor, nn

from distill_core import models

LAYERS = nn.Linear | nn.Conv2d
# Layers after which the units are still the same units, in the same order.
KEEP_UNITS = (nn.ReLU, nn.GELU, nn.MaxPool2d, nn.Flatten, nn.Dropout, nn.Identity, models.Scale)
AROUND = (models.Network, models.FlipAveraged, nn.Sequential, nn.ModuleList)


def weight_layers(network: nn.Module) -> list[tuple[str, nn.Linear | nn.Conv2d]]:
    """The linear layers and convolutions by name, in the order of the forward pass."""
    return [(name, layer) for name, layer in network.named_modules() if isinstance(layer, LAYERS)]


def is_chain(network: nn.Module) -> bool:
    """Whether each layer gets the output of the one before it and nothing else: no shortcut, no normalisation, no ensemble."""
    return all(isinstance(part, (*AROUND, *KEEP_UNITS, nn.Linear, nn.Conv2d)) for part in network.modules())


def prune_weights(network: nn.Module, *, share: float) -> nn.Module:
    """A copy of which the fraction `share` of all weights is 0: those of the smallest magnitude in the whole network.

    Biases stay. `torch.nn.utils.prune.global_unstructured` with `L1Unstructured` chooses the same weights.

    Source: Han et al. 2015, section 4, with a threshold for each layer; one threshold for all layers is ours.
    """
    pruned = copy.deepcopy(network)
    layers = [layer for _, layer in weight_layers(pruned)]
    magnitudes = torch.cat([layer.weight.detach().abs().flatten() for layer in layers])
    keep = torch.ones_like(magnitudes)
    if count := round(share * len(magnitudes)):
        threshold = magnitudes.kthvalue(count).values  # a tenth of the time of sorting all
        keep[magnitudes < threshold] = 0
        equal = torch.nonzero(magnitudes == threshold).flatten()
        keep[equal[: count - int((keep == 0).sum())]] = 0
    with torch.no_grad():
        for layer, mask in zip(layers, keep.split([layer.weight.numel() for layer in layers]), strict=True):
            layer.weight *= mask.view_as(layer.weight)
    return pruned


def prune_neurons(network: nn.Module, *, share: float) -> nn.Module:
    """A copy without the fraction `share` of the units of each hidden layer, or of the channels of each convolution.

    A unit's importance is the length of the vector of its weights, incoming times outgoing: a unit without one of them has no
    effect. The widths of a family stay in proportion, so that half of `cnn-8` has the shape of `cnn-4`. At least one unit of
    each layer stays. Raises `ValueError` for a network whose layers do not form a chain.

    Source: Li et al. 2017, section 3.1, where channels are ranked by their own weights alone.
    """
    if not is_chain(network):
        raise ValueError(
            "units can be removed only where each layer feeds the next alone, not beside shortcuts, normalisations or in an ensemble; "
            "choose an mlp or a cnn, or prune single weights"
        )
    pruned = copy.deepcopy(network)
    layers = weight_layers(pruned)
    unit = layers[0][1].weight.shape[0]  # the narrowest hidden layer, of which the others are multiples
    kept_units = max(1, round((1 - share) * unit))
    for (name, _), (next_name, _) in itertools.pairwise(layers):
        layer, following = pruned.get_submodule(name), pruned.get_submodule(next_name)  # the layer has lost columns already
        width = layer.weight.shape[0]
        count = max(1, round(kept_units * width / unit))
        kept = importance(layer.weight, following.weight).topk(min(count, width)).indices.sort().values
        columns = following.weight.unflatten(1, (width, -1))[:, kept].flatten(1, 2)  # a flattened channel is several columns
        pruned.set_submodule(name, with_weights(layer, layer.weight[kept], None if layer.bias is None else layer.bias[kept]))
        pruned.set_submodule(next_name, with_weights(following, columns, following.bias))
    return pruned


def importance(weight: Tensor, following: Tensor) -> Tensor:
    """The importance `(units,)` of the units of a layer: the norm of their incoming weights times that of their outgoing ones."""
    width = weight.shape[0]
    return weight.detach().flatten(1).norm(dim=1) * following.detach().unflatten(1, (width, -1)).transpose(0, 1).flatten(1).norm(dim=1)


def with_weights(layer: nn.Linear | nn.Conv2d, weight: Tensor, bias: Tensor | None) -> nn.Linear | nn.Conv2d:
    """A layer of the same kind with these weights `(out, in)` or `(out, in, height, width)`, and their sizes."""
    has_bias, sizes = bias is not None, weight.shape[:2]
    if isinstance(layer, nn.Linear):
        new = nn.Linear(sizes[1], sizes[0], bias=has_bias)
    else:
        new = nn.Conv2d(sizes[1], sizes[0], weight.shape[2:], stride=layer.stride, padding=layer.padding, bias=has_bias)
    with torch.no_grad():
        new.weight.copy_(weight)
        if has_bias:
            new.bias.copy_(bias)
    return new.to(weight.device, weight.dtype).requires_grad_(layer.weight.requires_grad).train(layer.training)
