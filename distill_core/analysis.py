"""What a run shows: accuracy with its interval, agreement, calibration. All averages are over examples."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from scipy import special
from torch import Tensor


def accuracy(logits: Tensor, labels: Tensor) -> float:
    """The fraction of examples whose top class is the label. `logits`: `(N, C)`, `labels`: `(N,)`."""
    return (logits.argmax(dim=-1) == labels).double().mean().item()


def agreement(student_logits: Tensor, teacher_logits: Tensor) -> float:
    """The fraction of examples on which student and teacher name the same class, right or wrong.

    Source: Stanton et al. 2021, *Does Knowledge Distillation Really Work?*
    """
    return accuracy(student_logits, teacher_logits.argmax(dim=-1))


def accuracy_interval(correct: int, total: int, *, level: float = 0.95) -> tuple[float, float]:
    r"""Wilson's interval for a fraction: where the true accuracy lies, when `correct` of `total` examples were right.

    $$\frac{\hat p + \frac{z^2}{2n} \pm z \sqrt{\frac{\hat p (1 - \hat p)}{n} + \frac{z^2}{4 n^2}}}{1 + \frac{z^2}{n}}$$

    - Returns `(low, high)`, fractions from 0 to 1. Raises `ValueError` unless `0 <= correct <= total` and `total > 0`.

    Source: Wilson 1927, *Probable inference, the law of succession, and statistical inference*.
    """
    if not 0 <= correct <= total or total == 0:
        raise ValueError(f"{correct} correct of {total} is no fraction; give 0 <= correct <= total, with total above 0")
    if not 0 < level < 1:
        raise ValueError(f"level {level} is no confidence level; give a number between 0 and 1, such as 0.95")
    z = special.ndtri((1 + level) / 2)
    p, n = correct / total, total
    centre = p + z**2 / (2 * n)
    half = z * math.sqrt(p * (1 - p) / n + z**2 / (4 * n**2))
    scale = 1 + z**2 / n
    low = 0.0 if correct == 0 else (centre - half) / scale
    high = 1.0 if correct == total else (centre + half) / scale
    return float(low), float(high)


def expected_calibration_error(logits: Tensor, labels: Tensor, *, bins: int = 15) -> float:
    r"""How far confidence is from accuracy: 0 when, of all verdicts given with 80 %, 80 % are right.

    $$\mathrm{ECE} = \sum_b \frac{n_b}{N} \left| \mathrm{accuracy}_b - \mathrm{confidence}_b \right|$$

    over `bins` of equal width, each `(low, high]`, of the top class's probability at T = 1. A fraction from 0 to 1.

    Source: Guo et al. 2017, *On Calibration of Modern Neural Networks*.
    """
    if len(labels) == 0:
        raise ValueError("calibration needs at least one example; give logits (N, C) with N above 0")
    confidence, verdict = torch.softmax(logits.double(), dim=-1).max(dim=-1)  # (N,)
    confidence = confidence.nan_to_num(nan=1.0)  # logits that left the range of numbers: no network is surer
    right = (verdict == labels).double()
    edges = torch.linspace(0, 1, bins + 1, dtype=torch.float64, device=logits.device)
    of_bin = torch.bucketize(confidence, edges[1:-1])  # (low, high]
    gap = torch.zeros(bins, dtype=torch.float64, device=logits.device)
    gap.index_add_(0, of_bin, right - confidence)
    return (gap.abs().sum() / len(labels)).item()


def scores(logits: Tensor, labels: Tensor, teacher_logits: Tensor, *, classes: int, parameters: int) -> dict:
    """Everything a result says of one network, as plain numbers. `logits`, `teacher_logits`: `(N, C)` of the test set."""
    wrong = logits.argmax(dim=-1) != labels
    errors, total = int(wrong.sum()), len(labels)
    low, high = accuracy_interval(total - errors, total)
    return {
        "test_accuracy": (total - errors) / total,
        "low": low,
        "high": high,
        "test_errors": errors,
        "test_images": total,
        "errors_by_class": torch.bincount(labels[wrong], minlength=classes).tolist(),
        "agreement": agreement(logits, teacher_logits),
        "ece": expected_calibration_error(logits, labels),
        "parameters": parameters,
    }


def mean_interval(values: Sequence[float], *, level: float = 0.95) -> tuple[float, float, float]:
    """Mean of independent values with Student's t interval: `(mean, low, high)`; one value alone has no interval (NaN)."""
    values = np.asarray(values, dtype=np.float64)
    mean = float(values.mean())
    if len(values) < 2:
        return mean, math.nan, math.nan
    half = special.stdtrit(len(values) - 1, (1 + level) / 2) * values.std(ddof=1) / math.sqrt(len(values))
    return mean, float(mean - half), float(mean + half)


def paired_difference(students: Sequence[float], baselines: Sequence[float], *, level: float = 0.95) -> tuple[float, float, float]:
    """Student minus baseline, seed by seed: mean and t interval `(mean, low, high)`, in the unit of the inputs.

    Paired, because both started from the same weights and saw the same images: what the seed does to both cancels.
    """
    return mean_interval(np.subtract(students, baselines), level=level)


def confusion(verdicts: Sequence[int], labels: Sequence[int], *, classes: int) -> np.ndarray:
    """How often each class (row) was called each class (column): `(C, C)` counts."""
    return np.bincount(np.asarray(labels) * classes + np.asarray(verdicts), minlength=classes**2).reshape(classes, classes)


# --- in words -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Verdict:
    """What a race showed: a sentence, and student minus baseline in percentage points with its 95 % interval."""

    sentence: str
    difference: float
    low: float
    high: float

    @property
    def sign(self) -> int:
        """1 if the teacher helped, -1 if it hurt, 0 if this race cannot tell."""
        return (self.low > 0) - (self.high < 0)


def verdict(results: Sequence[dict]) -> Verdict:
    """The results of one race over its seeds, in words that say so when there is no difference.

    Over several seeds the interval is of the paired difference (Student's t). One seed has only its test images to go
    by: the interval is that of two proportions, and says nothing of luck with the weights.
    """
    pairs = [(100 * r["student"]["test_accuracy"], 100 * r["baseline"]["test_accuracy"]) for r in results]
    students, baselines = (np.array(side) for side in zip(*pairs, strict=True))
    images = results[0]["student"]["test_images"]
    if len(results) > 1:
        difference, low, high = paired_difference(students, baselines)
        over = f"Over {len(results)} seeds, {images:,} test images"
    else:
        difference = students[0] - baselines[0]
        half = special.ndtri(0.975) * math.sqrt(sum(p * (100 - p) for p in pairs[0]) / images)
        low, high = difference - half, difference + half
        over = f"With one seed, {images:,} test images"
    ended = {1: "The teacher helped.", -1: "Here the teacher hurt.", 0: "This race shows no difference: zero is inside the interval."}
    found = Verdict("", float(difference), float(low), float(high))
    sentence = (
        f"{over}: the distilled student names {students.mean():.1f} % correctly, its baseline {baselines.mean():.1f} %. "
        f"The difference is {difference:+.1f} points (95 % interval {low:+.1f} to {high:+.1f}). {ended[found.sign]}"
    )
    if len(results) == 1:
        sentence += " One seed cannot tell skill from luck: take more seeds."
    return replace(found, sentence=sentence.replace("-", "\u2212"))
