"""The benchmarks run, and measure the code of the lab."""

from __future__ import annotations

import importlib.util

import pytest
import torch

from distill_core import teachers
from distill_core.data import datasets
from distill_core.experiment import Experiment
from tests.bench import cifar, training, usual_loop
from tests.bench.__main__ import SUBJECTS
from tests.bench.measure import Figure, ratios

SMALL = Experiment(images=64, epochs=1, batch_size=32, augmentation="fixed")


@pytest.mark.parametrize("subject", SUBJECTS)
def test_every_subject_is_a_module(subject):
    assert importlib.util.find_spec(f"tests.bench.{subject}")


def test_an_epoch_of_ours_trains_alone_and_as_a_cohort():
    before = torch.get_rng_state()
    cifar.our_epoch(SMALL)()
    training.steps_of(SMALL)()
    assert torch.equal(before, torch.get_rng_state())


def test_the_usual_loop_trains_on_any_data_set():
    dataset = datasets.load("digits")
    images = torch.utils.data.TensorDataset(dataset.pixels(dataset.test_images), dataset.test_labels)
    teacher = teachers.load_teacher(dataset, "mlp-1200x2").network
    usual_loop.loop_over(images, teacher, "mlp-10x1", image_shape=dataset.image_shape)()


def test_operations_count_matrix_products_only():
    inputs, hidden, classes, images = 64, 10, 10, 1438
    forward, backward = inputs * hidden + hidden * classes, inputs * hidden + 2 * hidden * classes  # no gradient of the images
    assert training.operations(Experiment(student="mlp-10x1")) == 2 * 2 * images * (forward + backward)


def test_a_figure_meets_its_goal_by_its_median():
    figure = Figure("ratio", ratios({"slow": [4.0, 9.0, 8.0], "quick": [2.0, 1.0, 2.0]}, "slow", "quick"), "x", "at least 4")
    assert figure.median == 4 and figure.reached and "at least 4: yes" in figure.row()
    assert not Figure("seconds", [1.1], "s", "at most 1").reached
