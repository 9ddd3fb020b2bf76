"""Tuning: the temperature and the weight of a method, chosen on validation images with seeds that are used nowhere else.

Of a text they are chosen on the stretch that is held out, by the fewest bits a character.

Every method has the same number of settings to choose from. Where the temperature has an effect, they are three
temperatures by three weights; where it has none, nine weights. The weight of a loss beside the hard loss is set through
alpha: what counts is the ratio of both, `(1 - alpha) * weight / alpha`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from distill_core.data.datasets import is_text
from distill_core.experiment import Experiment
from distill_core.statistics import ACCURACY, BITS, Score
from distill_core.training.cohort import cohorts
from distill_core.training.loop import make_learners, train_step
from distill_core.training.run_data import RunData, load_run_data
from distill_core.training.shards import Shards

SEEDS = (1000, 1001)
TEMPERATURES = (1.0, 4.0, 10.0)
TEMPERATURES_OF_TEXT = (1.0, 2.0, 4.0)
RATIOS = (1 / 9, 1.0, 9.0)  # of the method's loss to the hard loss, as a multiple of that at alpha 0.1
MORE_RATIOS = tuple(3.0**power for power in range(-4, 5))


def alpha_of(ratio: float) -> float:
    r"""The alpha at which a method's loss counts `ratio` times as much beside the hard loss as at alpha 0.1.

    $$\frac{1 - \alpha}{\alpha} = 9 \, \mathrm{ratio} \quad \Rightarrow \quad \alpha = \frac{1}{1 + 9 \, \mathrm{ratio}}$$
    """
    return 1 / (1 + 9 * ratio)


def settings(experiment: Experiment, *, device: str = "auto") -> list[Experiment]:
    """The settings to choose from: the experiment at each temperature and alpha; only itself if neither has an effect."""
    data = load_run_data([experiment], device=device)
    if has_effect(experiment, {"temperature": 2 * experiment.temperature}, data):
        temperatures = TEMPERATURES_OF_TEXT if is_text(experiment.dataset) else TEMPERATURES
        return [replace(experiment, temperature=t, alpha=alpha_of(ratio)) for t in temperatures for ratio in RATIOS]
    if has_effect(experiment, {"alpha": 0.5 * (1 + experiment.alpha)}, data):
        return [replace(experiment, alpha=alpha_of(ratio)) for ratio in MORE_RATIOS]
    return [experiment]


def has_effect(experiment: Experiment, change: dict[str, float], data: RunData) -> bool:
    """Whether the method's step depends on this choice, at the end of its training: equal weights after one step show that not."""
    steps = [_weights_after_a_step(one, data) for one in (experiment, replace(experiment, **change))]
    return not torch.equal(*steps)


def _weights_after_a_step(experiment: Experiment, data: RunData) -> Tensor:
    learners = make_learners(experiment, data, ["student"])
    inputs = data.get_batch(next(data.batches(0)), 0)  # with text of the teacher, where the method has some
    train_step(learners, inputs, learning_rate=experiment.learning_rate, progress=1.0)
    return torch.cat([weight.detach().flatten() for weight in learners["student"].network.parameters()])


def tune(experiment: Experiment, *, device: str = "auto") -> tuple[Experiment, list[dict]] | None:
    """The best setting by its mean validation accuracy over SEEDS, and the list of all settings with theirs, in percent.

    Of a text it is the one with the fewest bits a character.

    None if the settings cannot train as one batched tensor: with networks between teacher and student, each setting would
    have to train these again. The test images are not read.
    """
    choices = settings(experiment, device=device)
    experiments = [replace(one, seed=seed) for one in choices for seed in SEEDS]
    if len(choices) > 1 and len(cohorts(experiments)) > 1:
        return None
    score = BITS if is_text(experiment.dataset) else ACCURACY
    means = np.reshape(validation_scores(experiments, score=score, device=device), (len(choices), len(SEEDS))).mean(axis=1)
    tried = [
        {"temperature": one.temperature, "alpha": one.alpha, score.validation: round(float(mean), 4)}
        for one, mean in zip(choices, means, strict=True)
    ]
    return choices[int((score.sign * means).argmax())], tried


def validation_scores(experiments: Sequence[Experiment], *, score: Score, device: str = "auto") -> list[float]:
    """The validation accuracy in percent of each experiment's student after its training, without its baseline; of a text bits."""
    return [score.scale * value for value in Shards(experiments, device=device, roles=("student",), quiet=True).validate()]
