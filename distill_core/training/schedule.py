"""The pace of a run: steps, learning rate, optimizer, and the steps at which it is measured."""

from __future__ import annotations

import functools
import math
from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from distill_core.experiment import Experiment

MOST_RECORDS = 400  # of one network, where they do not come once an epoch
STEPS_PER_TEXT = 200  # steps of one network, at least, for each text that student and baseline write


@dataclass(frozen=True)
class Schedule:
    """When an experiment on n `images` takes which step, and when it is tested on `test_images`."""

    experiment: Experiment
    images: int
    test_images: int

    @functools.cached_property
    def steps_per_epoch(self) -> int:
        """Steps in which each image is used once; the last batch may be smaller."""
        return math.ceil(self.images / self.experiment.batch_size)

    @functools.cached_property
    def steps(self) -> int:
        """Steps of the whole training."""
        return self.steps_per_epoch * self.experiment.epochs

    def progress(self, step: int) -> float:
        """The fraction of the training that is done before this step."""
        return step / self.steps

    def learning_rate(self, step: int) -> float:
        """The learning rate of one step. One-cycle rises linearly over the first 30 % of the steps, then falls linearly to 0."""
        if self.experiment.schedule == "constant":
            return self.experiment.learning_rate
        done = (step + 1) / (self.steps + 1)
        return self.experiment.learning_rate * min(done / 0.3, (1 - done) / 0.7)

    @functools.cached_property
    def log_steps(self) -> dict[int, str]:
        """The steps after which there is a record: `"test"` with test accuracy, `"losses"` with the losses alone.

        Set by the experiment and never by the clock, so that a run has the same records each time. There is one after each
        epoch. Long epochs have one after each eighth, as far as a chart can show so many, and the first of them tests early:
        a curve should form at once. Where the transfer set is small, not every epoch is tested: testing takes no longer
        than training, but there are at least ten tests.
        """
        steps, epochs = self.steps_per_epoch, self.experiment.epochs
        marks: dict[int, str] = {}
        if steps >= 64:
            parts = max(1, min(8, MOST_RECORDS // epochs))
            marks |= {round(steps * part / parts): "losses" for part in range(1, parts * epochs)}
            marks |= {round(steps * eighth / 8): "test" for eighth in (1, 2, 4)}
        marks |= {steps * epoch: "losses" for epoch in range(1, epochs)}
        # A training step costs three times a test's.
        tests = min(epochs, max(10, 3 * self.images * epochs // self.test_images))
        return marks | {steps * round(epochs * test / tests): "test" for test in range(tests + 1)}

    def sampled_epochs(self, networks: int) -> frozenset[int]:
        """After which epochs language models write a text, as far as they are tested then: 0, the last, and some between them.

        More often at the beginning, when they learn most. There are nine at most, and fewer in a short training of few `networks`,
        so that writing takes less than 2 % of its time; but always two.
        """
        parts = max(2, min(9, self.steps * networks // STEPS_PER_TEXT)) - 1
        return frozenset(round(self.experiment.epochs * (part / parts) ** 2) for part in range(parts + 1))


def make_optimizer(experiment: Experiment, parameters: Iterable[Tensor]) -> torch.optim.Optimizer:
    """Adam, or SGD with momentum 0.9; neither with weight decay."""
    if experiment.optimizer == "sgd":
        return torch.optim.SGD(parameters, lr=experiment.learning_rate, momentum=0.9, fused=True)
    return torch.optim.Adam(parameters, lr=experiment.learning_rate, fused=True)
