"""Few images that differ against many that are alike: which transfer set is the better one for the same teacher?

A student is distilled on few images that differ as much as possible, on as few that resemble the mean of their class, or on
four times as many of those; it is compared with a student of as few images drawn at random.
"""

from __future__ import annotations

import torch
from torch import Tensor

from distill_core import teachers
from distill_core.data import datasets
from distill_core.data.dataset import Dataset, seeded
from distill_core.together import Results, Together, results

STUDENT = "mlp-30x2"
FEW, MANY, STEPS = 50, 200, 1000
TEMPERATURE = 4.0
DIVERSE, FEW_ALIKE, MANY_ALIKE = f"{FEW} images that differ", f"{FEW} images that are alike", f"{MANY} images that are alike"


def run(seeds: int) -> Results:
    """Students of the three sets, each beside a student of `FEW` images drawn at random; all take the same number of steps."""
    dataset = datasets.load("digits")
    teacher = teachers.load_teacher(dataset, teachers.default_teacher("digits")).network
    logits = teachers.logits(teacher, dataset, dataset.train_images)
    soft = (logits / TEMPERATURE).softmax(dim=-1)

    def students(chosen: Tensor) -> Tensor:
        together = Together(STUDENT, dataset, range(seeds))
        epochs = STEPS * 25 // chosen.shape[1]
        together.fit(dataset.train_images[chosen], soft[chosen], epochs=epochs, batch_size=25, temperature=TEMPERATURE)
        return together.accuracies()

    count = len(dataset.train_labels)
    drawn = torch.stack([torch.randperm(count, generator=seeded(seed, "drawn"))[:FEW] for seed in range(seeds)])
    random = students(drawn)
    sets = {
        DIVERSE: torch.stack([far_apart(dataset, FEW, seed) for seed in range(seeds)]),
        FEW_ALIKE: nearest_to_means(dataset, FEW).expand(seeds, -1),
        MANY_ALIKE: nearest_to_means(dataset, MANY).expand(seeds, -1),
    }
    return {arm: results(students(chosen), random, dataset) for arm, chosen in sets.items()}


def far_apart(dataset: Dataset, count: int, seed: int) -> Tensor:
    """`(count,)`: training images, each the one farthest from all before it, from a first one that the seed draws.

    Source: Gonzalez 1985, *Clustering to minimize the maximum intercluster distance* (section not checked).
    """
    pixels = dataset.train_images.flatten(1).float()
    chosen = [int(torch.randint(len(pixels), (), generator=seeded(seed, "first image")))]
    nearest = torch.full((len(pixels),), torch.inf)
    while len(chosen) < count:
        nearest = torch.minimum(nearest, (pixels - pixels[chosen[-1]]).norm(dim=1))
        chosen.append(int(nearest.argmax()))
    return torch.tensor(chosen)


def nearest_to_means(dataset: Dataset, count: int) -> Tensor:
    """`(count,)`: of each class as many training images, those nearest to the mean of their class."""
    pixels, labels = dataset.train_images.flatten(1).float(), dataset.train_labels
    chosen = []
    for label in range(dataset.classes):
        own = torch.nonzero(labels == label).flatten()
        distance = (pixels[own] - pixels[own].mean(dim=0)).norm(dim=1)
        chosen.append(own[distance.argsort()[: count // dataset.classes]])
    return torch.cat(chosen)
