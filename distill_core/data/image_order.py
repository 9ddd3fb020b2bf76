"""ORDERS: images sorted by a teacher's logits, at random, or as stored."""

from __future__ import annotations

import torch
from torch import Tensor

from distill_core.data.dataset import seeded


def entropy(logits: Tensor) -> Tensor:
    r"""The entropy of each image's prediction at T = 1: 0 for a certain one, $\ln C$ when all classes are equally likely.

    $$H = -\sum_c p_c \log p_c$$

    - `logits`: `(N, C)`. Returns `(N,)`, in nats.
    """
    log_p = torch.log_softmax(logits, dim=-1)
    return -(log_p.exp() * log_p).sum(dim=-1)


def most_ambiguous(logits: Tensor, labels: Tensor) -> Tensor:
    """All indices, highest entropy first."""
    return entropy(logits).argsort(descending=True, stable=True)


def hardest(logits: Tensor, labels: Tensor) -> Tensor:
    """All indices, lowest probability of the label first."""
    return torch.log_softmax(logits, dim=-1).gather(-1, labels.unsqueeze(-1)).squeeze(-1).argsort(stable=True)


def teacher_wrong(logits: Tensor, labels: Tensor) -> Tensor:
    """The indices of wrong predictions, lowest probability of the label first."""
    order = hardest(logits, labels)
    return order[(logits.argmax(dim=-1) != labels)[order]]


def random_order(logits: Tensor | None, labels: Tensor) -> Tensor:
    """All indices in a random order, the same each time."""
    return torch.randperm(len(labels), generator=seeded(0, "gallery"))


def stored_order(logits: Tensor | None, labels: Tensor) -> Tensor:
    """All indices as stored."""
    return torch.arange(len(labels))


ORDERS = {
    "random": random_order,
    "most ambiguous": most_ambiguous,
    "hardest": hardest,
    "teacher wrong": teacher_wrong,
    "in order": stored_order,
}
WITHOUT_LOGITS = ("random", "in order")  # can be shown before the teacher's logits are computed
