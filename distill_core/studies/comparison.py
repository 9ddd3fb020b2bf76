"""The comparison of all methods: the same students, the same images, ten seeds each, and the cost of a step.

`python -m distill_core compare` measures it; with `--keep` it writes `comparison.json`, which the page Methods shows.
"""

from __future__ import annotations

import json
import os
import platform
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from distill_core.data.datasets import DATASETS
from distill_core.experiment import Experiment
from distill_core.objectives import METHODS
from distill_core.statistics import paired_difference
from distill_core.training.loop import make_learners, train_step
from distill_core.training.run_data import load_run_data
from distill_core.training.shards import Shards

FILE = Path(__file__).with_name("comparison.json")


@dataclass(frozen=True)
class Setting:
    """Images and networks on which all methods are compared."""

    title: str
    experiment: Experiment


_MNIST = Experiment(dataset="mnist", teacher="mlp-1200x2", student="mlp-30x2")
_CIFAR = Experiment(dataset="cifar10-jpeg", teacher="cnn-32", student="cnn-4")

SETTINGS = {
    "mnist-1000": Setting("MNIST, 1,000 images", replace(_MNIST, images=1000)),
    "mnist-60000": Setting("MNIST, all 60,000 images", replace(_MNIST, epochs=2, batch_size=64)),
    "cifar10-10000": Setting("CIFAR-10 (JPEG), 10,000 images", replace(_CIFAR, images=10_000, epochs=3, batch_size=64)),
}


@dataclass(frozen=True)
class SetUp:
    """What is compared and is not a loss of its own: other teachers, and assistants."""

    title: str
    idea: str
    changes: Callable[[Experiment], dict]


SET_UPS = {
    "ensemble": SetUp(
        "A teacher of five networks",
        "The soft targets are the mean probabilities of five networks. Hinton et al. 2015, section 4.",
        lambda _: {"teacher": "ensemble-5"},
    ),
    "strong-teacher": SetUp(
        "Strong teacher, trained with label smoothing",
        "The teacher is airbench-256, more accurate than the usual one, but trained with label smoothing, which makes soft targets "
        "less informative. M\u00fcller et al. 2019, section 4.",
        lambda _: {"teacher": "airbench-256"},
    ),
    "two-teachers": SetUp(
        "Two teachers, by probabilities",
        "The soft targets are the mean probabilities of two different networks, which may have different weights.",
        lambda _: {"teacher": "cnn-32+mlp-1200x2"},
    ),
    "two-teachers-logits": SetUp(
        "Two teachers, by logits",
        "The same two by the mean of their logits, which is the geometric mean of their probabilities.",
        lambda _: {"teacher": "cnn-32+mlp-1200x2", "combine": "logits"},
    ),
    "born-again": SetUp(
        "Born-again network",
        "The student's teacher is a network of its own size, which trained on the same images with labels only. Furlanello et al. 2018.",
        lambda _: {"teacher": "self"},
    ),
    "assistant": SetUp(
        "Teaching assistant",
        "A student of middle size is distilled first and becomes the teacher of the small one. Mirzadeh et al. 2020.",
        lambda usual: {"assistants": ("mlp-300x2" if usual.student.startswith("mlp") else "cnn-16",)},
    ),
}


def entries(usual: Experiment) -> dict[str, tuple[str, dict]]:
    """Title and changed fields of everything that is compared, by name: the methods, and the set-ups."""
    compared = {name: (method.title, {"method": name}) for name, method in METHODS.items() if method.kind != "mistake"}
    compared |= {name: (entry.title, entry.changes(usual)) for name, entry in SET_UPS.items()}
    return compared


