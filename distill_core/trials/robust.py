"""Robustness: is the lead of a distilled student the same on images that are noisy, blurred, shifted or pale?"""

from __future__ import annotations

from dataclasses import replace

import torch

from distill_core import teachers
from distill_core.experiment import Experiment
from distill_core.studies.ladder import CHANGES
from distill_core.together import Results, results
from distill_core.training.cohort import Cohort

EXPERIMENT = Experiment(images=200, temperature=4.0, alpha=0.1, epochs=60)
CLEAN = "unchanged"


def run(seeds: int) -> Results:
    """Students and baselines of one race, tested on the test images as they are and after each change."""
    cohort = Cohort([replace(EXPERIMENT, seed=seed) for seed in range(seeds)], quiet=True, device="cpu")
    for _ in cohort.steps():
        pass
    dataset = cohort.data.dataset
    found = {}
    for name, change in {CLEAN: None, **CHANGES}.items():
        images = change(dataset.test_images, dataset) if change else dataset.test_images
        places = torch.tensor([cohort.pair(experiment) for experiment in cohort.experiments])  # (seeds, 2): student, baseline
        predicted = [teachers.logits(cohort.member(int(k)), dataset, images).argmax(dim=-1) for k in places.flatten()]
        accuracies = (torch.stack(predicted) == dataset.test_labels).double().mean(dim=-1).view(-1, 2)
        found[name] = results(*accuracies.T, dataset)
    return found
