"""Study: an experiment of the literature that is more than one race, run over several seeds and judged claim by claim.

A study is a set of named experiments, its *arms*. `run` trains the student of each arm once per seed and returns plain
numbers; `judge` turns these numbers into claims. The shipped results are the numbers of one such run, so that a claim can be
judged again without training.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from distill_core import paths
from distill_core.data.dataset import Dataset, choose_images, choose_validation_images, seeded
from distill_core.data.unlabelled import SAME, choose_unlabelled
from distill_core.experiment import Experiment
from distill_core.statistics import mean_interval, paired_difference
from distill_core.studies.comparison import machine
from distill_core.studies.sweep import Grid
from distill_core.training.cohort import cohorts
from distill_core.training.shards import Shards

FILE = Path(__file__).with_name("literature.json")
STANDARD_ERRORS = 3.0  # from zero, below which an effect counts as not shown

ERRORS = "errors"  # the unit of a count, which one digit after the point is enough for
ALONE = "labels only"  # the usual name of the arm without a teacher

Runs = dict[str, list[dict]]  # by arm, the scores of its student, one dictionary per seed


@dataclass(frozen=True)
class Claim:
    """One statement of the source, and what was measured for it: a mean over seeds with its 95 % interval.

    `sign`: the direction that the source claims, 1 or -1; 0 for a figure without direction. `paper`: its figure, as text.
    `why_not`: what to say where the effect does not appear.
    """

    text: str
    paper: str
    values: tuple[float, ...]
    unit: str
    sign: int = 0
    why_not: str = ""
    bounds: tuple[float, float] | None = None  # an interval other than Student's t

    @property
    def interval(self) -> tuple[float, float, float]:
        """Mean, low and high, in the unit of the claim; NaN where there is no interval."""
        mean, low, high = mean_interval(self.values)
        return (mean, *self.bounds) if self.bounds else (mean, low, high)

    @property
    def appears(self) -> int | None:
        """1 if the mean lies at least three standard errors on the claimed side of zero, -1 on the other side, else 0.

        The interval must exclude zero too, which asks more of a few seeds. None if no direction is claimed. One seed has no
        standard error, and equal values show none: neither is an effect.
        """
        if not self.sign:
            return None
        spread = float(np.std(self.values, ddof=1)) if len(self.values) > 1 else 0.0
        least = STANDARD_ERRORS * spread / math.sqrt(len(self.values))
        mean, low, high = self.interval
        if spread == 0 or abs(mean) < least or low <= 0 <= high:
            return 0
        return 1 if self.sign * mean > 0 else -1

    @property
    def conclusion(self) -> str:
        """The result in words."""
        if self.appears == 0 and len(self.values) < 2:
            return "cannot tell from one seed"
        missing = f"does not appear here{f' (possible reason: {self.why_not})' if self.why_not else ''}"
        return {None: "measured", 1: "appears here", -1: "the opposite appears here", 0: missing}[self.appears]

    def as_text(self) -> str:
        """The mean with its interval: "+0.42 points (+0.31 to +0.53)"."""
        mean, low, high = self.interval
        form = f"{{:{'+' if self.sign else ''},.{1 if self.unit == ERRORS else 2}f}}"
        between = "" if math.isnan(low) else f" ({form.format(low)} to {form.format(high)})"
        return f"{form.format(mean)}{f' {self.unit}' if self.unit else ''}{between}".replace("-", "\u2212")


@dataclass(frozen=True)
class Point:
    """One point of a study's figure: a mean with its interval, or a figure of the paper without one."""

    series: str
    x: str
    value: float
    low: float = math.nan
    high: float = math.nan


@dataclass(frozen=True)
class Study:
    """An experiment of the literature: the question, what the source states and where, the arms, and how they are judged.

    `judge` and `points` are pure functions of the measured numbers. `after` adds numbers of a trained student to its scores.
    `live`: smaller versions to race on a page, by their labels; `sweep`: one to train on the page Sweep.
    """

    title: str
    question: str
    source: str
    paper: str
    arms: dict[str, Experiment]
    judge: Callable[[Runs], list[Claim]]
    points: Callable[[Runs], list[Point]]
    axes: tuple[str, str]
    seeds: int = 10
    after: Callable[[nn.Module, Experiment, Dataset], dict] | None = None
    live: dict[str, Experiment] = field(default_factory=dict)
    sweep: tuple[Grid, Experiment] | None = None
    notes: str = ""


def run(study: Study, *, seeds: Sequence[int], device: str = "auto") -> Generator[tuple[str, float], None, Runs]:
    """Train the student of each arm once for each of these seeds; yields what is done and its fraction, returns the scores.

    The scores of an arm are those of `analysis.scores`, with `teacher_errors` and what `after` adds.
    """
    experiments = [replace(arm, seed=seed) for arm in study.arms.values() for seed in seeds]
    scores: list[dict] = [{} for _ in experiments]
    groups = cohorts(experiments)
    for number, group in enumerate(groups):
        shards = Shards([experiments[index] for index in group], device=device, roles=("student",), quiet=True)
        for records in shards.steps():
            for one in records:
                if one["event"] == "result":
                    scores[group[one["experiment"]]] = {**one["student"], "teacher_errors": one["teacher"]["test_errors"]}
            yield study.title, (number + shards.done / shards.first.all_epochs) / len(groups)
        for shard, indices in zip(shards.shards, shards.groups, strict=True) if study.after else ():
            for index, experiment in zip(indices, shard.experiments, strict=True):
                network = shard.member(*shard.pair(experiment))
                scores[group[index]] |= study.after(network, experiment, shard.data.dataset)
    count = len(seeds)
    return {name: scores[number * count : (number + 1) * count] for number, name in enumerate(study.arms)}


