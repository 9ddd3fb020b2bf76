"""The student of an experiment as a network: new or from trained weights, compressed or not, and what its training must keep."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap

from distill_core import models
from distill_core.compression import compress, fake_quantise, nonzero, parse_compression
from distill_core.data.dataset import Dataset
from distill_core.experiment import Experiment
from distill_core.precision import FirstLayer
from distill_core.starts import load_start
from distill_core.teachers import load_teacher
from distill_core.text_objectives import method_of


def initial(experiment: Experiment, dataset: Dataset, *, seed: int) -> models.Network:
    """The student before its training, with the weights that the seed draws, or those that it starts from, compressed.

    Bits are not part of it: its weights are rounded in each step.
    """
    if experiment.start_from:
        network = load_start(experiment.start_from, experiment.student, dataset)
    else:
        network = models.build(experiment.student, image_shape=dataset.image_shape, classes=dataset.classes, seed=seed)
    if method_of(experiment.method).copies_blocks:
        copy_every_second_block(load_teacher(dataset, experiment.teacher).network, network)
    return compress(network, replace(parse_compression(experiment.compression), bits=32))


def copy_every_second_block(teacher: nn.Module, student: nn.Module) -> None:
    """Give a transformer of half the depth the teacher's weights: the first block, the third and so on, and all outside the blocks.

    Source: Sanh et al. 2019 (DistilBERT), section 3.
    """
    given = {}
    for name in student.state_dict():
        part, _, rest = name.partition(".")
        number, _, inner = rest.partition(".")
        given[name] = teacher.state_dict()[f"blocks.{2 * int(number)}.{inner}" if part == "blocks" else name]
    student.load_state_dict(given)


def empty(experiment: Experiment, dataset: Dataset) -> models.Network:
    """A network of the student's layers, for weights from a file; what it started from need not be there any more."""
    return initial(replace(experiment, start_from=""), dataset, seed=experiment.seed)


def count_parameters(experiment: Experiment, dataset: Dataset) -> int:
    """Weights and biases of the student, those that are pruned apart."""
    if not experiment.compression:
        return models.count_parameters(experiment.student, image_shape=dataset.image_shape, classes=dataset.classes)
    network = empty(experiment, dataset)
    return nonzero(network) if parse_compression(experiment.compression).prune else models.parameters(network)


class Constraint:
    """What training keeps of a compressed student: weights that start at 0 stay 0, and the loss is that of rounded weights."""

    def __init__(self, experiment: Experiment, weights: Mapping[str, Tensor]) -> None:
        chosen = parse_compression(experiment.compression)
        self.bits = chosen.bits if chosen.bits < 32 else 0
        matrices = {name: weight for name, weight in weights.items() if weight.ndim > 1} if experiment.compression else {}
        self.names = set(matrices)
        self.masks = {name: (weight.detach() != 0).to(weight.dtype) for name, weight in matrices.items()} if chosen.prune else {}
        self._is_stacked = False

    @classmethod
    def stacked(cls, members: Sequence[Constraint]) -> Constraint:
        """The same for weights `(K, ...)` of K networks."""
        one = copy.copy(members[0])
        one.masks = {name: torch.stack([member.masks[name] for member in members]) for name in one.masks}
        one._is_stacked = True
        return one

    def keep_zeros(self, gradients: Mapping[str, Tensor]) -> None:
        """Set the gradients of pruned weights to 0: an optimizer without weight decay then leaves these weights at 0."""
        for name, mask in self.masks.items():
            gradients[name].mul_(mask)

    def rounded(self, weights: dict[str, Tensor]) -> dict[str, Tensor]:
        """The weights with which the network computes; a gradient passes to those that are trained."""
        if not self.bits:
            return weights

        def of_one(weight: Tensor) -> Tensor:
            return fake_quantise(weight, bits=self.bits)

        on_grid = vmap(of_one) if self._is_stacked else of_one
        return {name: on_grid(weight) if name in self.names else weight for name, weight in weights.items()}

    def forward(self, network: nn.Module, images: Tensor, first_layer: FirstLayer | None = None) -> tuple[Tensor, list[Tensor]]:
        """Logits `(B, C)` and block outputs of a network with the weights that it computes with.

        They are its own without bits, and without a `first_layer` that takes whole pixels.
        """
        if not self.bits and first_layer is None:
            return network(images, features=True)
        weights = self.rounded(dict(network.named_parameters()))
        return functional_call(network, first_layer.fold_names(weights) if first_layer else weights, (images,), {"features": True})

    def applied(self, network: nn.Module) -> nn.Module:
        """The network with rounded weights: itself if it has no bits, otherwise a copy."""
        if not self.bits:
            return network
        found = copy.deepcopy(network)
        with torch.no_grad():
            found.load_state_dict(self.rounded(dict(network.named_parameters())))
        return found
