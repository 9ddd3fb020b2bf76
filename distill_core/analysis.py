"""Measures of trained networks: accuracy, agreement, dark knowledge, and the conclusion of a race in words.

All averages are over examples. Intervals are in `statistics.py`, calibration in `calibration.py`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from distill_core.calibration import expected_calibration_error
from distill_core.data.dataset import Dataset
from distill_core.data.text import Text
from distill_core.losses import bits_per_character, hard_loss, soft_loss, soften
from distill_core.statistics import (
    ACCURACY,
    BITS,
    Score,
    accuracy_interval,
    format_bits,
    format_points,
    paired_bits,
    paired_difference,
    score_of,
)
from distill_core.text_objectives import method_of


def accuracy(logits: Tensor, labels: Tensor) -> float:
    """The fraction of examples whose top class is the label. `logits`: `(N, C)`, `labels`: `(N,)`."""
    return (logits.argmax(dim=-1) == labels).double().mean().item()


def measure_of(dataset: Dataset) -> Score:
    """By what networks are judged on a data set: accuracy, of a text bits a character."""
    return BITS if dataset.is_text else ACCURACY


def score(logits: Tensor, dataset: Dataset) -> dict[str, float]:
    """By what a network is judged on the test set: `test_accuracy`, of a text `test_bits_per_character`."""
    return {measure_of(dataset).field: score_on(logits, dataset.test_labels, dataset)}


def score_on(logits: Tensor, labels: Tensor, dataset: Dataset) -> float:
    """The same measure on any examples of the data set, such as those that are held out."""
    if dataset.is_text:
        return bits_per_character(logits.float(), labels, characters=dataset.characters_of(labels)).item()
    return accuracy(logits, labels)


def bits_of_windows(logits: Tensor, dataset: Text) -> Tensor:
    """Bits a character of each test window, `(..., N)`, from logits `(..., N, L, V)`."""
    labels = dataset.test_labels.expand(logits.shape[:-1]).unsqueeze(-1)
    nats = -torch.log_softmax(logits.double(), dim=-1).gather(-1, labels).squeeze(-1)  # (..., N, L)
    return nats.mean(dim=-1) / (dataset.characters_per_token * math.log(2))


def standard_error(values: Tensor) -> float:
    """The standard error of the mean of independent values `(N,)`."""
    return (values.double().std() / math.sqrt(len(values))).item()


def agreement(student_logits: Tensor, teacher_logits: Tensor) -> float:
    """The fraction of examples on which student and teacher predict the same class, correct or not.

    `student_logits`, `teacher_logits`: `(N, C)`.

    Source: Stanton et al. 2021, section 3.2, equation 2.
    """
    return accuracy(student_logits, teacher_logits.argmax(dim=-1))


def divergence(*logits: Tensor, temperature: float = 1.0) -> Tensor:
    r"""Disagreement of K networks on each image: the Jensen-Shannon divergence of their soft targets.

    $$\mathrm{JS} = H\Big(\frac{1}{K} \sum_k p_k\Big) - \frac{1}{K} \sum_k H(p_k), \qquad p_k = \mathrm{softmax}(z_k / T)$$

    0 where all K distributions are equal, ln K where each puts all probability on a different class.

    - `logits`: K tensors `(N, C)`; -inf stands for a probability of exactly 0.
    - Returns `(N,)`, in nats.

    Source: Lin 1991 (section not checked).
    """
    soft = torch.stack([torch.softmax(z.double() / temperature, dim=-1) for z in logits])  # (K, N, C)
    entropy = torch.special.entr(soft).sum(dim=-1)  # (K, N)
    return (torch.special.entr(soft.mean(dim=0)).sum(dim=-1) - entropy.mean(dim=0)).clamp(min=0)


# --- dark knowledge -------------------------------------------------------------------------------------------------


def mean_soft_targets(logits: Tensor, labels: Tensor, *, temperature: float, classes: int) -> np.ndarray:
    r"""The mean soft target of each class's images: which other classes a teacher finds similar to it.

    $$M_{a b} = \frac{1}{N_a} \sum_{i : y_i = a} \mathrm{softmax}(z_i / T)_b$$

    - `logits`: `(N, C)`; `labels`: `(N,)`.
    - Returns `(C, C)`: row a is a distribution over classes, averaged over the images of class a; NaN for a class without images.

    Source: Hinton, Vinyals and Dean 2015, sections 1 and 2, for the soft targets that are averaged here.
    """
    soft = soften(logits.double(), temperature=temperature)  # (N, C)
    sums = torch.zeros(classes, soft.shape[-1], dtype=torch.float64).index_add_(0, labels, soft)
    return (sums / torch.bincount(labels, minlength=classes).unsqueeze(-1)).numpy()


def class_spread(logits: np.ndarray, labels: np.ndarray) -> float:
    r"""Spread within classes over distance between classes, in the logits: small where clusters are tight.

    $$\sqrt{ \frac{ \frac{1}{N} \sum_i \lVert z_i - \mu_{y_i} \rVert^2 }{ \frac{1}{P} \sum_{a < b} \lVert \mu_a - \mu_b \rVert^2 } }$$

    over the P pairs of classes, with $\mu_a$ the mean logits of class a. Each row of logits is centred first, because
    softmax does not depend on a constant added to a row; the scale of the logits cancels.

    - `logits`: `(N, C)`, `labels`: `(N,)`, as arrays. Returns a ratio, NaN with fewer than two classes.

    Source: Müller, Kornblith and Hinton 2019, section 2, show that label smoothing tightens clusters; this ratio is ours.
    """
    z = logits - logits.mean(axis=1, keepdims=True)
    count = np.bincount(labels)
    sums = np.stack([np.bincount(labels, column) for column in z.T], axis=1)  # (C, C)
    mu = sums[count > 0] / count[count > 0, None]
    k = len(mu)
    if k < 2:
        return math.nan
    within = (z**2).sum() - (sums[count > 0] ** 2 / count[count > 0, None]).sum()  # sum of squares minus N times the squared mean
    between = k * (mu**2).sum() - (mu.sum(axis=0) ** 2).sum()  # over unordered pairs
    return float(np.sqrt(max(within, 0.0) / len(z) / (between / (k * (k - 1) / 2)))) if between > 0 else math.nan


def principal_components(logits: np.ndarray) -> tuple[np.ndarray, float]:
    """The first two principal components of logits `(N, C)`: coordinates `(N, 2)`, and the share of variance they explain.

    Rows are centred first, because softmax does not depend on a constant added to a row. The sign of each component is
    fixed, so that the same logits always give the same coordinates.
    """
    z = logits - logits.mean(axis=1, keepdims=True)
    z = z - z.mean(axis=0)
    _, sizes, directions = np.linalg.svd(z, full_matrices=False)
    directions = directions[:2]
    strongest = np.abs(directions).argmax(axis=1)
    directions = directions * np.sign(directions[np.arange(len(directions)), strongest])[:, None]
    total = (sizes**2).sum()
    return z @ directions.T, float((sizes[:2] ** 2).sum() / total) if total > 0 else 1.0


def neighbour_map(logits: np.ndarray, *, seed: int = 0) -> np.ndarray:
    """A t-SNE embedding of logits: neighbours stay neighbours, but distances between clusters have no meaning.

    - `logits`: `(N, C)`. Returns coordinates `(N, 2)`.

    1,000 test images of MNIST take four seconds on one core (3.3 to 4.6 s, two teachers, three times each, 2026-11-24), and
    6 to 16 s while other programs use both cores.

    Source: van der Maaten and Hinton 2008, section 3.
    """
    from sklearn.manifold import TSNE
    from threadpoolctl import threadpool_limits

    z = logits - logits.mean(axis=1, keepdims=True)
    perplexity = min(30.0, max(1.0, (len(z) - 1) / 3))
    with threadpool_limits(1):  # with more threads, which wait for each other at every step, 80 s instead of 3 s on two busy cores
        return TSNE(init="pca", perplexity=perplexity, random_state=seed).fit_transform(z.astype(np.float64))


def scores(logits: Tensor, labels: Tensor, teacher_logits: Tensor, *, classes: int, parameters: int) -> dict:
    """All scores of one network in a result, as plain numbers.

    - `logits`, `teacher_logits`: `(N, C)` on the test set; `labels`: `(N,)`.
    - Returns `test_accuracy` with Wilson's 95 % interval `low` and `high`, `agreement` and `ece` as fractions; `test_errors`,
      `test_images`, `errors_by_class` and `parameters` as counts; `nll` (the mean cross-entropy with the labels) and
      `teacher_kl` (the mean KL(teacher || student)) in nats, both at T = 1 and None where the network diverged.

    Agreement compares top classes only; `teacher_kl` compares whole distributions. Source: Stanton et al. 2021,
    section 3.2, which uses both as measures of fidelity.
    """
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
        "nll": _finite(hard_loss(logits.double(), labels)),
        "teacher_kl": _finite(soft_loss(logits.double(), teacher_logits.double(), temperature=1.0)),
        "parameters": parameters,
    }


def text_scores(logits: Tensor, dataset: Text, teacher_logits: Tensor, *, parameters: int) -> dict:
    """The same of a language model, from logits `(N, L, V)` of the test windows.

    `test_bits_per_character` with its 95 % interval over windows, `low` and `high`; `test_images` counts windows. `nll` and
    `teacher_kl` are in nats a token. Where the true next-token distribution is known, `truth_kl` is the mean KL(truth || student)
    in nats a token, and `entropy_rate` the bits a character of the truth on the same windows, which no model beats by more than chance.
    """
    labels, bits = dataset.test_labels, bits_of_windows(logits, dataset)
    mean, margin = bits.mean().item(), 1.96 * standard_error(bits)
    rows, of_teacher = logits.flatten(0, -2), teacher_logits.flatten(0, -2)
    found = {
        "test_bits_per_character": mean if math.isfinite(mean) else None,
        "low": mean - margin if math.isfinite(mean) else None,
        "high": mean + margin if math.isfinite(mean) else None,
        "test_images": len(labels),
        "test_tokens": labels.numel(),
        "agreement": agreement(rows, of_teacher),
        "ece": expected_calibration_error(rows, labels.flatten()),
        "nll": _finite(hard_loss(rows.double(), labels.flatten())),
        "teacher_kl": _finite(soft_loss(rows.double(), of_teacher.double(), temperature=1.0)),
        "parameters": parameters,
    }
    if dataset.truth is not None:
        truth = dataset.truth(dataset.test_images)  # (N, L, V); -inf for words that cannot come
        found["truth_kl"] = _finite(kl_to_truth(truth, logits))
        found["entropy_rate"] = bits_of_windows(truth, dataset).mean().item()
    return found


def kl_to_truth(log_truth: Tensor, logits: Tensor) -> Tensor:
    """The mean KL(truth || model) in nats, from the true log-probabilities and the model's logits, `(..., V)`; 0 log 0 is 0."""
    log_p, log_q = log_truth.double(), torch.log_softmax(logits.double(), dim=-1)
    return torch.where(log_p.isinf(), 0.0, log_p.exp() * (log_p - log_q)).sum(dim=-1).mean()