def held_out_images(dataset: Dataset, experiment: Experiment, *, images: int) -> Tensor:
    """Indices `(n,)` of about `images` training images that this experiment's students never see, drawn by its seed.

    None is among its labelled, unlabelled or validation images. Each class has its share of the whole training set, also a
    class that is hidden from the student. Raises `ValueError` where too few images are left.
    """
    labels, seed = dataset.train_labels, experiment.seed
    choice = {"images": experiment.images, "hide_classes": experiment.hide_classes, "validation": experiment.validation, "seed": seed}
    used = [choose_images(labels, **choice), choose_validation_images(labels, validation=experiment.validation, seed=seed)]
    if experiment.unlabelled and experiment.unlabelled_from == SAME:
        further = {"images": experiment.unlabelled, "hide_classes": experiment.hide_classes, "seed": seed}
        used.append(choose_unlabelled(labels, taken=torch.cat(used), **further))
    shuffled = torch.randperm(len(labels), generator=seeded(seed, "held out")).to(labels.device)
    unseen = shuffled[~torch.isin(shuffled, torch.cat(used))]
    chosen = []
    for label in range(dataset.classes):
        wanted = round(images * int((labels == label).sum()) / len(labels))
        own = unseen[labels[unseen] == label][:wanted]
        if len(own) < wanted:
            raise ValueError(f"only {len(own)} images of class {label} are unseen, {wanted} are needed; train on fewer images")
        chosen.append(own)
    return torch.cat(chosen)


# --- the shipped results --------------------------------------------------------------------------------------------


def kept() -> dict[str, dict]:
    """The shipped results by study: `{"runs": Runs, "date", "machine", "seeds", "cpu_seconds", "command"}`; empty without any."""
    return paths.read_json(FILE, without={})


def keep(name: str, runs: Runs, *, cpu_seconds: float) -> None:
    """Replace the shipped results of one study by these. `cpu_seconds`: the time of all cores together, which no other load changes."""
    seeds = len(next(iter(runs.values())))
    entry = {
        "command": f"python -m distill_core preset {name} --seeds {seeds} --keep",
        "date": time.strftime("%Y-%m-%d"),
        "machine": machine(),
        "seeds": seeds,
        "cpu_seconds": round(cpu_seconds),
        "runs": {arm: [_compact(one) for one in scores] for arm, scores in runs.items()},
    }
    FILE.write_text(json.dumps(kept() | {name: entry}, indent=1, sort_keys=True) + "\n")


def _compact(scores: dict) -> dict:
    """What is kept of one student: the numbers that claims and figures use."""
    left_out = {"test_accuracy", "low", "high", "errors_by_class", "ece", "parameters"}
    return {name: round(value, 5) if isinstance(value, float) else value for name, value in scores.items() if name not in left_out}


# --- for judging ----------------------------------------------------------------------------------------------------


def values(runs: Runs, arm: str, name: str) -> np.ndarray:
    """One number of every seed of an arm, `(seeds,)`."""
    return np.array([scores[name] for scores in runs[arm]], dtype=np.float64)


def accuracy(runs: Runs, arm: str) -> np.ndarray:
    """Test accuracy in percent of every seed of an arm, `(seeds,)`."""
    return 100 * (1 - values(runs, arm, "test_errors") / values(runs, arm, "test_images"))


def points_of(series: str, measured: dict[str, np.ndarray]) -> list[Point]:
    """A series of points with intervals, from the values of every seed by their place on the axis."""
    return [Point(series, x, *mean_interval(of_seeds)) for x, of_seeds in measured.items()]


def bootstrap_choice(scores: np.ndarray, choices: Sequence[float], *, resamples: int = 2000) -> tuple[float, float, float]:
    """The choice with the best mean over seeds, and the 95 % interval of that choice over draws of seeds with replacement.

    - `scores`: `(choices, seeds)`, higher is better; `choices`: their values. Returns `(best, low, high)`.
    """
    rng = np.random.default_rng(0)
    drawn = rng.integers(scores.shape[1], size=(resamples, scores.shape[1]))
    best = scores[:, drawn].mean(axis=2).argmax(axis=0)  # (resamples,)
    chosen = np.asarray(choices, dtype=np.float64)
    low, high = np.quantile(chosen[best], [0.025, 0.975], method="nearest")
    return float(chosen[scores.mean(axis=1).argmax()]), float(low), float(high)


def difference(runs: Runs, arm: str, other: str, text: str, *, paper: str, sign: int = 1, why_not: str = "") -> Claim:
    """The claim that one arm's test accuracy is above another's, in points, paired by seed; below it with `sign=-1`."""
    both = accuracy(runs, arm), accuracy(runs, other)
    _, low, high = paired_difference(*both, test_images=int(values(runs, arm, "test_images")[0]))
    return Claim(text, paper, tuple(both[0] - both[1]), "points", sign, why_not, (float(low), float(high)))
