"""Which images are worth looking at: orders of a set, by what a teacher says of it."""

from __future__ import annotations

import torch
from torch import Tensor

from distill_core.data.dataset import seeded


def entropy(logits: Tensor) -> Tensor:
    r"""How spread the verdict on each image is at T = 1, in nats: 0 when sure, $\ln C$ when all classes are equally likely.

    $$H = -\sum_c p_c \log p_c$$

    - `logits`: `(N, C)`. Returns `(N,)`.
    """
    log_p = torch.log_softmax(logits, dim=-1)
    return -(log_p.exp() * log_p).sum(dim=-1)


def most_ambiguous(logits: Tensor, labels: Tensor) -> Tensor:
    """Highest entropy first: where the teacher wavers."""
    return entropy(logits).argsort(descending=True, stable=True)


def hardest(logits: Tensor, labels: Tensor) -> Tensor:
    """Lowest probability of the label first: where the teacher is furthest from right."""
    return torch.log_softmax(logits, dim=-1).gather(-1, labels.unsqueeze(-1)).squeeze(-1).argsort(stable=True)


def teacher_wrong(logits: Tensor, labels: Tensor) -> Tensor:
    """Only the images that it calls something else, the surest error first."""
    order = hardest(logits, labels)
    return order[(logits.argmax(dim=-1) != labels)[order]]


def drawn_at_random(logits: Tensor | None, labels: Tensor) -> Tensor:
    """Any images, in an order that is the same each time."""
    return torch.randperm(len(labels), generator=seeded(0, "gallery"))


def one_after_another(logits: Tensor | None, labels: Tensor) -> Tensor:
    """As they stand in the set."""
    return torch.arange(len(labels))


ORDERS = {
    "random": drawn_at_random,
    "most ambiguous": most_ambiguous,
    "hardest": hardest,
    "teacher wrong": teacher_wrong,
    "in order": one_after_another,
}
WITHOUT_LOGITS = ("random", "in order")  # these need not wait until the teacher has seen every image
