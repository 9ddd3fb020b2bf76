"""Calibration: how well confidence matches accuracy, and temperature scaling. All averages are over examples."""

from __future__ import annotations

import math

import numpy as np
import torch
from scipy import optimize
from torch import Tensor, nn

from distill_core.statistics import accuracy_interval, bootstrap_interval

MIN_TEMPERATURE, MAX_TEMPERATURE = 0.01, 100.0  # the range of temperatures that fit_temperature searches


def expected_calibration_error(logits: Tensor, labels: Tensor, *, bins: int = 15) -> float:
    r"""Expected calibration error (ECE), the mean gap between confidence and accuracy: 0 for a perfectly calibrated network.

    $$\mathrm{ECE} = \sum_b \frac{n_b}{N} \left| \mathrm{accuracy}_b - \mathrm{confidence}_b \right|$$

    over `bins` of equal width, each `(low, high]`, of the top class's probability at T = 1.

    - `logits`: `(N, C)`; `labels`: `(N,)`. Returns a fraction from 0 to 1. Raises `ValueError` for N = 0.

    Source: Guo et al. 2017, section 2, equation 3.
    """
    _, bin_index, gap = _binned(logits, labels, bins=bins)
    return _calibration_error(gap.cpu().numpy(), bin_index.cpu().numpy(), bins=bins)


def _binned(logits: Tensor, labels: Tensor, *, bins: int) -> tuple[Tensor, Tensor, Tensor]:
    """Per example, each `(N,)`: its confidence, the index of its bin, and correct (1 or 0) minus confidence."""
    if len(labels) == 0:
        raise ValueError("calibration needs at least one example; give logits (N, C) with N above 0")
    confidence, predictions = torch.softmax(logits.double(), dim=-1).max(dim=-1)  # (N,)
    confidence = confidence.nan_to_num(nan=1.0)  # infinite logits give NaN; they count as full confidence
    edges = torch.linspace(0, 1, bins + 1, dtype=torch.float64, device=logits.device)
    bin_index = torch.bucketize(confidence, edges[1:-1])  # (low, high]
    return confidence, bin_index, (predictions == labels).double() - confidence


def _calibration_error(gap: np.ndarray, bin_index: np.ndarray, *, bins: int) -> float:
    """The ECE from two results of `_binned`; a bootstrap resample needs only these."""
    return float(np.abs(np.bincount(bin_index, gap, minlength=bins)).sum() / len(gap))


def calibration_interval(logits: Tensor, labels: Tensor, *, bins: int = 15, seed: int = 0) -> tuple[float, float, float]:
    """`expected_calibration_error` with its 95 % bootstrap interval over the examples: `(value, low, high)`, fractions."""
    _, bin_index, gap = (values.cpu().numpy() for values in _binned(logits, labels, bins=bins))
    return bootstrap_interval(lambda g, b: _calibration_error(g, b, bins=bins), gap, bin_index, minimum=0.0, seed=seed)


def reliability(logits: Tensor, labels: Tensor, *, bins: int = 15) -> dict[str, np.ndarray]:
    r"""Accuracy and mean confidence in each confidence bin: the data of a reliability diagram.

    $$\mathrm{accuracy}_b = \frac{1}{n_b} \sum_{i \in b} [\hat y_i = y_i]$$
    $$\mathrm{confidence}_b = \frac{1}{n_b} \sum_{i \in b} \max_c p_i(c)$$

    over `bins` of equal width, each `(low, high]`, of the top class's probability at T = 1. The absolute differences of
    the two, weighted by `count`, add up to `expected_calibration_error`.

    - `logits`: `(N, C)`; `labels`: `(N,)`.
    - Returns arrays `(bins,)`: `low`, `high` (the edges), `count`, `accuracy`, `confidence`, and `accuracy_low`,
      `accuracy_high` (Wilson's 95 % interval); fractions from 0 to 1, NaN in a bin without examples.

    Source: Guo et al. 2017, section 2.
    """
    confidence, bin_index, gap = (values.cpu().numpy() for values in _binned(logits, labels, bins=bins))
    count = np.bincount(bin_index, minlength=bins)
    correct = np.rint(np.bincount(bin_index, gap + confidence, minlength=bins)).astype(int)
    with np.errstate(invalid="ignore"):
        mean_confidence = np.bincount(bin_index, confidence, minlength=bins) / count
        accuracy = correct / count
    intervals = [accuracy_interval(int(r), int(n)) if n else (math.nan, math.nan) for r, n in zip(correct, count, strict=True)]
    low, high = np.array(intervals).T
    edges = np.linspace(0, 1, bins + 1)
    table = {"low": edges[:-1], "high": edges[1:], "count": count, "accuracy": accuracy, "confidence": mean_confidence}
    return table | {"accuracy_low": low, "accuracy_high": high}