def _finite(value: Tensor) -> float | None:
    """A scalar as a number; None for NaN and infinity, which JSON does not have."""
    return value.item() if value.isfinite() else None


def discordant(correct: Tensor, other_correct: Tensor) -> int:
    """On how many images one network is correct and another is not: one of the two counts of McNemar's test. Both `(N,)`, bool."""
    return int((correct & ~other_correct).sum())


def confusion(predictions: Sequence[int], labels: Sequence[int], *, classes: int) -> np.ndarray:
    """The confusion matrix `(C, C)`: how often each class (row) was predicted as each class (column)."""
    return np.bincount(np.asarray(labels) * classes + np.asarray(predictions), minlength=classes**2).reshape(classes, classes)


# --- the conclusion in words ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Verdict:
    """The conclusion of a race: a sentence, and student minus baseline with its 95 % interval, in the unit of `score`.

    That is percentage points of test accuracy; of a text bits a character, of which fewer are better.
    """

    sentence: str
    difference: float
    low: float
    high: float
    score: Score = ACCURACY

    @property
    def sign(self) -> int:
        """1 if the whole interval is on the better side of zero, -1 if it is on the other, 0 if it includes zero."""
        return self.score.sign * ((self.low > 0) - (self.high < 0))


EQUIVALENCE_MARGIN = ACCURACY.margin  # points: an interval inside plus and minus this margin is called no difference

