"""The benchmarks run, and measure the code of the lab."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
import torch
from browser_fixtures import ROOT

from distill_core import teachers
from distill_core.data import datasets
from distill_core.experiment import Experiment
from tests.bench import batches, cifar, training, usual_loop
from tests.bench.__main__ import SUBJECTS
from tests.bench.measure import Figure, ratios
from tests.bench.rows import accuracies, go_on, kept

SMALL = Experiment(images=64, epochs=1, batch_size=32, augmentation="fixed")


def test_every_subject_is_a_module_that_can_be_run_outside_pytest():
    imports = "; ".join(f"import tests.bench.{subject}" for subject in SUBJECTS)
    subprocess.run([sys.executable, "-c", imports], cwd=ROOT, env=os.environ | {"PYTHONPATH": ""}, check=True)


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


def test_a_measurement_goes_on_where_it_was_stopped(tmp_path):
    file, wanted, measured = tmp_path / "rows.json", [{"images": n} for n in range(4)], []

    def measure(choices):
        if len(measured) == 2:
            raise KeyboardInterrupt
        measured.append(choices)
        return {"seconds": 1.0}

    with pytest.raises(KeyboardInterrupt):
        list(go_on(file, wanted, measure))
    assert [row["images"] for row in kept(file)] == [0, 1]
    rest = []
    rows = list(go_on(file, wanted, lambda choices: rest.append(choices) or {"seconds": 2.0}))
    assert rest == wanted[2:] and [row["seconds"] for row in rows] == [1, 1, 2, 2]


def test_a_row_has_the_accuracies_of_all_seeds_in_percent():
    row = accuracies(
        [Experiment(images=50, epochs=1, student="mlp-8x1", validation=100, seed=seed) for seed in (0, 1)], field="test_accuracy"
    )
    assert len(row["student"]) == len(row["baseline"]) == 2 and 1 < min(row["student"]) <= 100 and row["seconds"] > 0


def test_the_fastest_batch_is_chosen_of_those_that_are_not_below_the_default():
    def row(batch_size, seconds, above=0.0, network="mlp-30x2"):
        values = [90 + seed / 10 + above for seed in range(10)]
        return {"network": network, "images": 1000, "batch_size": batch_size, "learning_rate": 0.01, "seconds": seconds} | dict.fromkeys(
            ("student", "baseline"), values
        )

    rows = [row(32, 9.0), row(64, 5.0), row(128, 3.0, -0.02), row(256, 1.0, -1.0)]
    assert batches.chosen(rows, 1000)["batch_size"] == 128
    others = [row(32, 9.0, network="cnn-4"), row(64, 5.0, 0.5, "cnn-4"), row(128, 3.0, -1.0, "cnn-4")]
    assert batches.chosen([*rows, *others], 1000)["batch_size"] == 64  # 256 was not measured for all, 128 is worse for one
    assert batches.chosen(rows, 200) is None
