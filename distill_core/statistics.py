"""Means, confidence intervals and paired differences: numpy and scipy, no torch.

The intervals are the formulas, computed with `scipy.special`: `scipy.stats` has them too, but its import adds 0.3 s to the
first page. The tests compare both.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import special


@dataclass(frozen=True)
class Score:
    """By what networks are judged on a test set: the field of records and results, its unit, and which direction is better.

    A value is multiplied by `scale` before it is compared or written; `sign` is 1 where higher is better, -1 where lower is.
    `margin`: differences within plus and minus it are called none. `validation`: the field of the same measure on what is held out.
    """

    field: str
    unit: str
    scale: float
    sign: int
    margin: float
    digits: int  # of a difference
    validation: str


ACCURACY = Score("test_accuracy", "points", 100.0, 1, 0.5, 2, "validation_accuracy")
BITS = Score("test_bits_per_character", "bits a character", 1.0, -1, 0.005, 4, "validation_bits_per_character")


def score_of(scores: Mapping[str, object]) -> Score:
    """The score of a record, or of one network in a result: bits a character of a text, accuracy of images."""
    return BITS if BITS.field in scores else ACCURACY


def paired_bits(students: np.ndarray, baselines: np.ndarray, *, error: float | None = None, level: float = 0.95) -> tuple:
    """`paired_difference` of bits a character: student minus baseline, so that below zero is better; `(mean, low, high)`.

    Of several seeds it is Student's t interval. Of one seed it is the normal interval of `error`, the standard error of the mean
    difference over the test windows; NaN where that is not known.

    - `students`, `baselines`: `(..., n)`, of n seeds. Returns three arrays `(...)`, in bits a character.
    """
    differences = np.subtract(students, baselines, dtype=np.float64)
    mean = differences.mean(axis=-1)
    if differences.shape[-1] > 1:
        margin = t_margin(differences, level=level)
    else:
        margin = special.ndtri((1 + level) / 2) * (math.nan if error is None else error) + np.zeros_like(mean)
    return mean, mean - margin, mean + margin


def mean_interval(
    values: Sequence[float], *, level: float = 0.95, within: tuple[float, float] = (-math.inf, math.inf)
) -> tuple[float, float, float]:
    """Mean of independent values with Student's t interval: `(mean, low, high)`, in the unit of the values.

    `within`: the lowest and highest possible value, such as 0 and 100 %, which the limits do not pass. A single value has no
    interval: `low` and `high` are NaN.
    """
    values = np.asarray(values, dtype=np.float64)
    mean = float(values.mean())
    if len(values) < 2:
        return mean, math.nan, math.nan
    margin = t_margin(values, level=level)
    return mean, float(max(mean - margin, within[0])), float(min(mean + margin, within[1]))


def t_margin(values: np.ndarray, *, level: float = 0.95) -> np.ndarray:
    r"""Half the width of Student's t interval of the mean over the last axis.

    $$t_{n-1,\,(1+\mathrm{level})/2} \; \frac{s}{\sqrt{n}}$$

    - `values`: `(..., n)` with n of 2 or more. Returns `(...)`, in the unit of the values.
    """
    n = values.shape[-1]
    return special.stdtrit(n - 1, (1 + level) / 2) * values.std(axis=-1, ddof=1) / math.sqrt(n)


def paired_difference(
    students: np.ndarray, baselines: np.ndarray, *, test_images: int, discordant: int | None = None, level: float = 0.95
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    r"""Student minus baseline, seed by seed: the mean difference of their test accuracies with its interval `(mean, low, high)`.

    The values are paired because both networks of a seed start from the same weights and train on the same images: the
    variation between seeds that both share cancels.

    **Several seeds**: Student's t interval, with a floor. Two seeds that gain one image each do not show that every seed
    gains one, although their standard deviation is 0. The interval is never narrower than `discordant_margin` for all n
    seeds together, with the fewest discordant images that the differences allow, and never narrower than one test image
    to either side. It covers the variation between seeds, with this teacher and these test images held fixed.

    **One seed**: `discordant_margin` of the pair, or, where `discordant` is not known, the wider `two_proportions_margin`.
    It covers the choice of test images, and not the variation between seeds.

    The limits stay within what the baseline allows: an accuracy is between 0 and 100 %.

    - `students`, `baselines`: `(..., n)` test accuracies in percent, of n seeds. `test_images`: on how many they were measured.
    - `discordant`: test images that exactly one of the two networks classifies correctly; read for one seed only.
    - Returns three arrays `(...)`, in percentage points.

    Source: Student 1908 (section not checked); the floor is ours. `tests/test_statistics.py` draws 10,000 races
    for each number of seeds to count how often the interval is wrong.
    """
    students, baselines = np.asarray(students, dtype=np.float64), np.asarray(baselines, dtype=np.float64)
    differences = students - baselines
    n, mean, baseline = differences.shape[-1], differences.mean(axis=-1), baselines.mean(axis=-1)
    fewest = np.abs(differences).sum(axis=-1) * test_images / 100
    paired = {"total": n * test_images, "difference": mean / 100, "level": level}
    if n > 1:
        margin = np.maximum(t_margin(differences, level=level), 100 * discordant_margin(fewest, **paired))
    elif discordant is not None:
        margin = 100 * discordant_margin(discordant, **paired)
    else:
        margin = 100 * two_proportions_margin(students[..., 0] / 100, baselines[..., 0] / 100, test_images, level=level)
        margin = np.maximum(margin, 100 * discordant_margin(fewest, **paired))
    margin = np.maximum(margin, 100 / test_images)
    low, high = np.maximum(mean - margin, -baseline), np.minimum(mean + margin, 100 - baseline)
    return mean, np.round(low, 9), np.round(high, 9)  # rounded, so that a limit of zero is not 1e-15 because of binary fractions


def discordant_margin(discordant: np.ndarray, *, total: int, difference: np.ndarray, level: float = 0.95) -> np.ndarray:
    r"""Half the width of the Wald+2 interval for the difference of two accuracies on the same `total` images.

    $$\frac{z}{N + 2} \sqrt{d + 1 - \frac{(N \delta)^2}{N + 2}}$$

    Only the d discordant images, which exactly one of the two networks classifies correctly, count: that is McNemar's test.
    The interval excludes zero where that test, in its mid-p form, has p < 0.05 (up to p between 0.049 and 0.051). One half is
    added to each of the four counts, so that the width is never zero.

    - `discordant`: d; `total`: N; `difference`: $\delta$, a fraction. Returns a fraction.

    Source: Agresti and Min 2005, the author's code, where it is called Wald+2; McNemar 1947 (section not checked).
    """
    z = special.ndtri((1 + level) / 2)
    return z * np.sqrt(discordant + 1 - (total * difference) ** 2 / (total + 2)) / (total + 2)


def paired_p_value(first: Sequence[float], second: Sequence[float], *, resolution: float = 0.0) -> float:
    r"""The two-sided p-value of the paired t test of equal means, for values that are paired by seed.

    $$t = \frac{\bar d}{\max(s, r) / \sqrt{n}}, \qquad p = 2 \, P(T_{n-1} > |t|)$$

    - `first`, `second`: n values each, n of 2 or more. `resolution`: r, the least standard deviation of the differences, such
      as that of one test image: a few equal differences do not show that there is no variation. Returns a probability.
    """
    differences = np.subtract(first, second, dtype=np.float64)
    n, spread = len(differences), max(float(differences.std(ddof=1)), resolution)
    if spread == 0:
        return 1.0 if differences.mean() == 0 else 0.0
    return float(2 * special.stdtr(n - 1, -abs(differences.mean()) / (spread / math.sqrt(n))))


def holm(p_values: Sequence[float]) -> np.ndarray:
    r"""P-values `(m,)` of m tests, adjusted for their number by Holm's method: compare each with the level itself.

    The k-th smallest p-value is multiplied by m - k + 1; an adjusted value is never below that of a smaller p-value, nor above 1:

    $$\tilde p_{(k)} = \max_{i \le k} \min\big( 1, (m - i + 1) \, p_{(i)} \big)$$

    If all m differences are zero, the probability that any adjusted value is below 0.05 is at most 0.05, however the tests
    depend on each other.

    Source: Holm 1979, page 67.
    """
    p_values = np.asarray(p_values, dtype=np.float64)
    order = p_values.argsort()
    adjusted = np.empty_like(p_values)
    adjusted[order] = np.maximum.accumulate(p_values[order] * np.arange(len(p_values), 0, -1))
    return adjusted.clip(max=1.0)


def may_be_best(values: np.ndarray, *, level: float = 0.95, resolution: float = 0.0) -> np.ndarray:
    r"""A confidence set for the setting with the highest true mean: which of M settings may be the best.

    Setting j is left out if another setting k is clearly above it, by a one-sided paired t test with Bonferroni's
    correction for its M - 1 comparisons:

    $$\bar d_{kj} > \max\Big( t_{n-1,\,1 - (1 - \mathrm{level}) / (M - 1)} \; \frac{s_{kj}}{\sqrt{n}}, \; r \Big)$$

    where $d_{kj}$ are the differences of the n seeds. The truly best setting is left out with a probability of at most
    1 - level: for it each of the M - 1 tests errs with a probability of at most (1 - level) / (M - 1).

    - `values`: `(M, n)`, one row for each setting, n of 2 or more seeds, paired by column. `resolution`: r, the smallest
      difference that counts, such as that of one image. Returns `(M,)` of True and False; the highest mean is always in.

    Source: Hsu 1984 (section not checked), for multiple comparisons with the best; this form with paired t tests is ours.
    """
    settings, n = values.shape
    if settings < 2:
        return np.ones(settings, dtype=bool)
    differences = values[:, None] - values[None]  # (M, M, n), k above j
    errors = differences.std(axis=-1, ddof=1) / math.sqrt(n)
    margin = np.maximum(special.stdtrit(n - 1, 1 - (1 - level) / (settings - 1)) * errors, resolution)
    return ~(differences.mean(axis=-1) > margin).any(axis=0)


def accuracy_interval(correct: int, total: int, *, level: float = 0.95) -> tuple[float, float]:
    r"""Wilson's interval for the true accuracy, when `correct` of `total` examples were classified correctly.

    $$\frac{\hat p + \frac{z^2}{2n} \pm z \sqrt{\frac{\hat p (1 - \hat p)}{n} + \frac{z^2}{4 n^2}}}{1 + \frac{z^2}{n}}$$

    - Returns `(low, high)`, fractions from 0 to 1. Raises `ValueError` unless `0 <= correct <= total` and `total > 0`.

    Source: Wilson 1927, page 210.
    """
    if not 0 <= correct <= total or total == 0:
        raise ValueError(f"{correct} correct of {total} is not a fraction; give 0 <= correct <= total, with total above 0")
    if not 0 < level < 1:
        raise ValueError(f"level {level} is not a confidence level; give a number between 0 and 1, such as 0.95")
    z = special.ndtri((1 + level) / 2)
    p, n = correct / total, total
    centre = p + z**2 / (2 * n)
    margin = z * math.sqrt(p * (1 - p) / n + z**2 / (4 * n**2))
    scale = 1 + z**2 / n
    low = 0.0 if correct == 0 else (centre - margin) / scale
    high = 1.0 if correct == total else (centre + margin) / scale
    return float(low), float(high)


def two_proportions_margin(first: np.ndarray, second: np.ndarray, total: int, *, level: float = 0.95) -> np.ndarray:
    r"""Half the width of the normal interval for the difference of two fractions, each of `total` examples.

    $$z \sqrt{\frac{p_1 (1 - p_1) + p_2 (1 - p_2)}{n}}$$

    It treats the two sets of examples as independent, and does not include the variation between seeds.
    """
    return special.ndtri((1 + level) / 2) * np.sqrt((first * (1 - first) + second * (1 - second)) / total)


def bootstrap_interval(
    statistic: Callable[..., float],
    *samples: np.ndarray,
    resamples: int = 1000,
    level: float = 0.95,
    minimum: float = -math.inf,
    seed: int = 0,
) -> tuple[float, float, float]:
    r"""A statistic of N examples with its bootstrap interval: `(value, low, high)`, in the unit of the statistic.

    $$[\; 2 \hat\theta - q_{1 - a/2}, \;\; 2 \hat\theta - q_{a/2} \;], \qquad a = 1 - \mathrm{level}$$

    where the $q$ are quantiles of the statistic over `resamples` draws of N examples with replacement. This "basic" form
    also corrects the bias that resampling adds: a calibration error is never negative, so noise alone makes it larger.

    - `samples`: arrays `(N, ...)`, resampled together, row by row.
    - `minimum`: the smallest possible value of the statistic; the interval is clipped to it.

    Source: Davison and Hinkley 1997, chapter 5.
    """
    n = len(samples[0])
    if n == 0:
        raise ValueError("an interval needs at least one example; give arrays of one or more rows")
    rng = np.random.default_rng(seed)
    value = float(statistic(*samples))
    resampled = np.empty(resamples)
    for k in range(resamples):
        rows = rng.integers(n, size=n)
        resampled[k] = statistic(*(sample[rows] for sample in samples))
    low, high = np.nanquantile(resampled, [(1 - level) / 2, (1 + level) / 2])
    return value, max(minimum, float(2 * value - high)), max(minimum, float(2 * value - low))


def format_points(value: float, digits: int = 1) -> str:
    """A difference in percentage points as text, with its sign; one that rounds to zero has no sign."""
    return f"{value:+.{digits}f}".replace("-", "\u2212") if round(value, digits) else f"{0:.{digits}f}"


def format_bits(bits: float) -> str:
    """Bits a character as text, with four significant digits: 3.542, 0.4512."""
    return f"{bits:.{3 if abs(bits) >= 1 else 4}f}"


def format_percent(fraction: float, digits: int = 2) -> str:
    """A share of images as text: 94.82 %. Accuracy and agreement have two decimals wherever they are written."""
    return f"{100 * fraction:.{digits}f} %"


def format_interval(low: float, high: float) -> str:
    """An interval of a share as text: 93.10 % to 95.42 %."""
    return f"{format_percent(low)} to {format_percent(high)}"


def format_probability(p: float) -> str:
    """A probability as text, as soft_targets.js writes it: never 0 % or 100 %, which a softmax does not reach."""
    if p >= 0.9995:
        return "> 99.9 %"
    if p >= 0.001:
        return format_percent(p, 1)
    return f"{100 * p:.1g} %" if p >= 1e-6 else "< 0.0001 %"
