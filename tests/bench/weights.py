"""How the default weights of METHODS were chosen: on held-out training images, never on the test set.

`python -m tests.bench.weights` prints, for each method whose loss has a scale of its own, the mean gain over the baseline
for a range of ratios of the method's loss to the hard loss, `(1 - alpha) * weight / alpha`. The seeds are used nowhere else.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from unittest import mock

import torch

from distill_core import objectives, teachers
from distill_core.data import datasets
from distill_core.experiment import Experiment
from distill_core.objectives import METHODS
from distill_core.training import cohort, run_data
from distill_core.training.run_data import RunData
from distill_core.training.shards import Shards

HELD_OUT = 5000
SEEDS = range(100, 103)
RATIOS = (0.3, 1, 3, 10, 30, 100, 300, 1000)
CHOSEN = (
    "logits-standardized",
    "correlation-standardized",
    "hints",
    "attention",
    "similarity",
    "distances",
    "angles",
    "contrastive",
    "mutual-2",
)
SETTINGS = {
    "MNIST, 1,000 images, mlp-30x2": Experiment(dataset="mnist", teacher="mlp-1200x2", images=1000, epochs=20),
    "CIFAR-10, 2,000 images, cnn-4": Experiment(
        dataset="cifar10-jpeg", teacher="cnn-32", student="cnn-4", images=2000, epochs=10, batch_size=64
    ),
}


def on_held_out_images(experiments: Sequence[Experiment], **choices: object) -> RunData:
    """`load_run_data`, with training images that are in no seed's transfer set in place of the test images."""
    data, first = run_data.load_run_data(experiments, **choices), experiments[0]
    dataset, rest = data.dataset, torch.ones(data.labels.shape[1], dtype=torch.bool)
    for seed in SEEDS:
        rest[datasets.choose_images(dataset.train_labels, images=first.images, hide_classes=(), seed=seed)] = False
    chosen = rest.nonzero().flatten()[:HELD_OUT]
    dataset = replace(dataset, test_images=dataset.train_images[chosen], test_labels=dataset.train_labels[chosen])
    return replace(
        data, dataset=dataset, teacher_test_logits=teachers.logits(data.teachers[0].network, dataset, dataset.test_images).unsqueeze(0)
    )


def accuracy(experiment: Experiment) -> float:
    """Mean accuracy over the seeds, in percent."""
    shards = Shards([replace(experiment, seed=seed) for seed in SEEDS], roles=("student",), quiet=True)
    results = [record for records in shards.steps() for record in records if record["event"] == "result"]
    return 100 * sum(result["student"]["test_accuracy"] for result in results) / len(results)


def main(names: list[str]) -> None:
    """Print a table for each setting."""
    for setting, usual in SETTINGS.items():
        baseline = accuracy(usual.baseline)
        print(f"{setting}: baseline {baseline:.2f} %, soft targets {accuracy(usual) - baseline:+.2f}", flush=True)
        for name in names or CHOSEN:
            try:
                experiment = replace(usual, method=name)
            except ValueError:
                continue
            for ratio in RATIOS:
                method = replace(METHODS[name], weight=ratio * usual.alpha / (1 - usual.alpha))
                began = time.perf_counter()
                with mock.patch.dict(objectives.METHODS, {name: method}):
                    gain = accuracy(experiment) - baseline
                print(f"    {name:12} {ratio:7g} {gain:+.2f}   ({time.perf_counter() - began:.0f} s)", flush=True)


if __name__ == "__main__":
    with mock.patch.object(cohort, "load_run_data", on_held_out_images):
        main(sys.argv[1:])
