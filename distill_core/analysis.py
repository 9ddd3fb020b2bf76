"""What a run shows: accuracy with its interval, agreement, calibration. All averages are over examples."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from scipy import optimize, special
from torch import Tensor, nn

from distill_core.losses import soften


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
    r"""How far confidence is from accuracy: 0 when, of all predictions given with 80 %, 80 % are right.

    $$\mathrm{ECE} = \sum_b \frac{n_b}{N} \left| \mathrm{accuracy}_b - \mathrm{confidence}_b \right|$$

    over `bins` of equal width, each `(low, high]`, of the top class's probability at T = 1. A fraction from 0 to 1.

    Source: Guo et al. 2017, *On Calibration of Modern Neural Networks*.
    """
    _, of_bin, gap = _binned(logits, labels, bins=bins)
    return _calibration_error(gap.cpu().numpy(), of_bin.cpu().numpy(), bins=bins)


def _binned(logits: Tensor, labels: Tensor, *, bins: int) -> tuple[Tensor, Tensor, Tensor]:
    """Of each example: its confidence, the bin it falls into, and how far being right (1 or 0) is above the confidence."""
    if len(labels) == 0:
        raise ValueError("calibration needs at least one example; give logits (N, C) with N above 0")
    confidence, verdict = torch.softmax(logits.double(), dim=-1).max(dim=-1)  # (N,)
    confidence = confidence.nan_to_num(nan=1.0)  # logits that left the range of numbers: no network is surer
    edges = torch.linspace(0, 1, bins + 1, dtype=torch.float64, device=logits.device)
    of_bin = torch.bucketize(confidence, edges[1:-1])  # (low, high]
    return confidence, of_bin, (verdict == labels).double() - confidence


def _calibration_error(gap: np.ndarray, of_bin: np.ndarray, *, bins: int) -> float:
    """What `expected_calibration_error` sums up, from what `_binned` found; a resample needs no more than this."""
    return float(np.abs(np.bincount(of_bin, gap, minlength=bins)).sum() / len(gap))


def reliability(logits: Tensor, labels: Tensor, *, bins: int = 15) -> dict[str, np.ndarray]:
    r"""Confidence against accuracy, bin by bin: the table behind a reliability diagram.

    $$\mathrm{accuracy}_b = \frac{1}{n_b} \sum_{i \in b} [\hat y_i = y_i]$$
    $$\mathrm{confidence}_b = \frac{1}{n_b} \sum_{i \in b} \max_c p_i(c)$$

    over `bins` of equal width, each `(low, high]`, of the top class's probability at T = 1. The gaps between both,
    weighted by `count`, add up to `expected_calibration_error`.

    - `logits`: `(N, C)`; `labels`: `(N,)`.
    - Returns arrays `(bins,)`: `low`, `high` (the edges), `count`, `accuracy`, `confidence`, and `accuracy_low`,
      `accuracy_high` (Wilson's 95 % interval); fractions from 0 to 1, NaN in a bin without examples.

    Source: Guo et al. 2017, *On Calibration of Modern Neural Networks*, section 2.
    """
    confidence, of_bin, gap = (found.cpu().numpy() for found in _binned(logits, labels, bins=bins))
    count = np.bincount(of_bin, minlength=bins)
    right = np.rint(np.bincount(of_bin, gap + confidence, minlength=bins)).astype(int)
    with np.errstate(invalid="ignore"):
        sure = np.bincount(of_bin, confidence, minlength=bins) / count
        accuracy = right / count
    intervals = [accuracy_interval(int(r), int(n)) if n else (math.nan, math.nan) for r, n in zip(right, count, strict=True)]
    low, high = np.array(intervals).T
    edges = np.linspace(0, 1, bins + 1)
    table = {"low": edges[:-1], "high": edges[1:], "count": count, "accuracy": accuracy, "confidence": sure}
    return table | {"accuracy_low": low, "accuracy_high": high}


def selective_accuracy(logits: Tensor, labels: Tensor, *, points: int = 100) -> dict[str, np.ndarray]:
    r"""Accuracy of the most confident share of the images: what is gained by keeping silent when in doubt.

    $$\mathrm{accuracy}(x) = \frac{1}{k} \sum_{i \le k} [\hat y_{(i)} = y_{(i)}], \qquad k = \lceil x N \rceil$$

    with the images sorted by the top class's probability, surest first. Equal confidences are taken as in any order:
    each of them counts as right as their average.

    - `logits`: `(N, C)`; `labels`: `(N,)`.
    - Returns arrays `(points,)`: `share` (above 0, to 1), `accuracy`, `low`, `high` (Wilson's 95 % interval); fractions.

    Source: Geifman and El-Yaniv 2017, *Selective Classification for Deep Neural Networks*.
    """
    confidence, _, gap = (found.cpu().numpy() for found in _binned(logits, labels, bins=1))
    order = np.argsort(-confidence, kind="stable")
    right = np.rint((gap + confidence)[order]).cumsum()
    n = len(order)
    ends = np.append(np.flatnonzero(np.diff(confidence[order])), n - 1)  # the last of each run of equal confidences
    share = np.arange(1, points + 1) / points
    taken = np.maximum(1, np.ceil(share * n - 1e-9))
    accuracy = np.interp(taken, [0, *(ends + 1)], [0, *right[ends]]) / taken
    intervals = [accuracy_interval(round(a * k), int(k)) for a, k in zip(accuracy, taken, strict=True)]
    low, high = np.array(intervals).T
    return {"share": share, "accuracy": accuracy, "low": low, "high": high}


MIN_SCALE, MAX_SCALE = 0.01, 100.0  # the temperatures among which fit_temperature looks


def fit_temperature(logits: Tensor, labels: Tensor) -> float:
    r"""Temperature scaling: the one T that makes the confidence of these examples fit how often they are right.

    $$T^* = \arg\min_T \; -\frac{1}{N} \sum_i \log \mathrm{softmax}(z_i / T)_{y_i}$$

    The negative log-likelihood is convex in $1/T$, so its slope

    $$\frac{1}{N} \sum_i \Big( \sum_c p_i(c) \, z_i(c) - z_i(y_i) \Big)$$

    has one zero, found by Brent's method. T above 1: the network was too sure. No verdict changes. From 0.01 to 100.

    - `logits`: `(N, C)`, finite, held out from training; `labels`: `(N,)`. Returns T.

    Source: Guo et al. 2017, *On Calibration of Modern Neural Networks*, section 4.2.
    """
    z = logits.double()
    if len(labels) == 0 or not z.isfinite().all():
        raise ValueError("a temperature can be fitted only to finite logits of at least one example; give logits (N, C)")
    chosen = z.gather(-1, labels.unsqueeze(-1)).squeeze(-1)  # (N,)

    def slope(sharpness: float) -> float:
        return ((torch.softmax(z * sharpness, dim=-1) * z).sum(dim=-1) - chosen).mean().item()

    least, most = 1 / MAX_SCALE, 1 / MIN_SCALE
    if slope(least) >= 0:  # no better than chance: the flattest is the best
        return MAX_SCALE
    if slope(most) <= 0:  # never wrong: the sharpest is the best
        return MIN_SCALE
    return float(1 / optimize.brentq(slope, least, most, xtol=1e-9))


def calibrate(logits: Tensor, labels: Tensor, *, bins: int = 15, seed: int = 0) -> dict:
    """Temperature scaling, judged fairly: T is fitted on a half of the examples drawn by `seed`, ECE and negative
    log-likelihood (nats) are measured on the other half.

    - Returns `temperature`, `fitted` and `reported` (how many examples), and for `ece` and `nll` each `before`, `after` and
      `difference` as `(value, low, high)` with a 95 % bootstrap interval over the reported half; `difference` is paired.
    """
    order = torch.from_numpy(np.random.default_rng(seed).permutation(len(labels)))
    fit, rest = order[: len(order) // 2], order[len(order) // 2 :]
    temperature = fit_temperature(logits[fit], labels[fit])
    scaled = {"before": logits[rest].double(), "after": logits[rest].double() / temperature}
    found = {when: _binned(z, labels[rest], bins=bins)[1:] for when, z in scaled.items()}
    (bin0, gap0), (bin1, gap1) = ([t.numpy() for t in found[when]] for when in ("before", "after"))
    loss0, loss1 = (nn.functional.cross_entropy(scaled[when], labels[rest], reduction="none").numpy() for when in ("before", "after"))

    def error(gap: np.ndarray, of_bin: np.ndarray) -> float:
        return _calibration_error(gap, of_bin, bins=bins)

    return {
        "temperature": temperature,
        "fitted": len(fit),
        "reported": len(rest),
        "ece": {
            "before": bootstrap_interval(error, gap0, bin0, least=0.0, seed=seed),
            "after": bootstrap_interval(error, gap1, bin1, least=0.0, seed=seed),
            "difference": bootstrap_interval(lambda a, b, c, d: error(c, d) - error(a, b), gap0, bin0, gap1, bin1, seed=seed),
        },
        "nll": {
            "before": bootstrap_interval(np.mean, loss0, least=0.0, seed=seed),
            "after": bootstrap_interval(np.mean, loss1, least=0.0, seed=seed),
            "difference": bootstrap_interval(np.mean, loss1 - loss0, seed=seed),
        },
    }


def bootstrap_interval(
    statistic: Callable[..., float],
    *samples: np.ndarray,
    resamples: int = 1000,
    level: float = 0.95,
    least: float = -math.inf,
    seed: int = 0,
) -> tuple[float, float, float]:
    r"""A statistic of N examples with its bootstrap interval: `(value, low, high)`, in the unit of the statistic.

    $$[\; 2 \hat\theta - q_{1 - a/2}, \;\; 2 \hat\theta - q_{a/2} \;], \qquad a = 1 - \mathrm{level}$$

    where the $q$ are quantiles of the statistic over `resamples` draws of N examples with replacement. This "basic" form
    also corrects what resampling adds: a calibration error is never negative, so noise alone makes it larger.

    - `samples`: arrays `(N, ...)` that are drawn together, row by row; `least`: below it the statistic cannot be.

    Source: Davison and Hinkley 1997, *Bootstrap Methods and their Application*, section 5.2.
    """
    n = len(samples[0])
    if n == 0:
        raise ValueError("an interval needs at least one example; give arrays of one or more rows")
    rng = np.random.default_rng(seed)
    value = float(statistic(*samples))
    drawn = np.empty(resamples)
    for k in range(resamples):
        rows = rng.integers(n, size=n)
        drawn[k] = statistic(*(sample[rows] for sample in samples))
    low, high = np.nanquantile(drawn, [(1 - level) / 2, (1 + level) / 2])
    return value, max(least, float(2 * value - high)), max(least, float(2 * value - low))


def calibration_interval(logits: Tensor, labels: Tensor, *, bins: int = 15, seed: int = 0) -> tuple[float, float, float]:
    """`expected_calibration_error` with its 95 % bootstrap interval over the examples: `(value, low, high)`, fractions."""
    _, of_bin, gap = (found.cpu().numpy() for found in _binned(logits, labels, bins=bins))
    return bootstrap_interval(lambda g, b: _calibration_error(g, b, bins=bins), gap, of_bin, least=0.0, seed=seed)


def divergence(*logits: Tensor, temperature: float = 1.0) -> Tensor:
    r"""How far K networks disagree about each image: the Jensen-Shannon divergence of their soft targets.

    $$\mathrm{JS} = H\Big(\frac{1}{K} \sum_k p_k\Big) - \frac{1}{K} \sum_k H(p_k), \qquad p_k = \mathrm{softmax}(z_k / T)$$

    0 where all say the same, ln K where each is sure of another class.

    - `logits`: K tensors `(N, C)`; one that gives a class no chance at all may hold -inf there.
    - Returns `(N,)`, in nats.

    Source: Lin 1991, *Divergence measures based on the Shannon entropy*.
    """
    soft = torch.stack([torch.softmax(z.double() / temperature, dim=-1) for z in logits])  # (K, N, C)
    entropy = torch.special.entr(soft).sum(dim=-1)  # (K, N)
    return (torch.special.entr(soft.mean(dim=0)).sum(dim=-1) - entropy.mean(dim=0)).clamp(min=0)


# --- what a teacher takes for what ----------------------------------------------------------------------------------


def mean_soft_targets(logits: Tensor, labels: Tensor, *, temperature: float, classes: int) -> np.ndarray:
    r"""What a teacher sees in each class, on average: the mean soft target of its images.

    $$M_{a b} = \frac{1}{N_a} \sum_{i : y_i = a} \mathrm{softmax}(z_i / T)_b$$

    - `logits`: `(N, C)`; `labels`: `(N,)`.
    - Returns `(C, C)`: row a is a distribution over what images of class a look like; NaN for a class without images.

    Source: Hinton, Vinyals and Dean 2015, sections 1 and 2, for the soft targets that are averaged here.
    """
    soft = soften(logits.double(), temperature=temperature)  # (N, C)
    sums = torch.zeros(classes, soft.shape[-1], dtype=torch.float64).index_add_(0, labels, soft)
    return (sums / torch.bincount(labels, minlength=classes).unsqueeze(-1)).numpy()


def class_spread(logits: np.ndarray, labels: np.ndarray) -> float:
    r"""How wide the classes lie in the teacher's logits, against how far apart: small where clusters are tight.

    $$\sqrt{ \frac{ \frac{1}{N} \sum_i \lVert z_i - \mu_{y_i} \rVert^2 }{ \frac{1}{P} \sum_{a < b} \lVert \mu_a - \mu_b \rVert^2 } }$$

    over the P pairs of classes, with $\mu_a$ the mean logits of class a. Each row of logits is centred first, because
    softmax does not see a constant; the scale of the logits cancels.

    - `logits`: `(N, C)`, `labels`: `(N,)`, as arrays. Returns a ratio, NaN with fewer than two classes.

    Source: the tightening of clusters by label smoothing is shown in Mueller, Kornblith and Hinton 2019, *When Does Label
    Smoothing Help?*, section 2; this ratio is ours.
    """
    z = logits - logits.mean(axis=1, keepdims=True)
    count = np.bincount(labels)
    sums = np.stack([np.bincount(labels, column) for column in z.T], axis=1)  # (C, C)
    mu = sums[count > 0] / count[count > 0, None]
    k = len(mu)
    if k < 2:
        return math.nan
    within = (z**2).sum() - (sums[count > 0] ** 2 / count[count > 0, None]).sum()  # by Huygens: no second pass
    between = k * (mu**2).sum() - (mu.sum(axis=0) ** 2).sum()  # over unordered pairs
    return float(np.sqrt(max(within, 0.0) / len(z) / (between / (k * (k - 1) / 2)))) if between > 0 else math.nan


def principal_components(logits: np.ndarray) -> tuple[np.ndarray, float]:
    """The two directions in which logits differ most, by singular values: `(N, 2)`, and the share of variance they show.

    Rows are centred first, because softmax does not see a constant. Signs are set, so that the same logits give the same map.
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
    """Logits laid out so that neighbours stay neighbours (t-SNE): `(N, 2)`. Distances between clusters mean nothing.

    Four seconds of one core for 1,000 test images of MNIST (3.3 to 4.6, two teachers, three times each, 2026-11-24); where
    others kept both cores of that machine busy they took 6 to 16 s.

    - `logits`: `(N, C)`.

    Source: van der Maaten and Hinton 2008, *Visualizing Data using t-SNE*.
    """
    from sklearn.manifold import TSNE
    from threadpoolctl import threadpool_limits

    z = logits - logits.mean(axis=1, keepdims=True)
    perplexity = min(30.0, max(1.0, (len(z) - 1) / 3))
    with threadpool_limits(1):  # its threads wait for each other at every step: 80 s instead of 3 s on two busy cores
        return TSNE(init="pca", perplexity=perplexity, random_state=seed).fit_transform(z.astype(np.float64))


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


def confusion(predictions: Sequence[int], labels: Sequence[int], *, classes: int) -> np.ndarray:
    """How often each class (row) was called each class (column): `(C, C)` counts."""
    return np.bincount(np.asarray(labels) * classes + np.asarray(predictions), minlength=classes**2).reshape(classes, classes)


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
