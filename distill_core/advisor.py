"""The advisor: which student, temperature, alpha and method for a data set, a number of labels and a budget, and what that rests on.

It knows what was measured (`studies/advice.py`, `studies/comparison.py`, the lessons), says with which interval, and names what
was not measured. Student, T and alpha are chosen on validation images; the accuracies and gains are those on the test images.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import fmean

import numpy as np

from distill_core.data.datasets import DATASETS
from distill_core.data.uploads import title
from distill_core.experiment import Experiment
from distill_core.lessons import LESSONS
from distill_core.lessons.measured import in_words as lesson_in_words
from distill_core.lessons.measured import kept as kept_lessons
from distill_core.statistics import format_points, may_be_best, mean_interval, paired_difference
from distill_core.studies import advice, comparison

BYTES = 4  # of a parameter, a float32
ABOUT_ADVICE = ("width", "capacity_gap", "temperature", "alpha")  # the lessons whose findings it quotes
Interval = tuple[float, float, float]  # mean, low, high


@dataclass(frozen=True)
class Candidate:
    """A student that fits, with the T and alpha that are best on the validation images; all numbers in percent or points."""

    experiment: Experiment
    parameters: int
    validation: float
    accuracy: Interval
    labels_alone: Interval
    gain: Interval  # over labels alone, paired by seed

    @property
    def distils(self) -> bool:
        """Whether it uses its teacher: False where labels alone were best on the validation images."""
        return self.experiment.alpha < advice.LABELS_ALONE


@dataclass(frozen=True)
class Advice:
    """What to train. `candidates`: the students that fit, best first; none where nothing was measured for this data set.

    `reasons`: what it rests on; `gaps`: what was not measured. Both are plain sentences.
    """

    experiment: Experiment
    candidates: tuple[Candidate, ...]
    reasons: tuple[str, ...]
    gaps: tuple[str, ...]
    seeds: int = advice.SEEDS

    @property
    def headline(self) -> str:
        """The advice in one sentence."""
        one = self.experiment
        if not self.candidates:
            return f"Not measured. Usual settings: student {one.student}, soft targets, T = {one.temperature:g}, alpha = {one.alpha:g}."
        if not self.candidates[0].distils:
            return f"Student {one.student}, labels alone: no measured T and alpha was better on the validation images."
        return f"Student {one.student}, soft targets, T = {one.temperature:g}, alpha = {one.alpha:g}."


def advise(dataset: str, *, labels: int, max_bytes: float = math.inf) -> Advice:
    """The advice for a data set, a number of labels and a budget in bytes, at four bytes a parameter.

    Raises `ValueError` with one sentence for what the data set cannot give, and for a budget below every measured student.
    """
    if dataset not in DATASETS and not dataset.endswith(".zip"):
        raise ValueError(f"dataset '{dataset}' is not known; choose one of: {', '.join(DATASETS)}")
    if dataset in DATASETS and not 1 <= labels <= DATASETS[dataset].train:
        raise ValueError(f"labels {labels} cannot be had of {DATASETS[dataset].title}; give a number from 1 to {DATASETS[dataset].train:,}")
    if not max_bytes > 0:
        raise ValueError(f"a budget of {max_bytes:g} bytes is none; give a number above 0, such as 20000")
    rows = [row for row in advice.kept() if row["experiment"]["dataset"] == dataset]
    if not rows:
        return _not_measured(dataset, labels)
    counts = sorted({row["experiment"]["images"] for row in rows})
    nearest = min(counts, key=lambda count: abs(math.log(count / labels)))
    there = [row for row in rows if row["experiment"]["images"] == nearest]
    fitting = [row for row in there if BYTES * row["parameters"] <= max_bytes]
    if not fitting:
        least = min(there, key=lambda row: row["parameters"])
        size = f"{BYTES * least['parameters']:,}"
        raise ValueError(
            f"no measured student of {title_of(dataset)} fits into {max_bytes:,.0f} bytes; the smallest is "
            f"{least['experiment']['student']} with {size}; give more, or compress a trained one on the page Compress"
        )
    found = sorted(((_candidate(row), row) for row in fitting), key=lambda pair: -pair[0].validation)
    best, row = found[0]
    most = DATASETS[dataset].train - best.experiment.validation
    experiment = replace(best.experiment, images=min(labels, most))
    reasons = (_of_grid(row, len(fitting)), _equally_good(row), *_of_comparison(dataset), *_of_lessons(dataset))
    gaps = (*_gap_of_labels(dataset, labels, counts, nearest), *_gap_of_size(there, max_bytes), _gap_of_recipe(best.experiment))
    return Advice(experiment, tuple(candidate for candidate, _ in found), tuple(filter(None, reasons)), gaps, _seeds(row))


def races(found: Advice) -> list[Experiment]:
    """The advised settings as races over as many seeds as were measured."""
    return [replace(found.experiment, seed=seed) for seed in range(found.seeds)]


def title_of(dataset: str) -> str:
    """The name of a data set in a sentence."""
    return DATASETS[dataset].title if dataset in DATASETS else title(dataset)


def _not_measured(dataset: str, labels: int) -> Advice:
    measured = dict.fromkeys(DATASETS[row["experiment"]["dataset"]].title for row in advice.kept())
    gap = (
        f"{title_of(dataset)} was not measured, only {' and '.join(measured)}. These are usual settings and no advice: sweep T, alpha and "
        "the student on validation images before you trust them."
    )
    return Advice(Experiment(dataset=dataset, images=labels), (), (), (gap,))


def _candidate(row: dict) -> Candidate:
    """The best setting of a row by its mean validation accuracy, measured on the test images."""
    chosen = max(row["settings"], key=lambda setting: fmean(setting["validation"]))
    alone = advice.labels_alone(row)
    gain = paired_difference(np.array(chosen["test"]), np.array(alone["test"]), test_images=row["test_images"])
    experiment = Experiment.from_fields(row["experiment"] | {name: chosen[name] for name in ("temperature", "alpha")})
    return Candidate(
        experiment,
        row["parameters"],
        fmean(chosen["validation"]),
        mean_interval(chosen["test"], within=(0, 100)),
        mean_interval(alone["test"], within=(0, 100)),
        tuple(map(float, gain)),
    )


def _seeds(row: dict) -> int:
    return len(row["settings"][0]["test"])


# --- what it rests on, in words -------------------------------------------------------------------------------------


def _of_grid(row: dict, students: int) -> str:
    found, own = _candidate(row), row["experiment"]
    gain = f"{format_points(found.gain[0])} points ({in_words(found.gain)})"
    versus = f"{found.accuracy[0]:.1f} % ({found.accuracy[1]:.1f} to {found.accuracy[2]:.1f}) of the test images; with labels alone"
    tail = (
        f"{versus} {found.labels_alone[0]:.1f} %, a gain of {gain}."
        if found.distils
        else f"{found.accuracy[0]:.1f} % ({found.accuracy[1]:.1f} to {found.accuracy[2]:.1f}) of the test images."
    )
    return (
        f"Measured with {own['images']:,} labels over {_seeds(row)} seeds: {own['student']} classifies {tail} It was chosen on "
        f"{own['validation']:,} validation images among {students} student{'s' * (students > 1)} with {len(row['settings'])} settings each "
        f"({row['date']})."
    )


def in_words(interval: Interval) -> str:
    """An interval of a difference, with what it means where it contains zero."""
    _, low, high = interval
    tell = "" if low > 0 or high < 0 else ": these seeds cannot tell it from none"
    return f"95 % interval {format_points(low)} to {format_points(high)}{tell}"


def _equally_good(row: dict) -> str:
    """The other settings of the student that may be as good, by the validation images."""
    values = np.array([setting["validation"] for setting in row["settings"]])
    may_be = may_be_best(values, resolution=100 / row["experiment"]["validation"])
    best = int(values.mean(axis=1).argmax())
    others = [setting for place, setting in enumerate(row["settings"]) if may_be[place] and place != best]
    if not others:
        return "On the validation images it is clearly above all other measured settings of this student."
    return f"These seeds cannot tell it from: {'; '.join(map(_setting, others))}."


def _setting(setting: dict) -> str:
    alone = setting["alpha"] == advice.LABELS_ALONE
    return "labels alone" if alone else f"T = {setting['temperature']:g} with alpha = {setting['alpha']:g}"


def _of_comparison(dataset: str) -> list[str]:
    """What the comparison of all methods showed on this data set: soft targets against labels alone, and what was clearly above them."""
    found = []
    for name, setting in comparison.SETTINGS.items():
        if setting.experiment.dataset != dataset:
            continue
        compared = {row["name"]: row for row in comparison.compared(name)}
        if (usual := compared.get(comparison.REFERENCE)) is None or "baseline" not in usual["against"]:
            continue
        gain = usual["against"]["baseline"]
        others = [row for row in compared.values() if row["kind"] == "method" and row is not usual]
        methods = [row for row in others if _sign(row) > 0]
        set_ups = [row for row in compared.values() if row["kind"] not in ("method", "reference") and _sign(row) > 0]
        found.append(
            f"Comparison of methods, {setting.title}, {setting.experiment.student}: soft targets "
            f"{format_points(gain['difference'], 2)} points from labels alone ({format_points(gain['low'], 2)} to "
            f"{format_points(gain['high'], 2)}); {len(methods) or 'none'} of {len(others)} other methods clearly above soft targets"
            f"{_listed(methods)}." + (f" Of controls and set-ups, clearly above{_listed(set_ups)}." if set_ups else "")
        )
    return found or [f"The comparison of methods was not measured on {title_of(dataset)}, so the method is the usual one, soft targets."]


def _listed(rows: Sequence[dict]) -> str:
    """These methods, each with its difference from soft targets, after a colon; empty without any."""
    named = (f"{row['title']} ({format_points(row['against'][comparison.REFERENCE]['difference'], 2)} points)" for row in rows)
    return f": {'; '.join(named)}" if rows else ""


def _sign(row: dict) -> int:
    return row["against"].get(comparison.REFERENCE, {}).get("sign", 0)


def _of_lessons(dataset: str) -> list[str]:
    """What the lessons that run on this data set showed of size, temperature and alpha."""
    found = kept_lessons()
    own = [name for name in ABOUT_ADVICE if name in found and {one.dataset for one in LESSONS[name].arms.values()} == {dataset}]
    return [f"Lesson {LESSONS[name].title}: {lesson_in_words(found[name], LESSONS[name].why_not)}" for name in own]


# --- what was not measured ------------------------------------------------------------------------------------------


def _gap_of_labels(dataset: str, labels: int, counts: Sequence[int], nearest: int) -> list[str]:
    if labels in counts:
        return []
    given = ", ".join(f"{count:,}" for count in counts)
    outside = "" if counts[0] <= labels <= counts[-1] else " It lies outside of what was measured, so the gain may be another one."
    return [f"{title_of(dataset)} was measured with {given} labels, not with {labels:,}: this is the advice for {nearest:,}.{outside}"]


def _gap_of_size(there: Sequence[dict], max_bytes: float) -> list[str]:
    largest = max(there, key=lambda row: row["parameters"])
    size, names = BYTES * largest["parameters"], [row["experiment"]["student"] for row in there]
    larger = [f"No student larger than {largest['experiment']['student']} ({size:,} bytes) was measured here."] if size <= max_bytes else []
    return larger if any(name.startswith("cnn") for name in names) else [*larger, "No convolutions were measured here."]


def _gap_of_recipe(experiment: Experiment) -> str:
    temperatures, alphas = (", ".join(f"{value:g}" for value in values) for values in (advice.TEMPERATURES, advice.ALPHAS))
    return (
        f"Only one recipe was measured: teacher {experiment.teacher}, {experiment.optimizer} at {experiment.learning_rate:g}, "
        f"{experiment.epochs} epochs, batches of {experiment.batch_size}; T of {temperatures}; alpha of {alphas}. "
        "Bytes are those of float32; the page Compress rounds a trained student to fewer."
    )
