"""Means, confidence intervals and paired differences: numpy and scipy, no torch.

The intervals are the formulas, computed with `scipy.special`: `scipy.stats` has them too, but its import adds 0.3 s to the
first page. The tests compare both.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
from scipy import special


def mean_interval(values: Sequence[float], *, level: float = 0.95) -> tuple[float, float, float]:
    """Mean of independent values with Student's t interval: `(mean, low, high)`, in the unit of the values.

    A single value has no interval: `low` and `high` are NaN.
    """
    values = np.asarray(values, dtype=np.float64)
    mean = float(values.mean())
    if len(values) < 2:
        return mean, math.nan, math.nan
    margin = t_margin(values, level=level)
    return mean, float(mean - margin), float(mean + margin)


def t_margin(values: np.ndarray, *, level: float = 0.95) -> np.ndarray:
    r"""Half the width of Student's t interval of the mean over the last axis.

    $$t_{n-1,\,(1+\mathrm{level})/2} \; \frac{s}{\sqrt{n}}$$

    - `values`: `(..., n)` with n of 2 or more. Returns `(...)`, in the unit of the values.
    """
    n = values.shape[-1]
    return special.stdtrit(n - 1, (1 + level) / 2) * values.std(axis=-1, ddof=1) / math.sqrt(n)


def paired_difference(students: Sequence[float], baselines: Sequence[float], *, level: float = 0.95) -> tuple[float, float, float]:
    """Student minus baseline, seed by seed: mean and t interval `(mean, low, high)`, in the unit of the inputs.

    The values are paired because both networks of a seed start from the same weights and train on the same images: the
    variation between seeds that both share cancels.
    """
    return mean_interval(np.subtract(students, baselines), level=level)


def accuracy_interval(correct: int, total: int, *, level: float = 0.95) -> tuple[float, float]:
    r"""Wilson's interval for the true accuracy, when `correct` of `total` examples were classified correctly.

    $$\frac{\hat p + \frac{z^2}{2n} \pm z \sqrt{\frac{\hat p (1 - \hat p)}{n} + \frac{z^2}{4 n^2}}}{1 + \frac{z^2}{n}}$$

    - Returns `(low, high)`, fractions from 0 to 1. Raises `ValueError` unless `0 <= correct <= total` and `total > 0`.

    Source: Wilson 1927, *Probable inference, the law of succession, and statistical inference*.
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


def two_proportions_margin(first: float, second: float, total: int, *, level: float = 0.95) -> float:
    r"""Half the width of the normal interval for the difference of two fractions, each of `total` examples.

    $$z \sqrt{\frac{p_1 (1 - p_1) + p_2 (1 - p_2)}{n}}$$

    It treats the two sets of examples as independent, and does not include the variation between seeds.
    """
    return float(special.ndtri((1 + level) / 2) * math.sqrt((first * (1 - first) + second * (1 - second)) / total))


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

    Source: Davison and Hinkley 1997, *Bootstrap Methods and their Application*, section 5.2.
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
