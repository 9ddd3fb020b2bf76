"""What carries the knowledge: students that get only the teacher's soft targets, on images that are less and less like digits.

No student gets a label or an image of the data set itself but those of the first arm.
Source: Menghani and Ravi 2019, *Learning from a Teacher using Unlabeled Data*, abstract.
"""

from __future__ import annotations

import torch
from torch import Tensor

from distill_core import teachers
from distill_core.data import datasets
from distill_core.data.dataset import Dataset, seeded
from distill_core.together import Results, Together, results

STUDENT, TEMPERATURE, EPOCHS = "mlp-100x2", 4.0, 15
DIGITS, BLENDS, TURNED, NOISE = "the digits", "blends of two digits", "digits turned by 90\u00b0", "noise"


def run(seeds: int) -> Results:
    """A student of each kind of image, each beside the same network untrained."""
    dataset = datasets.load("digits")
    teacher = teachers.load_teacher(dataset, teachers.default_teacher("digits")).network
    untrained = Together(STUDENT, dataset, range(seeds)).accuracies()
    found = {}
    for arm, images in kinds(dataset).items():
        soft = (teachers.logits(teacher, dataset, images) / TEMPERATURE).softmax(dim=-1)
        students = Together(STUDENT, dataset, range(seeds))
        students.fit(images, soft, epochs=EPOCHS, learning_rate=0.003, temperature=TEMPERATURE)
        found[arm] = results(students.accuracies(), untrained, dataset)
    return found


def kinds(dataset: Dataset) -> dict[str, Tensor]:
    """By arm as many images as the training set has, `(N, D, H, W)` uint8. Noise: each pixel drawn uniformly."""
    images = dataset.train_images
    order = torch.randperm(len(images), generator=seeded(0, "blends"))
    return {
        DIGITS: images,
        BLENDS: ((images.int() + images[order].int()) // 2).to(torch.uint8),
        TURNED: torch.rot90(images, dims=(-2, -1)),
        NOISE: torch.randint(256, images.shape, dtype=torch.uint8, generator=seeded(0, "noise")),
    }
