"""Experiments worth doing: what the literature says, what we measured, and the choices that show it within seconds.

A preset is here because its effect was measured over ten seeds and stands at least three standard errors from zero, in
favour of distillation or against it. `python -m distill_core preset NAME --seeds 10` measures it again.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from distill_core import analysis
from distill_core.experiment import Experiment
from distill_core.training.cohort import train_cohort


@dataclass(frozen=True)
class Measured:
    """Test accuracy in percent, averaged over seeds; `low` and `high` bound the difference with 95 % confidence."""

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
    """An experiment, the question it answers, what its source says of it and what we measured."""

    title: str
    question: str
    source: str
    claim: str
    experiment: Experiment
    measured: Measured
    seeds: int = 5

    def experiments(self, seeds: int | None = None) -> list[Experiment]:
        """The race over several seeds."""
        return [replace(self.experiment, seed=seed) for seed in range(seeds or self.seeds)]


def measure(preset: Preset, *, seeds: int = 10, device: str = "auto") -> Iterator[dict]:
    """Run the preset; yields the cohort's records, at last the claim with what came."""
    results = []
    for told in train_cohort(preset.experiments(seeds), device=device):
        if told["event"] == "result":
            results.append(told)
        else:
            yield told
    accuracies = {member: [100 * r[member]["test_accuracy"] for r in results] for member in ("student", "baseline")}
    difference, low, high = analysis.paired_difference(accuracies["student"], accuracies["baseline"])
    yield {
        "event": "claim",
        "source": preset.source,
        "claim": preset.claim,
        "expected": {"difference": preset.measured.difference, "low": preset.measured.low, "high": preset.measured.high},
        "came": {
            "baseline": analysis.mean_interval(accuracies["baseline"])[0],
            "student": analysis.mean_interval(accuracies["student"])[0],
            "difference": difference,
            "low": low,
            "high": high,
            "seeds": seeds,
        },
    }


_HINTON = "Hinton, Vinyals and Dean 2015"

PRESETS = {
    "first-race": Preset(
        "A first race",
        "Two tiny students see the same 200 digits. Does the teacher's voice help?",
        f"{_HINTON}, section 6",
        "Soft targets let a model generalise from few images (speech, 3 % of the data: 44.5 % with labels, 57.0 % with soft targets).",
        Experiment(images=200, epochs=100, batch_size=16),
        Measured(92.73, 94.82, 1.13, 3.05),
        seeds=10,
    ),
    "few-images": Preset(
        "Few images",
        "A thousand of MNIST's 60,000 images: what is a teacher worth?",
        f"{_HINTON}, section 6",
        "Soft targets let a model generalise from few images (speech, 3 % of the data: 44.5 % with labels, 57.0 % with soft targets).",
        Experiment(dataset="mnist", images=1000),
        Measured(89.09, 90.50, 1.04, 1.77),
    ),
    "missing-3": Preset(
        "A digit it never saw",
        "No image of a 3 is in the transfer set. Can the student still read a 3?",
        f"{_HINTON}, section 3",
        "A student that never saw a 3 named 98.6 % of the test threes correctly, after its bias for 3 was corrected.",
        Experiment(hide_classes=(3,), alpha=0.0),
        Measured(83.65, 90.50, 6.06, 7.64),
    ),
    "missing-3-mnist": Preset(
        "A digit it never saw, on MNIST",
        "5,000 images and no 3 among them. Can the student still read a 3?",
        f"{_HINTON}, section 3",
        "A student that never saw a 3 named 98.6 % of the test threes correctly, after its bias for 3 was corrected.",
        Experiment(
            dataset="mnist", images=5000, hide_classes=(3,), student="mlp-128x2", alpha=0.0, temperature=8.0, epochs=20, batch_size=64
        ),
        Measured(86.05, 93.06, 6.34, 7.68),
        seeds=3,
    ),
    "noisy-labels": Preset(
        "Wrong labels",
        "Four labels in ten are wrong. Whom should the student believe?",
        "Kim et al. 2021, Comparing Kullback-Leibler Divergence and Mean Squared Error Loss in Knowledge Distillation",
        "Distillation at a low temperature mitigates noisy labels.",
        Experiment(images=400, label_noise=0.4, temperature=2.0),
        Measured(68.16, 95.65, 24.60, 30.38),
    ),
    "impatient": Preset(
        "Where it hurts: too few steps",
        "A high temperature and ten short epochs. Is soft always better?",
        "Beyer et al. 2022, Knowledge distillation: A good teacher is patient and consistent",
        "A student that matches its teacher needs patience: many more epochs than labels alone would take.",
        Experiment(images=200, epochs=10, temperature=10.0),
        Measured(89.36, 79.64, -11.98, -7.47),
    ),
    "overfit-teacher": Preset(
        "Where it hurts: an overfit teacher",
        "The teacher knows a thousand images by heart, the student sees 5,000. Who should teach whom?",
        "Measured here",
        "A teacher that names 90 % of the test images holds back a student that comes to 94 % by itself.",
        Experiment(dataset="mnist", images=5000, epochs=15, batch_size=64, teacher="mlp-1200x2-overfit"),
        Measured(93.91, 89.23, -4.87, -4.50),
        seeds=3,
    ),
    "weak-teacher": Preset(
        "Where it hurts: a weak teacher",
        "Between teacher and student stands an assistant of three units. What gets through?",
        "Measured here",
        "Whatever the assistant cannot tell apart, the student is taught to confuse.",
        Experiment(assistants=("mlp-3x1",)),
        Measured(97.38, 80.25, -19.22, -15.04),
    ),
    "smoothed-teacher": Preset(
        "Where it hardly helps: a smoothed teacher",
        "The same race as with a few images, but the teacher was trained on smoothed labels: it is as good, and says less.",
        "M\u00fcller, Kornblith and Hinton 2019, When Does Label Smoothing Help?",
        "If a teacher is trained with label smoothing, distillation into a student is much less effective (here the plain teacher "
        "is worth 1.4 points).",
        Experiment(dataset="mnist", images=1000, teacher="mlp-1200x2-smoothed", temperature=8.0),
        Measured(89.02, 89.45, 0.22, 0.63, seeds=20),
    ),
    "too-small": Preset(
        "Where it hurts: far too small a student",
        "Two hidden units are to sound like a teacher of 2,400. Would labels alone not be kinder?",
        "Cho and Hariharan 2019, On the Efficacy of Knowledge Distillation",
        "Small students are unable to mimic large teachers.",
        Experiment(student="mlp-2x1"),
        Measured(65.60, 58.97, -9.02, -4.24),
    ),
    "plenty": Preset(
        "Where it does not help: plenty of labels",
        "All 60,000 images and five epochs. Is there anything left for the teacher to give?",
        "Measured here",
        "With labels in plenty and little time, the soft targets of the teacher are no gain.",
        Experiment(dataset="mnist", epochs=5, batch_size=256),
        Measured(96.93, 96.80, -0.22, -0.05),
        seeds=3,
    ),
}


def preset_of(experiment: Experiment) -> Preset | None:
    """The preset that this experiment is a seed of, if any."""
    return next((p for p in PRESETS.values() if replace(p.experiment, seed=0) == replace(experiment, seed=0)), None)
