"""The comparison of all methods: each tuned on validation images, ten seeds of the same students on the same images, its cost.

`python -m distill_core compare` measures it, one row after another, and goes on where it was stopped; with `--keep` the
rows go to `comparison.json`, which the page Methods shows. How temperature and weight are chosen is in `tuning.py`.
"""

from __future__ import annotations

import copy
import functools
import json
import os
import platform
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch
from torch import Tensor

from distill_core import paths
from distill_core.data.datasets import DATASETS
from distill_core.experiment import RESULT_VERSION, Experiment
from distill_core.objectives import METHODS
from distill_core.statistics import holm, paired_difference, paired_p_value
from distill_core.studies.tuning import tune
from distill_core.teachers import parse_ensemble, shipped_for
from distill_core.training.loop import make_learners, train_step
from distill_core.training.run_data import load_run_data
from distill_core.training.shards import Shards

SHIPPED = Path(__file__).with_name("comparison.json")
FORM = 2  # of that file; the rows of the first form were not tuned, and are not shown
REFERENCE = "soft-targets"  # what every method is compared with, beside the baseline
LEVEL = 0.05  # a difference is clear if its p-value is below, after Holm's correction


@dataclass(frozen=True)
class Setting:
    """Images and networks on which all methods are compared; `left_out`: methods that are not, with the reason."""

    title: str
    experiment: Experiment
    left_out: dict[str, str] = field(default_factory=dict)


_MNIST = Experiment(dataset="mnist", teacher="mlp-1200x2", student="mlp-30x2", validation=5000)
_CIFAR = Experiment(dataset="cifar10-jpeg", teacher="cnn-32", student="cnn-4", validation=5000)
_SLOW = "not measured here: it would take longer than all other methods together; see MNIST, 1,000 images"

SETTINGS = {
    "mnist-1000": Setting("MNIST, 1,000 images", replace(_MNIST, images=1000)),
    "mnist-60000": Setting(
        "MNIST, 55,000 images", replace(_MNIST, epochs=10, batch_size=256), left_out=dict.fromkeys(("distances", "angles"), _SLOW)
    ),
    "cifar10-2000": Setting("CIFAR-10 (JPEG), 2,000 images", replace(_CIFAR, images=2000, epochs=10)),
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
        "The student's teacher is a network of its own size, which trained on the same images with labels only. "
        "Furlanello et al. 2018, section 3.1.",
        lambda _: {"teacher": "self"},
    ),
    "assistant": SetUp(
        "Teaching assistant",
        "A student of middle size is distilled first and becomes the teacher of the small one. Mirzadeh et al. 2020, figure 1.",
        lambda usual: {"assistants": ("mlp-300x2" if usual.student.startswith("mlp") else "cnn-16",)},
    ),
}


def entries(usual: Experiment) -> dict[str, tuple[str, dict]]:
    """Title and changed fields of everything that is compared, by name: the methods, and the set-ups."""
    compared = {name: (method.title, {"method": name}) for name, method in METHODS.items() if method.kind != "mistake"}
    compared |= {name: (entry.title, entry.changes(usual)) for name, entry in SET_UPS.items()}
    return compared


def references(usual: Experiment) -> dict[str, tuple[str, dict]]:
    """The same of the baseline, and of what shows whether the training is long enough: twice the epochs."""
    longer = {"epochs": 2 * usual.epochs}
    return {
        "baseline": ("Baseline", {"alpha": 1.0}),
        "baseline-longer": ("Baseline, twice the epochs", {"alpha": 1.0, **longer}),
        f"{REFERENCE}-longer": ("Soft targets, twice the epochs", longer),
    }


def kind_of(name: str) -> str:
    """`method`, `control`, `set-up` or `reference`: only methods are ranked among each other."""
    if name in METHODS:
        return "control" if METHODS[name].kind == "control" else "method"
    return "set-up" if name in SET_UPS else "reference"


