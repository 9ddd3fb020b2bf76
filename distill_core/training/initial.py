"""The untrained networks of a run: the seed sets all initial weights."""

from __future__ import annotations

import torch
from torch import nn

from distill_core import models, students
from distill_core.data.datasets import Dataset
from distill_core.experiment import Experiment
from distill_core.precision import FirstLayer
from distill_core.text_objectives import method_of
from distill_core.training.run_data import RunData, block_outputs, draw_seed

MEMBERS = ("student", "baseline")


def initial_student(experiment: Experiment, dataset: Dataset, *, member: str = "student") -> models.Network:
    """The student before its training. The baseline starts from the same weights; peers, assistants and generation 0 from others.

    A baseline has no block of a teacher: where the method copies some into the student, it starts from the weights that the seed draws.
    """
    experiment = experiment.baseline if member == "baseline" else experiment
    seed = experiment.seed if member in MEMBERS else draw_seed(experiment.seed, member)
    return students.initial(experiment, dataset, seed=seed)


def first_layer(experiment: Experiment, data: RunData, network: nn.Module) -> FirstLayer | None:
    """How the student's first layer takes whole pixels; None in float32, and for a first layer that is none of units."""
    if experiment.precision == "float32" or not isinstance(network.stem, nn.Linear):
        return None
    return FirstLayer(*data.dataset.pixel_mean_std, data.dataset.image_shape, data.dtype)


def initial_regressor(experiment: Experiment, data: RunData, network: nn.Module, teacher: nn.Module | None) -> nn.Module | None:
    """The untrained layer that the method trains with the student; None if it has none. Of both networks only the shapes count."""
    make = method_of(experiment.method).make_regressor
    if make is None:
        return None
    one = data.pixels(data.indices[0, :1])
    with torch.no_grad():
        shapes = block_outputs(network, one), block_outputs(teacher, one)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(experiment.seed)
        return make(*shapes).to(data.device, data.dtype)
