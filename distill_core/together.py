"""Together: networks of one shape that train at once, each with its own weights, and results in the form of a race's."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.func import functional_call, stack_module_state, vmap
from torch.nn import functional as F

from distill_core import models
from distill_core.data.dataset import Dataset, seeded

Results = dict[str, list[dict]]  # by arm, one dictionary per seed


class Together:
    """K networks `model` with C outputs, by default one for each class; `weight_seeds` set their initial weights.

    Equal seeds give equal weights.
    """

    def __init__(self, model: str, dataset: Dataset, weight_seeds: Sequence[int], *, outputs: int = 0) -> None:
        outputs = outputs or dataset.classes
        networks = [models.build(model, image_shape=dataset.image_shape, classes=outputs, seed=seed) for seed in weight_seeds]
        self.dataset, self.network, self.outputs = dataset, networks[0], outputs
        self.weights, self.buffers = stack_module_state(networks)

    def fit(
        self,
        images: Tensor,
        targets: Tensor,
        *,
        epochs: int,
        batch_size: int = 32,
        learning_rate: float = 0.01,
        temperature: float = 1.0,
        outputs: slice = slice(None),
        seed: int = 0,
    ) -> Together:
        r"""Train all networks at once with Adam on soft targets; returns itself.

        $$L = -T^2\,\frac{1}{B} \sum_i \sum_c t_{ic} \log \mathrm{softmax}(z_i / T)_c$$

        - `images`: `(K, n, D, H, W)` uint8, each network's own; `(n, D, H, W)` where all have the same; pixels as floats are not
          normalised again. `targets`: probabilities `(K, n, c)`, or `(n, c)` for all. Where the teacher's T is not 1, they are
          softened already.
        - `outputs`: which c of the outputs the loss compares. `seed` sets the order of the images, which all networks share.
        """
        own_images, own_targets = images.dim() == 5, targets.dim() == 3
        pixels = images if images.is_floating_point() else self.dataset.pixels(images)

        def loss(weights: dict, buffers: dict, batch: Tensor, wanted: Tensor) -> Tensor:
            logits = functional_call(self.network, (weights, buffers), (batch,))[..., outputs]
            return temperature**2 * F.cross_entropy(logits / temperature, wanted)

        together = vmap(loss, in_dims=(0, 0, 0 if own_images else None, 0 if own_targets else None))
        for weight in self.weights.values():
            weight.requires_grad_(True)
        optimizer = torch.optim.Adam(self.weights.values(), lr=learning_rate, fused=True)
        for epoch in range(epochs):
            order = torch.randperm(targets.shape[-2], generator=seeded(seed, "order", epoch))
            for batch in order.split(batch_size):
                own = pixels[:, batch] if own_images else pixels[batch]
                wanted = targets[:, batch] if own_targets else targets[batch]
                optimizer.zero_grad()
                together(self.weights, self.buffers, own, wanted).sum().backward()  # no loss depends on another network's weights
                optimizer.step()
        return self

    @torch.no_grad()
    def logits(self, images: Tensor) -> Tensor:
        """`(K, n, C)` for images `(n, D, H, W)` uint8, or pixels as floats."""
        pixels = images if images.is_floating_point() else self.dataset.pixels(images)
        return vmap(lambda weights, buffers: functional_call(self.network, (weights, buffers), (pixels,)))(self.weights, self.buffers)

    def accuracies(self) -> Tensor:
        """`(K,)`: the fraction of test images that each network classifies correctly, by its first outputs."""
        predicted = self.logits(self.dataset.test_images)[..., : self.dataset.classes].argmax(dim=-1)
        return (predicted == self.dataset.test_labels).double().mean(dim=-1)


def one_hot(labels: Tensor, dataset: Dataset) -> Tensor:
    """Labels of any shape as probabilities `(..., C)`."""
    return F.one_hot(labels, dataset.classes).float()


def results(student: Tensor, baseline: Tensor, dataset: Dataset) -> list[dict]:
    """Accuracies `(seeds,)` of both in the form of a race's results."""
    both = zip(student.tolist(), baseline.tolist(), strict=True)
    images = len(dataset.test_labels)
    return [{role: {"test_accuracy": value, "test_images": images} for role, value in (("student", s), ("baseline", b))} for s, b in both]
