"""Tools for K networks whose weights are stacked along a first dimension: the first layer, the optimizer, the memory."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from distill_core.experiment import Experiment


class StackedOptimizer:
    """`schedule.make_optimizer` for weights that are one long tensor: the same kernels of PyTorch, and nothing around them.

    What `torch.optim` does around them in each step takes as long as a fifth of a step of `mlp-30x2`.
    """

    def __init__(self, experiment: Experiment, weights: Tensor) -> None:
        self.weights, self.gradient = weights, torch.zeros_like(weights)
        self.sgd = experiment.optimizer == "sgd"
        names = ("momentum",) if self.sgd else ("mean", "mean_square")  # of the gradients so far
        self.state = {name: torch.zeros_like(weights) for name in names} | {"steps": torch.zeros((), device=weights.device)}

    @torch.inference_mode()
    def step(self, learning_rate: float | Tensor) -> None:
        """One step along `self.gradient`. A `learning_rate` that is a tensor is on the device of the weights."""
        (*state, steps), both = ([value] for value in self.state.values()), ([self.weights], [self.gradient])
        steps[0].add_(1)
        common = {"lr": learning_rate, "weight_decay": 0.0, "maximize": False}
        if self.sgd:
            torch._fused_sgd_(*both, *state, momentum=0.9, dampening=0.0, nesterov=False, is_first_step=False, **common)
        else:
            torch._fused_adam_(*both, *state, [], steps, beta1=0.9, beta2=0.999, eps=1e-8, amsgrad=False, **common)


def views(flat: Tensor, shapes: dict[str, torch.Size]) -> dict[str, Tensor]:
    """A long tensor as tensors of these shapes, which share its memory."""
    parts = flat.split([shape.numel() for shape in shapes.values()])
    return {name: part.view(shape) for (name, shape), part in zip(shapes.items(), parts, strict=True)}


class AfterStem(nn.Module):
    """`Network.after_stem` as a module, so that `functional_call` can use one member's weights."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, hidden: Tensor, *, features: bool) -> Tensor | tuple[Tensor, list[Tensor]]:
        return self.network.after_stem(hidden, features=features)


def wide_stem(stem: nn.Module, weight: Tensor, bias: Tensor | None, images: Tensor) -> Tensor:
    """The first layer of K networks as one wide product for each of S seeds: images `(S, B, D, H, W)` to `(K, B, ...)`.

    Networks of one seed have the same images, so their first layers stand side by side like one layer with more units.
    """
    seeds, batch = images.shape[:2]
    if isinstance(stem, nn.Embedding):  # weight (K, V, D), images (S, B, L) tokens: to (K, B, L, D)
        side_by_side = weight.unflatten(0, (seeds, -1)).transpose(1, 2).flatten(2)  # (S, V, M * D)
        hidden = torch.stack([nn.functional.embedding(own, table) for own, table in zip(images, side_by_side, strict=True)])
        return hidden.unflatten(-1, (-1, weight.shape[-1])).movedim(-2, 1).flatten(0, 1)
    if isinstance(stem, nn.Linear):
        wide = weight.reshape(seeds, -1, weight.shape[-1])  # (S, M * units, pixels)
        hidden = torch.baddbmm(bias.reshape(seeds, 1, -1), images.flatten(2), wide.transpose(1, 2))  # (S, B, M * units)
        return hidden.view(seeds, batch, -1, weight.shape[1]).transpose(1, 2).reshape(-1, batch, weight.shape[1])
    side_by_side = images.transpose(0, 1).flatten(1, 2)  # (B, S * D, H, W)
    maps = nn.functional.conv2d(side_by_side, weight.flatten(0, 1), bias.flatten(), padding=stem.padding, groups=seeds)
    return maps.unflatten(1, weight.shape[:2]).transpose(0, 1)  # (B, K, channels, H, W) -> (K, B, channels, H, W)