# The words for an interval above zero (1) and below it (-1): a method without a teacher has no teacher that helped.
TEACHER = {1: "The teacher helped", -1: "Here the teacher hurt"}
PEERS = {1: "Mutual learning helped", -1: "Here mutual learning hurt"}
NEITHER = {1: "The student is above its baseline", -1: "The student is below its baseline"}
ONE_SEED = {1: "This student is above this baseline", -1: "This student is below this baseline"}
BETTER = {1: "The student is better than its baseline", -1: "The student is worse than its baseline"}  # where lower is better
BETTER_ONE_SEED = {1: "This student is better than this baseline", -1: "This student is worse than this baseline"}


def verdict(results: Sequence[dict], *, method: str = "") -> Verdict:
    """The conclusion of one race from its results, one per seed, as `train --json` prints them.

    The interval is that of `statistics.paired_difference`. With one seed it does not cover the variation between seeds, so
    nothing is said of the method. `method`: a key of METHODS, which sets the words; by default that of the first result.
    """
    first = results[0]
    if score_of(first["student"]) is BITS:
        return _verdict_of_text(results, _claims(method or _method(first)))
    students, baselines = ([100 * r[role]["test_accuracy"] for r in results] for role in ("student", "baseline"))
    images, discordant = first["student"]["test_images"], _discordant(first)
    found = paired_difference(students, baselines, test_images=images, discordant=discordant and sum(discordant))
    conclusion = Verdict("", *map(float, found))
    seeds = f"Over {len(results)} seeds" if len(results) > 1 else "With one seed"
    sentence = f"{seeds}, {images:,} test images: the student has a test accuracy of {np.mean(students):.2f} %"
    sentence += f", its baseline {np.mean(baselines):.2f} %. "
    if len(results) > 1:
        return replace(conclusion, sentence=sentence + _in_words(conclusion, _claims(method or _method(first))))
    if discordant:
        sentence += f"{discordant[0]:,} images are classified correctly only by the student, {discordant[1]:,} only by the baseline. "
    sentence += _in_words(conclusion, ONE_SEED)
    sentence += " The interval covers the choice of test images, not the variation between seeds: train more seeds."
    return replace(conclusion, sentence=sentence)


