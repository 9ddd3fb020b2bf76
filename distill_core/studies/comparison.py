"""All methods side by side: the same students, the same images, ten seeds each, and what a step of each costs.

`python -m distill_core compare` measures it and `--keep` writes `comparison.json`, which the page of methods shows.
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

from distill_core import analysis
from distill_core.experiment import Experiment
from distill_core.objectives import METHODS
from distill_core.training.shards import Shards
from distill_core.training.trainer import Runner, material

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
    "cifar10-10000": Setting("CIFAR-10, 10,000 images", replace(_CIFAR, images=10_000, epochs=3, batch_size=64)),
}


@dataclass(frozen=True)
class SetUp:
    """What is not a loss of its own: other teachers, and students in between."""

    title: str
    idea: str
    changes: Callable[[Experiment], dict]


SET_UPS = {
    "ensemble": SetUp(
        "A teacher of five networks",
        "Five networks answer together; their mean probabilities are the soft targets. Hinton et al. 2015, section 4.",
        lambda _: {"teacher": "ensemble-5"},
    ),
    "two-teachers": SetUp(
        "Two teachers, by probabilities",
        "Two different networks answer together, by the mean of their probabilities; with a weight, one has the louder voice.",
        lambda _: {"teacher": "cnn-32+mlp-1200x2"},
    ),
    "two-teachers-logits": SetUp(
        "Two teachers, by logits",
        "The same two by the mean of their logits, which is the geometric mean of their probabilities: both must agree.",
        lambda _: {"teacher": "cnn-32+mlp-1200x2", "combine": "logits"},
    ),
    "born-again": SetUp(
        "Born again: taught by its own like",
        "The student's teacher is a student of the same size, which the teacher taught before. Furlanello et al. 2018.",
        lambda usual: {"assistants": (usual.student,)},
    ),
    "assistant": SetUp(
        "An assistant in between",
        "A student of middle size learns first and teaches the small one, where teacher and student are far apart. Mirzadeh et al. 2020.",
        lambda usual: {"assistants": ("mlp-300x2" if usual.student.startswith("mlp") else "cnn-16",)},
    ),
}


def entries(usual: Experiment) -> dict[str, tuple[str, dict]]:
    """Title and changes of everything that is compared, by name: the methods, and the set-ups."""
    found = {name: (method.title, {"method": name}) for name, method in METHODS.items() if method.kind != "mistake"}
    found |= {name: (entry.title, entry.changes(usual)) for name, entry in SET_UPS.items()}
    return found


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
        except ValueError as error:  # feature maps that a perceptron does not have, a teacher that the data set does not have
            yield {**row, "refused": str(error)}
            continue
        difference, low, high = analysis.paired_difference(students, baselines)
        seconds = round(time.perf_counter() - started, 1)
        measured = {"students": students, "baselines": baselines, "difference": difference, "low": low, "high": high, "seconds": seconds}
        yield {**row, "experiment": json.loads(experiment.to_json()), **measured, **cost(experiment, device=device)}


def _accuracies(experiment: Experiment, seeds: int, device: str) -> list[float]:
    """Test accuracy in percent after training, seed by seed."""
    shards = Shards([replace(experiment, seed=seed) for seed in range(seeds)], device=device, roles=("student",), quiet=True)
    results = {told["experiment"]: told for records in shards.steps() for told in records if told["event"] == "result"}
    return [round(100 * results[place]["student"]["test_accuracy"], 4) for place in range(seeds)]


def cost(experiment: Experiment, *, device: str = "auto", steps: int = 60) -> dict[str, float]:
    """Milliseconds of one step of the student alone, with its peers and the teacher's look, and megabytes that it holds meanwhile.

    Memory is counted, not sampled: weights with gradient and moments, what autograd keeps for the way back, and what the
    teacher gives.
    """
    given = material(experiment, device=device)
    pupils = [Runner(experiment, given, name) for name in ("student", *(f"peer-{n + 1}" for n in range(METHODS[experiment.method].peers)))]
    batch, taken, held = given.indices[: experiment.batch_size], [], 0

    def keep(tensor: Tensor) -> Tensor:
        nonlocal held
        held += tensor.nbytes
        return tensor

    for step in range(steps + 1):
        started = time.perf_counter()
        held = 0
        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            images, labels, teacher_logits, features = given.look(experiment, batch, step)
            for pupil in pupils:
                pupil.look(images)
            for pupil in pupils:
                heard = [other.logits.detach() for other in pupils if other is not pupil]
                pupil.learn(labels, teacher_logits, features, heard, learning_rate=1e-3, progress=0.0)
        taken.append(time.perf_counter() - started)
    learnt = sum(p.numel() for pupil in pupils for group in pupil.optimizer.param_groups for p in group["params"])
    held += 16 * learnt + sum(feature.nbytes for feature in features or ())
    return {"step_ms": round(1000 * statistics.median(taken[1:]), 3), "step_mb": round(held / 1e6, 3)}


def measure_costs_again(*, device: str = "auto") -> None:
    """Put new costs beside the accuracies that were kept: for a machine that had other work while it trained."""
    told = kept()
    for row in told["rows"]:
        if "refused" not in row:
            row |= cost(Experiment.from_fields(row["experiment"]), device=device)
    FILE.write_text(json.dumps(told, indent=1) + "\n")


def machine() -> str:
    """On what it was measured, in words."""
    threads = torch.get_num_threads()
    return f"{os.cpu_count()} cores ({platform.machine()}), torch {torch.__version__}, {threads} thread{'s' * (threads > 1)}"


def kept() -> dict:
    """What was measured and is shipped: `{"rows": [...], "measured": {setting: {...}}}`; empty where nothing was."""
    return json.loads(FILE.read_text()) if FILE.exists() else {"rows": [], "measured": {}}


def keep(setting: str, rows: Sequence[dict], *, command: str, seconds: float, date: str) -> None:
    """Put a setting's rows in the place of those that were kept, with the command that makes them all and the time that all took."""
    told, names = kept(), {row["name"] for row in rows}
    before = [row for row in told["rows"] if row["setting"] == setting]
    if any(row["name"] not in names for row in before):
        seconds += told["measured"][setting]["seconds"] - sum(row.get("seconds", 0) for row in before if row["name"] in names)
    told["rows"] = [row for row in told["rows"] if row not in before or row["name"] not in names] + list(rows)
    told["measured"][setting] = {"command": command, "seconds": round(seconds), "date": date, "machine": machine()}
    FILE.write_text(json.dumps(told, indent=1) + "\n")
