"""A check that trains the answer: choose student, T and alpha for a budget, against the choice of the advisor."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from distill_core import models
from distill_core.advisor import BYTES, advise, title_of
from distill_core.data.datasets import DATASETS
from distill_core.experiment import Experiment
from distill_core.statistics import format_points, paired_difference

QUESTIONS = (  # data set, labels, bytes
    ("mnist", 2000, 20_000),
    ("digits", 300, 3_000),
    ("mnist", 200, 40_000),
    ("digits", 100, 15_000),
    ("mnist", 2000, 40_000),
    ("digits", 1000, 4_000),
)
PERCEPTRONS = ("linear", "mlp-3x2", "mlp-6x2", "mlp-10x1", "mlp-10x2", "mlp-20x2", "mlp-30x2", "mlp-100x2")
STUDENTS = {"mnist": PERCEPTRONS, "digits": (*PERCEPTRONS, "cnn-2", "cnn-4")}  # which train within seconds
SEEDS = 5
YOURS, LABS, UNCLEAR = "Your choice is better.", "The lab's choice is better.", "These seeds cannot tell them apart."


@dataclass(frozen=True)
class Budget:
    """One question. `lab`: the advisor's choice, with the recipe that the learner's choice is trained by too."""

    dataset: str
    labels: int
    max_bytes: int
    lab: Experiment

    @property
    def question(self) -> str:
        """The task in words."""
        return (
            f"You have {self.max_bytes / 1000:g} kB and {self.labels:,} labelled images of {title_of(self.dataset)}. "
            "Which student, T and alpha give the highest test accuracy?"
        )

    def bytes_of(self, student: str) -> int:
        """What a student takes, in float32."""
        source = DATASETS[self.dataset]
        return BYTES * models.count_parameters(student, image_shape=source.image_shape, classes=len(source.class_names))

    @property
    def students(self) -> tuple[str, ...]:
        """What a learner may choose from, above the budget too."""
        return STUDENTS[self.dataset]

    @property
    def smallest(self) -> str:
        """The first student that fits, with which a learner begins."""
        return next(student for student in self.students if self.bytes_of(student) <= self.max_bytes)

    def answer(self, student: str, *, temperature: float, alpha: float) -> Experiment:
        """The learner's choice as an experiment. Raises `ValueError` with one sentence for a student that is above the budget."""
        if (size := self.bytes_of(student)) > self.max_bytes:
            raise ValueError(f"student '{student}' has {size:,} bytes, and the budget is {self.max_bytes:,}; choose a smaller one")
        return replace(self.lab, student=student, temperature=temperature, alpha=alpha)


@dataclass(frozen=True)
class Judgement:
    """The learner's student minus the lab's, in points, paired by seed: the mean with its 95 % interval, and what that says."""

    sentence: str
    difference: float
    low: float
    high: float


def budget(number: int) -> Budget:
    """The question of this number, of the data sets that are on this machine."""
    here = [one for one in QUESTIONS if DATASETS[one[0]].is_here()]
    dataset, labels, max_bytes = here[(number - 1) % len(here)]
    return Budget(dataset, labels, max_bytes, advise(dataset, labels=labels, max_bytes=max_bytes).experiment)


def experiments(one: Experiment, *, seeds: int = SEEDS) -> list[Experiment]:
    """A choice with the seeds 0, 1, 2 and so on: both choices have the same images in the same order."""
    return [replace(one, seed=seed) for seed in range(seeds)]


def judge(yours: Sequence[dict], labs: Sequence[dict]) -> Judgement:
    """Which of two choices has the higher test accuracy, from the results of both over the same seeds."""
    accuracies = [[100 * one["student"]["test_accuracy"] for one in results] for results in (yours, labs)]
    mean, low, high = map(float, paired_difference(*accuracies, test_images=yours[0]["student"]["test_images"]))
    result = YOURS if low > 0 else LABS if high < 0 else UNCLEAR
    own, other = (sum(values) / len(values) for values in accuracies)
    sentence = (
        f"{result} Over {len(yours)} seeds your student has a test accuracy of {own:.1f} %, the lab's {other:.1f} %: a difference of "
        f"{format_points(mean)} points (95 % interval {format_points(low)} to {format_points(high)})."
    )
    return Judgement(sentence, mean, low, high)