def _verdict_of_text(results: Sequence[dict], claims: dict[int, str]) -> Verdict:
    """The same in bits a character, of which fewer are better."""
    first, several = results[0]["student"], len(results) > 1
    both = ([r[role][BITS.field] for r in results] for role in ("student", "baseline"))
    students, baselines = ([math.nan if bits is None else bits for bits in one] for one in both)
    conclusion = Verdict("", *map(float, paired_bits(students, baselines, error=first.get("difference_error"))), BITS)
    seeds = f"Over {len(results)} seeds" if several else "With one seed"
    sentence = f"{seeds}, {first['test_images']:,} test windows: the student needs {format_bits(np.mean(students))} bits a character"
    sentence += f", its baseline {format_bits(np.mean(baselines))} (lower is better). "
    sentence += _in_words(conclusion, (BETTER if claims is NEITHER else claims) if several else BETTER_ONE_SEED)
    if not several:
        sentence += " The interval covers the choice of test windows, not the variation between seeds: train more seeds."
    return replace(conclusion, sentence=sentence)


def _discordant(result: dict) -> tuple[int, int] | None:
    """The test images that only the student, and only the baseline, classifies correctly; None in results of earlier versions."""
    counts = tuple(result[role].get("discordant") for role in ("student", "baseline"))
    return None if None in counts else counts


def _method(result: dict) -> str:
    """The method of a result; soft targets where the result has the number of its experiment in place of the experiment."""
    experiment = result.get("experiment")
    return experiment["method"] if isinstance(experiment, dict) else "soft-targets"


def _claims(method: str) -> dict[int, str]:
    """What may be said of a method whose interval excludes zero. Controls and mistakes are not there to help."""
    entry = method_of(method)
    return NEITHER if entry.kind in ("control", "mistake") else PEERS if entry.scheme == "online" else TEACHER


def _in_words(conclusion: Verdict, claims: dict[int, str]) -> str:
    """What the interval allows to say: above or below zero, no difference larger than the margin of equivalence, or neither."""
    score = conclusion.score
    digits = score.digits - (conclusion.high - conclusion.low >= 1)
    difference, low, high = (format_points(value, digits) for value in (conclusion.difference, conclusion.low, conclusion.high))
    is_small = max(-conclusion.low, conclusion.high) <= score.margin
    if conclusion.sign:
        amount = f", by no more than {score.margin:g} {score.unit}" if is_small else ""
        return f"{claims[conclusion.sign]}{amount}: the difference is {difference} {score.unit} (95 % interval {low} to {high})."
    between = f"the difference is between {low} and {high} {score.unit} (95 % interval, mean {difference} {score.unit})."
    if is_small:
        return f"There is no difference larger than {score.margin:g} {score.unit}, the margin of equivalence: {between}"
    return f"One cannot tell: {between}"
