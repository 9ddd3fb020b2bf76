"""Presets: experiments with the claim of the literature, the effect that was measured, and settings that show it in seconds.

The effect of each preset was measured over at least ten seeds and is at least three standard errors from zero, for or
against distillation. `python -m distill_core preset NAME --seeds 10` measures it again.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from distill_core.analysis import verdict
from distill_core.experiment import Experiment
from distill_core.statistics import mean_interval
from distill_core.training.cohort import train_cohort


@dataclass(frozen=True)
class Measured:
    """Mean test accuracies over seeds in percent; `low` and `high` are the 95 % interval of the paired difference, in points."""

    baseline: float
    student: float
    low: float
    high: float
    seeds: int = 10

    @property
    def difference(self) -> float:
        """Student minus baseline, in percentage points."""
        return self.student - self.baseline


@dataclass(frozen=True)
class Preset:
    """An experiment with the question it answers, the claim of its source, and the measured effect. `seeds`: used by the race page."""

    title: str
    question: str
    source: str
    claim: str
    experiment: Experiment
    measured: Measured
    seeds: int = 5

    def experiments(self, seeds: int | None = None) -> list[Experiment]:
        """The experiment with the seeds 0, 1, 2 and so on."""
        return [replace(self.experiment, seed=seed) for seed in range(seeds or self.seeds)]


def measure(preset: Preset, *, seeds: int = 10, device: str = "auto") -> Iterator[dict]:
    """Run the preset. Yields the records of the cohort, and last the claim with the expected and the measured result."""
    results = []
    for record in train_cohort(preset.experiments(seeds), device=device):
        if record["event"] == "result":
            results.append(record)
        else:
            yield record
    accuracies = {member: [100 * r[member]["test_accuracy"] for r in results] for member in ("student", "baseline")}
    conclusion = verdict(results, method=preset.experiment.method)
    yield {
        "event": "claim",
        "source": preset.source,
        "claim": preset.claim,
        "expected": {"difference": preset.measured.difference, "low": preset.measured.low, "high": preset.measured.high},
        "came": {
            "baseline": mean_interval(accuracies["baseline"])[0],
            "student": mean_interval(accuracies["student"])[0],
            "difference": conclusion.difference,
            "low": conclusion.low,
            "high": conclusion.high,
            "seeds": seeds,
            "conclusion": conclusion.sentence,
        },
    }


_HINTON = "Hinton, Vinyals and Dean 2015"
_FEW_EXAMPLES = (
    "Soft targets let a model generalise from few examples (speech, 3 % of the data: 44.5 % with labels, 57.0 % with soft targets "
    "of a model that was trained on all of them)."
)
_MISSING_3 = (
    "A student trained without any 3 classified 98.6 % of the test threes correctly, after its bias for class 3 was raised by a value "
    "chosen on the test images."
)

_WITHOUT_LABELS = Experiment(dataset="mnist", images=200, unlabelled=2000, epochs=30, batch_size=16)

PRESETS = {
    "first-race": Preset(
        "A first race",
        "A small student and its baseline train on the same 200 digits, the student also with soft targets. Which has the higher accuracy?",
        f"{_HINTON}, section 6, table 5",
        _FEW_EXAMPLES,
        Experiment(images=200, epochs=100, batch_size=16),
        Measured(92.73, 94.82, 1.13, 3.05),
        seeds=10,
    ),
    "few-images": Preset(
        "Few images",
        "Training on 1,000 of MNIST's 60,000 images: how much do soft targets add?",
        f"{_HINTON}, section 6, table 5",
        _FEW_EXAMPLES,
        Experiment(dataset="mnist", images=1000),
        Measured(89.14, 90.49, 0.95, 1.76),
    ),
    "missing-3": Preset(
        "A class without images",
        "The transfer set contains no image of a 3. Can the student still recognise a 3?",
        f"{_HINTON}, section 3",
        _MISSING_3,
        Experiment(hide_classes=(3,), alpha=0.0),
        Measured(83.62, 90.53, 6.08, 7.74),
    ),
    "missing-3-mnist": Preset(
        "A class without images, on MNIST",
        "5,000 images, none of a 3. Can the student still recognise a 3?",
        f"{_HINTON}, section 3",
        _MISSING_3,
        Experiment(
            dataset="mnist", images=5000, hide_classes=(3,), student="mlp-128x2", alpha=0.0, temperature=8.0, epochs=20, batch_size=64
        ),
        Measured(85.95, 93.05, 6.46, 7.74),
        seeds=3,
    ),
    "noisy-labels": Preset(
        "Label noise, a teacher with correct labels",
        "40 % of the student's labels are wrong; its teacher learned from the same images with correct labels. What does that add?",
        'Kim et al. 2021, section "Robustness to Noisy Labels"',
        "Distillation at a low temperature, best at T = 1 or below, mitigates noisy labels (their teacher has learned the noise too). Here "
        "the teacher has seen the correct labels of these images, and its soft targets pass them on.",
        Experiment(images=400, label_noise=0.4, temperature=2.0),
        Measured(68.10, 95.65, 24.65, 30.44),
    ),
    "noisy-teacher": Preset(
        "Label noise, for the teacher too",
        "40 % of all labels are wrong, also those that the teacher learned from. Do soft targets still improve the accuracy?",
        'Kim et al. 2021, section "Robustness to Noisy Labels"',
        "Distillation at a low temperature, best at T = 1 or below, mitigates noisy labels. Here the teacher, with dropout, has seen all "
        "1,438 images; its wrong labels are drawn independently of the student's. A teacher self, which has only the student's 400 images "
        "and their wrong labels, adds +0.75 points (\u22121.77 to +3.27).",
        Experiment(images=400, label_noise=0.4, temperature=2.0, teacher="mlp-1200x2-noisy"),
        Measured(68.10, 94.87, 23.73, 29.81),
    ),
    "unlabelled": Preset(
        "Images without labels",
        "200 labelled images of MNIST, and 2,000 more without labels. How much do the teacher's soft targets on those add?",
        f"{_HINTON}, section 1",
        "The transfer set could consist entirely of unlabelled data (here 3.4 points are gained without the further images).",
        _WITHOUT_LABELS,
        Measured(77.55, 92.35, 12.75, 16.84),
        seeds=3,
    ),
    "unlabelled-noise": Preset(
        "Noise in place of images",
        "200 labelled images of MNIST, and 2,000 images of noise. Do soft targets on noise add anything?",
        "Menghani and Ravi 2019, abstract",
        "A teacher can transfer its knowledge even on images of another domain. On uniform noise hardly: the student gains 3.4 points "
        "without it, over the same ten seeds.",
        replace(_WITHOUT_LABELS, unlabelled_from="noise"),
        Measured(77.55, 81.23, 2.53, 4.82),
        seeds=3,
    ),
    "impatient": Preset(
        "Ten epochs at a high temperature",
        "A high temperature and only ten epochs on 200 images. Do soft targets still help?",
        "Beyer et al. 2022, figures 1 and 4",
        "Distillation needs patience: a student goes on improving for many more epochs than are usual with labels.",
        Experiment(images=200, epochs=10, temperature=10.0),
        Measured(89.36, 79.64, -11.98, -7.47),
    ),
    "overfit-teacher": Preset(
        "An overfitted teacher",
        "The teacher is overfitted to 1,000 images, the student trains on 5,000. Does distillation still help?",
        "Measured here",
        "A teacher with a test accuracy of 90 % lowers the accuracy of a student that reaches 94 % without it.",
        Experiment(dataset="mnist", images=5000, epochs=15, batch_size=64, teacher="mlp-1200x2-overfit"),
        Measured(93.92, 89.22, -4.88, -4.51),
        seeds=3,
    ),
    "weak-teacher": Preset(
        "An assistant of three units",
        "A teaching assistant with three hidden units sits between teacher and student. Does the student still gain?",
        "Measured here",
        "The student learns the confusions of its assistant: classes that the assistant cannot separate.",
        Experiment(assistants=("mlp-3x1",)),
        Measured(97.41, 80.25, -19.28, -15.03),
    ),
    "smoothed-teacher": Preset(
        "A smoothed teacher",
        "The race 'Few images' with a teacher that was trained with label smoothing: equal accuracy, less informative soft targets. "
        "How much do these add?",
        "M\u00fcller, Kornblith and Hinton 2019, section 4",
        "If a teacher is trained with label smoothing, distillation into a student is much less effective (here the teacher without "
        "label smoothing adds 1.44 points over the same twenty seeds).",
        Experiment(dataset="mnist", images=1000, teacher="mlp-1200x2-smoothed"),
        Measured(89.00, 89.44, 0.19, 0.70, seeds=20),
    ),
    "too-small": Preset(
        "A student of two units",
        "A student with two hidden units, a teacher with 2,400. Is the student better off with labels alone?",
        "Cho and Hariharan 2019, abstract",
        "Small students are unable to mimic large teachers.",
        Experiment(student="mlp-2x1"),
        Measured(65.60, 58.97, -9.02, -4.24),
    ),
    "plenty": Preset(
        "All 60,000 labels",
        "All 60,000 images, five epochs. Do soft targets still add anything?",
        "Measured here",
        "With many labels and few epochs, soft targets give no gain.",
        Experiment(dataset="mnist", epochs=5, batch_size=256),
        Measured(96.98, 96.77, -0.31, -0.11, seeds=20),
        seeds=3,
    ),
}


_BY_EXPERIMENT = {replace(preset.experiment, seed=0): preset for preset in reversed(PRESETS.values())}  # of equal ones the first


def preset_of(experiment: Experiment) -> Preset | None:
    """The preset that this experiment belongs to, whatever its seed; None if there is none."""
    return _BY_EXPERIMENT.get(replace(experiment, seed=0))
