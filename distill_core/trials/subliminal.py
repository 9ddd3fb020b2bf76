"""Subliminal learning: a student that sees only noise, and only outputs that stand for no class, learns the digits.

Teacher and student have three outputs beside those of the classes. The teacher learns the classes from labels; nothing trains
its extra outputs. The student is distilled on images of noise, and only its extra outputs are compared with the teacher's.
Source: Cloud et al. 2025, section 6.2, of MNIST.
"""

from __future__ import annotations

import torch

from distill_core.data import datasets
from distill_core.data.dataset import seeded
from distill_core.together import Results, Together, one_hot, results

MODEL, EXTRA = "mlp-256x2", 10
NOISE_IMAGES, LEARNING_RATE = 2048, 0.0003
SAME, OTHER = "the teacher's own initial weights", "other initial weights"


def run(seeds: int) -> Results:
    """Students from the teacher's initial weights and from others, each beside its own network before the training."""
    dataset = datasets.load("digits")
    own, other = list(range(seeds)), list(range(1000, 1000 + seeds))
    outputs = dataset.classes + EXTRA
    teachers = Together(MODEL, dataset, own, outputs=outputs)
    teachers.fit(
        dataset.train_images,
        one_hot(dataset.train_labels, dataset),
        epochs=10,
        learning_rate=LEARNING_RATE,
        outputs=slice(dataset.classes),
    )
    noise = torch.rand((NOISE_IMAGES, *dataset.image_shape), generator=seeded(0, "noise")).mul(4).sub(2)  # as wide as the digits' pixels
    extra = slice(dataset.classes, outputs)
    targets = teachers.logits(noise)[..., extra].softmax(dim=-1)
    found = {}
    for arm, weight_seeds in ((SAME, own), (OTHER, other)):
        before = Together(MODEL, dataset, weight_seeds, outputs=outputs)
        untrained = before.accuracies()
        after = before.fit(noise, targets, epochs=20, batch_size=64, learning_rate=LEARNING_RATE, outputs=extra)
        found[arm] = results(after.accuracies(), untrained, dataset)
    return found