def compare(setting: str, *, seeds: int = 10, only: Sequence[str] = (), device: str = "auto") -> Iterator[dict]:
    """One row a method, as plain values: test accuracy in percent of each seed, the paired difference from the baseline, cost."""
    usual = SETTINGS[setting].experiment
    baselines = _accuracies(usual.baseline, seeds, device)
    for name, (title, changes) in entries(usual).items():
        if only and name not in only:
            continue
        started, row = time.perf_counter(), {"setting": setting, "name": name, "title": title}
        try:
            experiment = replace(usual, **changes)
            students = _accuracies(experiment, seeds, device)
        except ValueError as error:  # no feature maps in a perceptron, or no such teacher for the data set
            yield {**row, "refused": str(error)}
            continue
        test_images = DATASETS[experiment.dataset].test
        difference, low, high = map(float, paired_difference(students, baselines, test_images=test_images))
        seconds = round(time.perf_counter() - started, 1)
        measured = {"students": students, "baselines": baselines, "difference": difference, "low": low, "high": high, "seconds": seconds}
        yield {**row, "experiment": json.loads(experiment.to_json()), **measured, **cost(experiment, device=device)}


def _accuracies(experiment: Experiment, seeds: int, device: str) -> list[float]:
    """Test accuracy in percent after training, seed by seed."""
    shards = Shards([replace(experiment, seed=seed) for seed in range(seeds)], device=device, roles=("student",), quiet=True)
    results = {one["experiment"]: one for records in shards.steps() for one in records if one["event"] == "result"}
    return [round(100 * results[seed]["student"]["test_accuracy"], 4) for seed in range(seeds)]


def cost(experiment: Experiment, *, device: str = "auto", steps: int = 60) -> dict[str, float]:
    """Milliseconds of one step of the student alone, with its peers and the teacher's forward pass, and its megabytes.

    Memory is counted, not sampled: weights with gradients and moments, what autograd keeps for the backward pass, and the
    teacher's features.
    """
    data = load_run_data([experiment], device=device)
    learners = make_learners(experiment, data, ["student"])
    indices, seconds, saved = data.indices[:, : experiment.batch_size], [], 0

    def count(tensor: Tensor) -> Tensor:
        nonlocal saved
        saved += tensor.nbytes
        return tensor

    for step in range(steps + 1):
        started = time.perf_counter()
        saved = 0
        with torch.autograd.graph.saved_tensors_hooks(count, lambda tensor: tensor):
            inputs = data.get_batch(indices, step)
            train_step(learners, inputs, learning_rate=1e-3, progress=0.0)
        seconds.append(time.perf_counter() - started)
    trained = sum(p.numel() for learner in learners.values() for group in learner.optimizer.param_groups for p in group["params"])
    saved += 16 * trained + sum(feature.nbytes for feature in inputs.teacher_features)
    return {"step_ms": round(1000 * statistics.median(seconds[1:]), 3), "step_mb": round(saved / 1e6, 3)}


def measure_costs_again(*, device: str = "auto") -> None:
    """Measure the costs of all kept rows again, for a machine that was busy while it trained."""
    comparison = kept()
    for row in comparison["rows"]:
        if "refused" not in row:
            row |= cost(Experiment.from_fields(row["experiment"]), device=device)
    FILE.write_text(json.dumps(comparison, indent=1) + "\n")


def machine() -> str:
    """The machine, in words."""
    threads = torch.get_num_threads()
    return f"{os.cpu_count()} cores ({platform.machine()}), torch {torch.__version__}, {threads} thread{'s' * (threads > 1)}"


def kept() -> dict:
    """The shipped results: `{"rows": [...], "measured": {setting: {...}}}`; empty where there are none."""
    return json.loads(FILE.read_text()) if FILE.exists() else {"rows": [], "measured": {}}


def keep(setting: str, rows: Sequence[dict], *, command: str, seconds: float, date: str) -> None:
    """Replace the kept rows of a setting, and note the command that measures all of them and the time that it takes."""
    comparison, names = kept(), {row["name"] for row in rows}
    before = [row for row in comparison["rows"] if row["setting"] == setting]
    if any(row["name"] not in names for row in before):
        seconds += comparison["measured"][setting]["seconds"] - sum(row.get("seconds", 0) for row in before if row["name"] in names)
    comparison["rows"] = [row for row in comparison["rows"] if row not in before or row["name"] not in names] + list(rows)
    comparison["measured"][setting] = {"command": command, "seconds": round(seconds), "date": date, "machine": machine()}
    FILE.write_text(json.dumps(comparison, indent=1) + "\n")
