"""Lesson: a question, the learner's guess, an experiment that answers it, and an explanation in 150 words.

A lesson is one file of this folder, which defines `LESSON`. Its experiment is a set of named experiments, the *arms*, each
trained over the same seeds beside its baseline; or a trial (`trials/`), which trains its networks in its own way. `judge` turns
the results into a finding, which is laid beside the guess. A lesson without an experiment asks for a fact.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from distill_core.experiment import Experiment
from distill_core.statistics import ACCURACY, BITS, format_points, paired_bits, paired_difference, score_of
from distill_core.studies.study import STANDARD_ERRORS
from distill_core.together import Results

GROUPS = ("Concepts", "When and why", "Experiments", "Around it")
LEVELS = ("for a ten-year-old", "for a practitioner", "for an expert")
MAX_WORDS = 150  # of an explanation


@dataclass(frozen=True)
class Number:
    """A guess of a number: a slider from `low` to `high` in steps of `step`."""

    low: float
    high: float
    step: float
    unit: str = "points"


@dataclass(frozen=True)
class Choice:
    """A guess of one of several answers."""

    options: tuple[str, ...]


@dataclass(frozen=True)
class Gain:
    """Test accuracy of an arm's students minus that of their baselines, in points, with its 95 % interval.

    On a text it is in bits a character: how many fewer the students need.
    """

    arm: str
    difference: float
    low: float
    high: float
    unit: str = "points"


@dataclass(frozen=True)
class Finding:
    """What the experiment shows: a sentence, and the answer to the lesson's question.

    `answer`: a number or an option of the guess; None where the experiment cannot tell. `low`, `high`: the interval of a number.
    `appears`: whether the effect, a gain or what is compared with the next best, stands three standard errors from zero.
    """

    sentence: str
    answer: float | str | None
    low: float = float("nan")
    high: float = float("nan")
    appears: bool = True


@dataclass(frozen=True)
class Lesson:
    """One lesson. `text` has one explanation, or one for each of LEVELS; terms of the glossary stand in [[double brackets]].

    `look`: pages to open next, by label: the file of the page and its query; `races`: races to open, by what they show. `arms` or
    `trial`: the experiment; a trial gets the number of seeds, and `size` states what it trains. A lesson without both has its
    `fact` in place of `judge`. `why_not`: what may explain that its effect does not appear in what was measured.
    """

    title: str
    group: str
    place: int
    question: str
    guess: Number | Choice
    text: str | dict[str, str]
    source: str
    arms: dict[str, Experiment] = field(default_factory=dict)
    trial: Callable[[int], Results] | None = None
    size: str = ""
    judge: Callable[[Results], Finding] | None = None
    fact: Finding | None = None
    seeds: int = 5
    why_not: str = ""
    look: dict[str, tuple[str, dict[str, str]]] = field(default_factory=dict)
    races: dict[str, Experiment] = field(default_factory=dict)

    def experiments(self, seeds: int | None = None) -> list[Experiment]:
        """The experiments of all arms, arm by arm, each with the seeds 0, 1, 2 and so on."""
        return [replace(arm, seed=seed) for arm in self.arms.values() for seed in range(seeds or self.seeds)]

    def by_arm(self, results: Sequence[dict]) -> Results:
        """Results in the order of `experiments`, by arm."""
        count = len(results) // max(1, len(self.arms))
        return {arm: list(results[count * place : count * (place + 1)]) for place, arm in enumerate(self.arms)}

    def find(self, results: Results) -> Finding:
        """The finding from the results of the arms or of the trial; the fact of a lesson without an experiment."""
        return self.fact or self.judge(results)

    def explanations(self) -> dict[str, str]:
        """The explanation by level; a lesson with one explanation has it under an empty name."""
        return self.text if isinstance(self.text, dict) else {"": self.text}


def arms(usual: Experiment, **values: dict) -> dict[str, Experiment]:
    """Arms by label, each the usual experiment with its changes: `arms(usual, **{"T = 4": {"temperature": 4.0}})`."""
    return {label: replace(usual, **changes) for label, changes in values.items()}


# --- what an experiment shows ---------------------------------------------------------------------------------------


def accuracies(results: Sequence[dict], member: str = "student") -> np.ndarray:
    """Test accuracy in percent, seed by seed, `(seeds,)`; on a text minus the bits a character, so that more is better."""
    score = score_of(results[0][member])
    return np.array([score.sign * score.scale * one[member][score.field] for one in results])


def difference(better: np.ndarray, other: np.ndarray, first: dict) -> tuple[float, float, float]:
    """The mean of the paired differences of such values with its interval; `first`: any of the results."""
    if score_of(first["student"]) is BITS:
        return tuple(map(float, paired_bits(better, other)))
    return tuple(map(float, paired_difference(better, other, test_images=first["student"]["test_images"])))


def gain(arm: str, results: Sequence[dict]) -> Gain:
    """The paired difference of an arm's students from their baselines."""
    found = difference(accuracies(results), accuracies(results, "baseline"), results[0])
    return Gain(arm, *found, score_of(results[0]["student"]).unit)


