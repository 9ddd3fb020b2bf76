"""The grid that the advisor rests on: students of several sizes, temperatures and alphas at several numbers of labels.

`python -m distill_core advise --keep` measures it, one row after another, and goes on where it was stopped; `advice.json` has
the rows. A row is one student at one number of labels: ten seeds of every T and alpha, and of labels alone, which is alpha 1.
Each seed has validation images, on which the advisor chooses, and the test accuracy, which it reports.
"""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from distill_core import models, paths
from distill_core.data.datasets import DATASETS
from distill_core.experiment import RESULT_VERSION, Experiment
from distill_core.studies.comparison import machine
from distill_core.studies.sweep import Grid
from distill_core.training.shards import Shards

SHIPPED = Path(__file__).with_name("advice.json")
SEEDS = 10
TEMPERATURES = (1.0, 2.0, 4.0, 8.0)
ALPHAS = (0.1, 0.5)
LABELS_ALONE = 1.0  # the alpha of the baseline

_DIGITS = Experiment(dataset="digits", validation=300, epochs=60, batch_size=16)
_MNIST = Experiment(dataset="mnist", validation=2000, epochs=20)
_OF_DIGITS = ("linear", "mlp-5x2", "mlp-10x2", "mlp-30x2")
_OF_MNIST = ("linear", "mlp-6x2", "mlp-10x2")  # convolutions take twenty times as long for each image here

# The recipe at each number of labels, and the students that are measured there.
CELLS: dict[tuple[str, int], tuple[Experiment, tuple[str, ...]]] = {
    ("digits", 100): (_DIGITS, (*_OF_DIGITS, "cnn-4")),
    ("digits", 300): (_DIGITS, _OF_DIGITS),
    ("digits", 1000): (replace(_DIGITS, epochs=30), _OF_DIGITS),
    ("mnist", 200): (replace(_MNIST, epochs=60, batch_size=16), _OF_MNIST),
    ("mnist", 1000): (replace(_MNIST, epochs=30), _OF_MNIST),
    ("mnist", 2000): (_MNIST, _OF_MNIST),
}


def experiment_of(dataset: str, labels: int, student: str) -> Experiment:
    """The recipe of a row, before T and alpha are chosen. Raises `KeyError` for one that is not in CELLS."""
    return replace(CELLS[dataset, labels][0], images=labels, student=student)


def settings() -> list[tuple[float, float]]:
    """T and alpha of everything that is measured in a row, labels alone last."""
    return [(t, alpha) for t in TEMPERATURES for alpha in ALPHAS] + [(Experiment.temperature, LABELS_ALONE)]


def measure(*, seeds: int = SEEDS, before: Sequence[dict] = (), device: str = "auto") -> Iterator[dict]:
    """The rows of CELLS, the quickest first; those of `before` that have as many seeds and the same recipe are not measured again."""
    cells = [experiment_of(*cell, student) for cell, (_, students) in CELLS.items() for student in students]
    for experiment in sorted(cells, key=_work):
        if not any(is_current(row, experiment, seeds) for row in before):
            yield measure_row(experiment, seeds=seeds, device=device)


def _work(experiment: Experiment) -> int:
    """Multiplications of a student's forward passes in its training."""
    source = DATASETS[experiment.dataset]
    cost = models.cost(experiment.student, image_shape=source.image_shape, classes=len(source.class_names))
    return cost.multiplications * experiment.images * experiment.epochs


def measure_row(experiment: Experiment, *, seeds: int, device: str = "auto") -> dict:
    """Validation and test accuracy in percent, seed by seed, of every setting: all students of a row train as one batched tensor."""
    started, chosen = time.process_time(), settings()
    experiments = [replace(experiment, temperature=t, alpha=alpha, seed=seed) for t, alpha in chosen for seed in range(seeds)]
    found: dict[int, dict] = {}
    for records in Shards(experiments, device=device, roles=("student",), quiet=True).steps():
        found |= {one["experiment"]: one["student"] for one in records if one["event"] == "result"}
    measured = []
    for place, (t, alpha) in enumerate(chosen):
        own = [found[place * seeds + seed] for seed in range(seeds)]
        accuracies = {part: [round(100 * one[f"{part}_accuracy"], 4) for one in own] for part in ("validation", "test")}
        measured.append({"temperature": t, "alpha": alpha, **accuracies})
    return {
        "experiment": json.loads(experiment.to_json()),
        "parameters": found[0]["parameters"],
        "test_images": found[0]["test_images"],
        "settings": measured,
        "cpu_seconds": round(time.process_time() - started, 1),  # of all cores; the machine may have been busy
        "version": RESULT_VERSION,
        "date": time.strftime("%Y-%m-%d"),
        "machine": machine(),
    }


def is_current(row: dict, experiment: Experiment, seeds: int) -> bool:
    """Whether a row is of this recipe, by the training of today, with as many seeds or more."""
    same = Experiment.from_fields(row["experiment"]) == experiment and row["version"] == RESULT_VERSION
    return same and len(row["settings"][0]["test"]) >= seeds and [(s["temperature"], s["alpha"]) for s in row["settings"]] == settings()


def labels_alone(row: dict) -> dict:
    """The setting of a row in which the teacher is ignored."""
    return next(setting for setting in row["settings"] if setting["alpha"] == LABELS_ALONE)


def as_sweep(row: dict) -> tuple[Grid, dict, dict]:
    """A row as a sweep over T and alpha: its grid, and its accuracies on the test and on the validation images.

    Both are by (race, member), each one pair of epoch and accuracy, as `figures.sweep.cells` takes them. The baseline of
    each cell is the student that learned from the labels alone, with the same seed.
    """
    seeds, epochs = len(row["settings"][0]["test"]), row["experiment"]["epochs"]
    grid = Grid("temperature", TEMPERATURES, "alpha", ALPHAS, seeds)
    measured = {(setting["temperature"], setting["alpha"]): setting for setting in row["settings"]}
    histories = {"test": {}, "validation": {}}
    for place, (alpha, temperature) in enumerate(itertools.product(grid.ys, grid.xs)):
        for member, setting in (("student", measured[temperature, alpha]), ("baseline", labels_alone(row))):
            for part, history in histories.items():
                for seed, accuracy in enumerate(setting[part]):
                    history[place * seeds + seed, member] = [(epochs, accuracy / 100)]
    return grid, histories["test"], histories["validation"]


# --- the rows, kept -------------------------------------------------------------------------------------------------


def kept() -> list[dict]:
    """The shipped rows; none where there is no file."""
    return paths.read_json(SHIPPED, without=[])


def keep(row: dict) -> None:
    """Write one row, at once, in place of an earlier one of the same recipe; a row is one line of the file."""
    rows = [one for one in kept() if one["experiment"] != row["experiment"]] + [row]
    rows.sort(key=lambda one: (one["experiment"]["dataset"], one["experiment"]["images"], one["parameters"]))
    paths.write_atomically(SHIPPED, ("[\n" + ",\n".join(json.dumps(one) for one in rows) + "\n]\n").encode())
