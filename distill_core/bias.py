"""Bias correction: a constant added to the logits of some classes, for a student that trained on other class shares.

A student that never sees a class learns a logit for it that is too low, and one that sees only two classes learns logits
for them that are too high. One number, added to these logits, repairs most of it.

Source: Hinton, Vinyals and Dean 2015, *Distilling the Knowledge in a Neural Network*, section 3, where the number was
chosen on the test set. Both rules here leave the test set alone.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from distill_core.losses import soften

SEARCHED = 30.0  # nats: the largest correction that is tried, up or down


def add_bias(logits: Tensor, classes: Sequence[int], bias: float) -> Tensor:
    """Logits `(N, C)` with `bias` added to the columns of `classes`; the input stays as it is."""
    shift = torch.zeros(logits.shape[-1], dtype=logits.dtype, device=logits.device)
    shift[list(classes)] = bias
    return logits + shift


def prior_matching_bias(logits: Tensor, classes: Sequence[int], *, share: float) -> float:
    r"""The bias b with which the mean probability of `classes` equals their known `share` of the images.

    $$\frac{1}{N} \sum_i \sum_{c \in S} \mathrm{softmax}(z_i + b \, 1_S)_c = \mathrm{share}$$

    The left side grows with b, so bisection finds it. No label is needed, only the share.

    - `logits`: `(N, C)`, on images with the usual class shares. `share`: a fraction between 0 and 1.
    - Returns b in nats, at most 30 up or down. Raises `ValueError` for a share that no bias can reach.
    """
    count = len(set(classes))
    if not 0 < share < 1 or not 0 < count < logits.shape[-1]:
        raise ValueError(f"a share of {share} for {count} classes cannot be matched; give a share between 0 and 1 for some of the classes")
    logits, low, high = logits.double(), -SEARCHED, SEARCHED
    while high - low > 1e-6:
        middle = (low + high) / 2
        mean = soften(add_bias(logits, classes, middle), temperature=1.0)[:, list(classes)].sum(dim=1).mean().item()
        low, high = (middle, high) if mean < share else (low, middle)
    return (low + high) / 2


def tuned_bias(logits: Tensor, labels: Tensor, classes: Sequence[int], *, most: float = 15.0, step: float = 0.1) -> float:
    """The bias with the fewest errors on labelled images that the student has not seen, and which are not test images.

    - `logits`: `(N, C)`; `labels`: `(N,)`. Tried: multiples of `step` up to `most`, up and down, in nats.
    - Returns the middle of the values with the fewest errors, because these often form a plateau.
    """
    count = math.floor(most / step)
    tried = [number * step for number in range(-count, count + 1)]
    errors = [int((add_bias(logits, classes, bias).argmax(dim=-1) != labels).sum()) for bias in tried]
    best = [bias for bias, wrong in zip(tried, errors, strict=True) if wrong == min(errors)]
    return best[len(best) // 2]