def experiment_of(setting: str, name: str) -> Experiment:
    """The experiment of an entry, before it is tuned.

    Raises `ValueError` with the reason if the setting leaves it out, if it does not fit the networks of the setting, or if
    its teacher is not shipped for the data set: training that takes longer than the comparison.
    """
    entry = SETTINGS[setting]
    if name in entry.left_out:
        raise ValueError(entry.left_out[name])
    experiment = replace(entry.experiment, **(references(entry.experiment) | entries(entry.experiment))[name][1])
    shipped = {card.name for card in shipped_for(experiment.dataset)}
    for teacher in parse_ensemble(experiment.teacher):
        if teacher not in shipped:
            raise ValueError(f"teacher '{teacher}' is not shipped for {DATASETS[experiment.dataset].title}, and is not trained for this")
    return experiment


# --- measuring ------------------------------------------------------------------------------------------------------


def compare(
    setting: str, *, seeds: int = 10, only: Sequence[str] = (), before: Sequence[dict] = (), device: str = "auto"
) -> Iterator[dict]:
    """One row for each entry, as plain values: its tuning, the test accuracy in percent of each seed, and its cost.

    `only`: the names to measure; the baseline and soft targets, which the others need, always are. `before`: rows that
    were measured earlier; those of the same experiments and seeds are not measured again.
    """
    usual = SETTINGS[setting].experiment
    everything = references(usual) | entries(usual)
    order = [REFERENCE, *(name for name in everything if name != REFERENCE)]  # which lends its temperature and alpha to others
    done = {row["name"]: row for row in before if row["setting"] == setting}
    for name in order:
        title, _ = everything[name]
        if only and name not in (*only, "baseline", REFERENCE):
            continue
        row = {"setting": setting, "name": name, "title": title, "kind": kind_of(name)}
        started = time.perf_counter()
        try:
            experiment = experiment_of(setting, name)
            if name in done and is_current(done[name], experiment, seeds, lender=done.get(REFERENCE)):
                continue
            measured = measure(experiment, seeds, lender=done.get(REFERENCE), tuned=row["kind"] != "reference", device=device)
        except ValueError as error:  # no feature maps in a perceptron, or no such teacher for the data set
            row["refused"] = str(error)
        else:
            row |= {**measured, "seconds": round(time.perf_counter() - started, 1), "version": RESULT_VERSION}
        done[name] = row
        yield row


def measure(experiment: Experiment, seeds: int, *, lender: dict | None, tuned: bool, device: str) -> dict:
    """The tuned experiment, all settings that were tried, the accuracies of its students, and the cost of a step.

    What is not tuned, or cannot be as one batched tensor, has the temperature and alpha of the row `lender`; the baseline
    has neither.
    """
    found = tune(experiment, device=device) if tuned else None
    if found:
        experiment, tried = found
    else:
        tried = []
        if experiment.alpha < 1 and lender:
            experiment = replace(experiment, **{name: lender["experiment"][name] for name in ("temperature", "alpha")})
    students = accuracies(experiment, seeds, device)
    return {"experiment": json.loads(experiment.to_json()), "tried": tried, "students": students, **cost(experiment, device=device)}


def is_current(row: dict, experiment: Experiment, seeds: int, *, lender: dict | None) -> bool:
    """Whether a row is of this experiment with as many seeds, by the training of today: only its temperature and alpha may differ.

    Those of a row that was not tuned itself are still those of the row `lender`.
    """
    try:
        made = Experiment.from_fields(row["experiment"])
    except (KeyError, ValueError):  # it was refused, or is of another version
        return False
    same = replace(made, temperature=experiment.temperature, alpha=experiment.alpha) == experiment
    borrowed = not row["tried"] and experiment.alpha < 1
    if borrowed and lender and any(row["experiment"][name] != lender["experiment"][name] for name in ("temperature", "alpha")):
        return False
    return same and len(row["students"]) == seeds and row["version"] == RESULT_VERSION


def accuracies(experiment: Experiment, seeds: int, device: str) -> list[float]:
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


# --- the rows, kept and compared ------------------------------------------------------------------------------------