def gains(results: Results) -> list[Gain]:
    """The gain of every arm."""
    return [gain(arm, of_arm) for arm, of_arm in results.items()]


def appears(differences: np.ndarray, low: float, high: float) -> bool:
    """Whether paired differences, one a seed, stand three standard errors from zero, which their interval excludes too."""
    error = float(np.std(differences, ddof=1)) / np.sqrt(len(differences)) if len(differences) > 1 else np.inf
    return bool(abs(np.mean(differences)) >= STANDARD_ERRORS * error and not low <= 0 <= high)


def gain_of(arm: str, *, student: str = "The student is", baseline: str = "its baseline") -> Callable[[Results], Finding]:
    """Judges by the gain of one arm: its number is the answer. `student`, `baseline`: the words for what is compared."""

    def judge(results: Results) -> Finding:
        found = gain(arm, results[arm])
        between = f"(95 % interval {format_points(found.low, 1)} to {format_points(found.high, 1)})"
        sentence = f"{student} {format_points(found.difference, 1)} points from {baseline} {between}."
        of_seeds = accuracies(results[arm]) - accuracies(results[arm], "baseline")
        return Finding(sentence, found.difference, found.low, found.high, appears(of_seeds, found.low, found.high))

    return judge


def best(*, worst: bool = False) -> Callable[[Results], Finding]:
    """Judges which arm has the largest gain (the smallest with `worst`), if the interval to the next one excludes zero.

    Gains are paired seed by seed: the arms have the same seeds, images and order of images.
    """
    sign = -1 if worst else 1

    def judge(results: Results) -> Finding:
        of_seeds = {arm: accuracies(one) - accuracies(one, "baseline") for arm, one in results.items()}
        first, second, *_ = sorted(of_seeds, key=lambda arm: -sign * of_seeds[arm].mean())
        score = score_of(results[first][0]["student"])
        digits = 1 if score is ACCURACY else score.digits
        other = accuracies(results[second])  # the gains are compared on the baseline of the second arm, within 0 to 100 %
        moved = accuracies(results[second], "baseline") + of_seeds[first]
        mean, low, high = difference(moved, other, results[first][0])
        word, between = "smallest" if worst else "largest", f"{format_points(low, digits)} to {format_points(high, digits)}"
        sentence = f"The {word} gain is that of {first} ({format_points(of_seeds[first].mean(), digits)} {score.unit}). "
        clear = appears(moved - other, low, high)
        if low > 0 or high < 0:
            sentence += f"It differs from {second} by {format_points(mean, digits)} {score.unit} ({between})."
            return Finding(sentence, first, appears=clear)
        sentence += f"Whether it really differs from {second}, these seeds cannot decide ({between} {score.unit})."
        return Finding(sentence, None, appears=clear)

    return judge


def reply(guess: float | str, finding: Finding) -> str:
    """The guess beside the finding, in words."""
    if finding.answer is None:
        return f"You guessed {guess}. This run cannot tell which answer is right: train more seeds."
    if isinstance(finding.answer, str):
        return f"You guessed {guess}: right." if guess == finding.answer else f"You guessed {guess}; the answer is {finding.answer}."
    away = f"{abs(guess - finding.answer):.1f} from the mean"
    inside = "inside" if finding.low <= guess <= finding.high else "outside"
    return f"You guessed {format_points(guess, 1)}: {away}, {inside} the interval."