def selective_accuracy(logits: Tensor, labels: Tensor, *, points: int = 100) -> dict[str, np.ndarray]:
    r"""Accuracy on the most confident share of the images, for shares (coverages) up to all of them.

    $$\mathrm{accuracy}(x) = \frac{1}{k} \sum_{i \le k} [\hat y_{(i)} = y_{(i)}], \qquad k = \lceil x N \rceil$$

    with the images sorted by the top class's probability, highest first. Images of equal confidence have no order: each
    of them counts with their mean accuracy.

    - `logits`: `(N, C)`; `labels`: `(N,)`.
    - Returns arrays `(points,)`: `share` (above 0, to 1), `accuracy`, `low`, `high` (Wilson's 95 % interval); fractions.

    Source: Geifman and El-Yaniv 2017, section 2 (risk-coverage curve) and section 4 (softmax response).
    """
    confidence, _, gap = (values.cpu().numpy() for values in _binned(logits, labels, bins=1))
    order = np.argsort(-confidence, kind="stable")
    correct = np.rint((gap + confidence)[order]).cumsum()
    n = len(order)
    ends = np.append(np.flatnonzero(np.diff(confidence[order])), n - 1)  # the last of each run of equal confidences
    share = np.arange(1, points + 1) / points
    count = np.maximum(1, np.ceil(share * n - 1e-9))
    accuracy = np.interp(count, [0, *(ends + 1)], [0, *correct[ends]]) / count
    intervals = [accuracy_interval(round(a * k), int(k)) for a, k in zip(accuracy, count, strict=True)]
    low, high = np.array(intervals).T
    return {"share": share, "accuracy": accuracy, "low": low, "high": high}


def fit_temperature(logits: Tensor, labels: Tensor) -> float:
    r"""Temperature scaling: the T that minimises the negative log-likelihood of these examples.

    $$T^* = \arg\min_T \; -\frac{1}{N} \sum_i \log \mathrm{softmax}(z_i / T)_{y_i}$$

    The negative log-likelihood is convex in $1/T$, so its slope

    $$\frac{1}{N} \sum_i \Big( \sum_c p_i(c) \, z_i(c) - z_i(y_i) \Big)$$

    has one zero, found by Brent's method. T above 1 means that the network was overconfident. Predictions do not change.

    - `logits`: `(N, C)`, finite, of examples held out from training; `labels`: `(N,)`.
    - Returns T, from 0.01 to 100. Raises `ValueError` for infinite logits and for N = 0.

    Source: Guo et al. 2017, section 4.2.
    """
    z = logits.double()
    if len(labels) == 0 or not z.isfinite().all():
        raise ValueError("a temperature can be fitted only to finite logits of at least one example; give logits (N, C)")
    label_logits = z.gather(-1, labels.unsqueeze(-1)).squeeze(-1)  # (N,)

    def slope(inverse_temperature: float) -> float:
        return ((torch.softmax(z * inverse_temperature, dim=-1) * z).sum(dim=-1) - label_logits).mean().item()

    low, high = 1 / MAX_TEMPERATURE, 1 / MIN_TEMPERATURE
    if slope(low) >= 0:  # no better than chance: the highest T is best
        return MAX_TEMPERATURE
    if slope(high) <= 0:  # all predictions are correct: the lowest T is best
        return MIN_TEMPERATURE
    return float(1 / optimize.brentq(slope, low, high, xtol=1e-9))


def calibrate(logits: Tensor, labels: Tensor, *, bins: int = 15, seed: int = 0) -> dict:
    """Temperature scaling, evaluated on held-out examples: T is fitted on one half of the examples, drawn by `seed`; ECE and
    negative log-likelihood (NLL, in nats) are measured on the other half.

    - `logits`: `(N, C)`; `labels`: `(N,)`.
    - Returns `temperature`, `fitted` and `reported` (numbers of examples), and for `ece` and `nll` each `before`, `after` and
      `difference` as `(value, low, high)` with a 95 % bootstrap interval over the reported half; `difference` is paired.
    """
    order = torch.from_numpy(np.random.default_rng(seed).permutation(len(labels)))
    fit, rest = order[: len(order) // 2], order[len(order) // 2 :]
    temperature = fit_temperature(logits[fit], labels[fit])
    scaled = {"before": logits[rest].double(), "after": logits[rest].double() / temperature}
    binned = {when: _binned(z, labels[rest], bins=bins)[1:] for when, z in scaled.items()}
    (bin0, gap0), (bin1, gap1) = ([values.numpy() for values in binned[when]] for when in ("before", "after"))
    loss0, loss1 = (nn.functional.cross_entropy(scaled[when], labels[rest], reduction="none").numpy() for when in ("before", "after"))

    def error(gap: np.ndarray, bin_index: np.ndarray) -> float:
        return _calibration_error(gap, bin_index, bins=bins)

    return {
        "temperature": temperature,
        "fitted": len(fit),
        "reported": len(rest),
        "ece": {
            "before": bootstrap_interval(error, gap0, bin0, minimum=0.0, seed=seed),
            "after": bootstrap_interval(error, gap1, bin1, minimum=0.0, seed=seed),
            "difference": bootstrap_interval(lambda a, b, c, d: error(c, d) - error(a, b), gap0, bin0, gap1, bin1, seed=seed),
        },
        "nll": {
            "before": bootstrap_interval(np.mean, loss0, minimum=0.0, seed=seed),
            "after": bootstrap_interval(np.mean, loss1, minimum=0.0, seed=seed),
            "difference": bootstrap_interval(np.mean, loss1 - loss0, seed=seed),
        },
    }