def unfinished() -> Path:
    """Where rows are kept that do not go into the repository: in `DISTILL_HOME`."""
    return paths.cache("comparison") / "comparison.json"


def kept(file: Path | None = None) -> dict:
    """The rows of a file, the shipped one by default: `{"form", "rows": [...], "measured": {setting: {...}}}`.

    Empty where there is no file, and where its rows are of the first form: those were not tuned.
    """
    file = file or SHIPPED
    found = paths.read_json(file, without={})
    return found if found.get("form") == FORM else {"form": FORM, "rows": [], "measured": {}}


def keep(row: dict, *, file: Path, command: str, date: str) -> None:
    """Write one row, at once, in place of an earlier one; note the command, the date, the machine and the time of its setting."""
    found, setting = copy.deepcopy(kept(file)), row["setting"]
    found["rows"] = [one for one in found["rows"] if (one["setting"], one["name"]) != (setting, row["name"])] + [row]
    seconds = round(sum(one.get("seconds", 0) for one in found["rows"] if one["setting"] == setting))
    found["measured"][setting] = {"command": command, "seconds": seconds, "date": date, "machine": machine()}
    _write(file, found)


def measure_costs_again(file: Path, *, device: str = "auto") -> None:
    """Measure the costs of all kept rows again, for a machine that was busy while it trained."""
    found = copy.deepcopy(kept(file))
    for row in found["rows"]:
        if "refused" not in row:
            row |= cost(Experiment.from_fields(row["experiment"]), device=device)
    _write(file, found)


def _write(file: Path, found: dict) -> None:
    paths.write_atomically(file, (json.dumps(found, indent=1) + "\n").encode())


def differences(rows: Sequence[dict], setting: str) -> list[dict]:
    """The measured rows of a setting, each with `against`: its paired differences from the baseline and from soft targets.

    A difference is `{"difference", "low", "high", "p_value", "sign"}`: the mean in percentage points with its 95 %
    interval; the p-value of the paired t test after Holm's correction, over all rows of the same kind that are compared
    with the same reference; and 1, -1 or 0 for above, below, and not clear at LEVEL. Rows without a reference to compare
    with, because it is not measured yet, lack that difference.
    """
    measured = {row["name"]: row for row in rows if row["setting"] == setting and "refused" not in row}
    compared = {name: {**row, "against": {}} for name, row in measured.items()}
    for reference in ("baseline", REFERENCE):
        for kind in ("method", "control", "set-up"):
            family = [row for name, row in compared.items() if row["kind"] == kind and name != reference]
            if family and reference in measured:
                _compare(family, measured[reference], reference)
    for name, row in compared.items():  # what is trained twice as long, with its own shorter training
        if name.endswith("-longer") and (shorter := name.removesuffix("-longer")) in measured:
            _compare([row], measured[shorter], shorter)
    return list(compared.values())


def compared(setting: str) -> list[dict]:
    """`differences` of the shipped rows, computed once for each version of their file."""
    return _compared(SHIPPED, paths.version(SHIPPED), setting)


@functools.lru_cache(maxsize=16)
def _compared(file: Path, version: tuple[int, ...], setting: str) -> list[dict]:
    return differences(kept(file)["rows"], setting)


def _compare(family: Sequence[dict], reference: dict, name: str) -> None:
    """Add the differences of rows from a reference, whose p-values are corrected for their number."""
    images = DATASETS[reference["experiment"]["dataset"]].test
    p_values = holm([paired_p_value(row["students"], reference["students"], resolution=100 / images) for row in family])
    for row, p_value in zip(family, p_values, strict=True):
        difference, low, high = map(float, paired_difference(row["students"], reference["students"], test_images=images))
        sign = 0 if p_value >= LEVEL else 1 if difference > 0 else -1
        row["against"][name] = {"difference": difference, "low": low, "high": high, "p_value": float(p_value), "sign": sign}


def machine() -> str:
    """The machine, in words."""
    threads = torch.get_num_threads()
    return f"{os.cpu_count()} cores ({platform.machine()}), torch {torch.__version__}, {threads} thread{'s' * (threads > 1)}"
