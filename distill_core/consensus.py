"""Be the teacher: people split 100 % over the classes of ten odd images, and a student learns from their consensus.

Three students learn the same ten images from three kinds of target: labels, the consensus, the soft targets of a network.
Ten images are few, so the students are weak; the same seeds and all other test images make the comparison fair.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from distill_core import teachers
from distill_core.data import datasets
from distill_core.data.datasets import Dataset
from distill_core.data.image_order import entropy
from distill_core.statistics import mean_interval, paired_difference
from distill_core.together import Together

LABELS, CLASS, NETWORK = "labels", "class", "network"
STUDENT, SEEDS, STEPS, LEARNING_RATE = "mlp-30x2", 20, 100, 0.01


def odd_images(logits: Tensor, labels: Tensor) -> list[int]:
    """Of each class the image with the highest entropy of the teacher's prediction: the index of one image per class.

    - `logits`: `(N, C)` of the teacher, `labels`: `(N,)`. A class without an image is left out.
    """
    uncertainty = entropy(logits)
    return [int(torch.where(labels == c, uncertainty, -1.0).argmax()) for c in range(logits.shape[-1]) if (labels == c).any()]


def compare(dataset: str, images: Sequence[int], consensus: Sequence[Sequence[float]], teacher: str = "") -> dict:
    """The three students, on a worker. `images`: test images by index; `consensus`: for each its probabilities.

    Raises `ValueError` where there is no soft label, or the data set or teacher cannot be loaded.
    """
    if not images or len(images) != len(consensus):
        raise ValueError(f"{len(consensus)} soft labels for {len(images)} images cannot be learned from; give one for each")
    found = datasets.load(dataset)
    network = teachers.load_teacher(found, teacher or teachers.default_teacher(dataset)).network
    chosen = torch.tensor(list(images))
    targets = {
        LABELS: torch.nn.functional.one_hot(found.test_labels[chosen], found.classes).float(),
        CLASS: torch.tensor(consensus, dtype=torch.float32),
        NETWORK: teachers.logits(network, found, found.test_images[chosen]).softmax(dim=-1),
    }
    accuracies = train_on(found, chosen, targets)
    others = len(found.test_labels) - len(images)
    compared = {}
    for name in (LABELS, NETWORK):
        mean, low, high = paired_difference(accuracies[CLASS], accuracies[name], test_images=others)
        compared[name] = {"mean": float(mean), "low": float(low), "high": float(high)}
    return {
        "images": len(images),
        "test_images": others,
        "seeds": SEEDS,
        "student": STUDENT,
        "accuracy": {
            name: dict(zip(("mean", "low", "high"), mean_interval(values, within=(0, 100)), strict=True))
            for name, values in accuracies.items()
        },
        "class_minus": compared,
        "soft_labels": {name: [[round(p, 4) for p in row] for row in target.tolist()] for name, target in targets.items()},
    }


def train_on(dataset: Dataset, images: Tensor, targets: Mapping[str, Tensor]) -> dict[str, list[float]]:
    r"""Train one student per target and seed on test images by index `(n,)`; their accuracies in percent on all other test images.

    $$L = -\frac{1}{n} \sum_i \sum_c t_{ic} \log p_{ic}$$

    - `targets`: by name, probabilities `(n, C)`. All students of one seed start from the same weights, and every step uses
      all n images. None of the n is tested on.
    """
    students = Together(STUDENT, dataset, [*range(SEEDS)] * len(targets))
    wanted = torch.stack(list(targets.values())).repeat_interleave(SEEDS, dim=0)  # (students, n, C)
    students.fit(dataset.test_images[images], wanted, epochs=STEPS, batch_size=len(images), learning_rate=LEARNING_RATE)
    others = torch.ones(len(dataset.test_labels), dtype=torch.bool).index_fill(0, images, False)
    predicted = students.logits(dataset.test_images[others]).argmax(dim=-1)
    accuracies = (100 * (predicted == dataset.test_labels[others]).double().mean(dim=-1)).tolist()
    return {name: accuracies[place * SEEDS : (place + 1) * SEEDS] for place, name in enumerate(targets)}
