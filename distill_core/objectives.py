"""The methods of distillation: what a student minimises, built from `losses.py`.

A method takes the student's logits, the teacher's and the labels, and gives the total together with its raw terms,
before their weights: what is trained and what is drawn cannot drift apart. The total is always
`alpha * hard + (1 - alpha) * weight * own` (but for two of the mistakes), and `soft_loss` among the terms is the method's
own loss.

METHODS, at the end, lists them all: those that are worth using, the controls that tell knowledge from its by-products,
and some mistakes of public code, to be found out.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from distill_core import losses
from distill_core.losses import hard_loss, soft_loss, standardize

Terms = dict[str, Tensor]
Objective = Callable[..., tuple[Tensor, Terms]]


def soft_targets(
    student_logits: Tensor, teacher_logits: Tensor, labels: Tensor, *, alpha: float | Tensor, temperature: float | Tensor
) -> tuple[Tensor, Terms]:
    r"""Learn from labels and from the teacher's soft targets: $\alpha \, L_{hard} + (1 - \alpha) \, L_{soft}$.

    With `alpha = 1` this is the baseline, which trains on labels only (its soft loss is measured and has no weight).

    Source: Hinton, Vinyals and Dean 2015, *Distilling the Knowledge in a Neural Network*.
    """
    hard = hard_loss(student_logits, labels)
    soft = soft_loss(student_logits, teacher_logits, temperature=temperature)
    return alpha * hard + (1 - alpha) * soft, {"hard_loss": hard, "soft_loss": soft}


# --- other ways to listen to logits ---------------------------------------------------------------------------------


def logits(student_logits: Tensor, teacher_logits: Tensor, labels: Tensor, *, alpha: float | Tensor, **_: object) -> tuple[Tensor, Terms]:
    r"""Match the teacher's logits instead of its probabilities: $\alpha \, L_{hard} + (1 - \alpha) \, w \, L_{logits}$.

    The temperature plays no part. With the weight w = 1 / C this is what the soft loss tends to as T grows.

    Source: Ba and Caruana 2014, *Do Deep Nets Really Need to be Deep?*
    """
    weight = 1 / student_logits.shape[-1]
    return _mixed(student_logits, labels, losses.logit_loss(student_logits, teacher_logits), alpha=alpha, weight=weight)


def decoupled(
    student_logits: Tensor, teacher_logits: Tensor, labels: Tensor, *, alpha: float | Tensor, temperature: float | Tensor
) -> tuple[Tensor, Terms]:
    r"""Target and non-target part of the soft loss apart, the second with eight times the weight of the first.

    Source: Zhao et al. 2022, *Decoupled Knowledge Distillation*; the weights 1 and 8 are theirs for CIFAR-100.
    """
    own = losses.decoupled_loss(student_logits, teacher_logits, labels, temperature=temperature)
    return _mixed(student_logits, labels, own, alpha=alpha)


def correlation(
    student_logits: Tensor, teacher_logits: Tensor, labels: Tensor, *, alpha: float | Tensor, temperature: float | Tensor
) -> tuple[Tensor, Terms]:
    r"""Agree in how the classes, and the examples, are ordered and spaced; no more is asked.

    Source: Huang et al. 2022, *Knowledge Distillation from A Stronger Teacher*.
    """
    return _mixed(student_logits, labels, losses.correlation_loss(student_logits, teacher_logits, temperature=temperature), alpha=alpha)


def standardized(objective: Objective) -> Objective:
    r"""The same method on standardised logits: each example's logits with mean 0 and standard deviation 1, in both networks.

    The student then need not reach the size of the teacher's logits. The labels are learnt from the plain logits.
    A gradient through the standardisation is small where the logits are large; a weight of 9 makes up for it.

    Source: Sun et al. 2024, *Logit Standardization in Knowledge Distillation*.
    """

    def on_standardized(
        student_logits: Tensor, teacher_logits: Tensor, labels: Tensor, *, alpha: float | Tensor, **choices: object
    ) -> tuple[Tensor, Terms]:
        _, terms = objective(standardize(student_logits), standardize(teacher_logits), labels, alpha=alpha, **choices)
        return _mixed(student_logits, labels, terms["soft_loss"], alpha=alpha, weight=9.0)

    on_standardized.__doc__ = standardized.__doc__
    return on_standardized


# --- controls: what is knowledge, and what only comes with it -------------------------------------------------------


def label_smoothing(
    student_logits: Tensor, teacher_logits: Tensor, labels: Tensor, *, alpha: float | Tensor, **_: object
) -> tuple[Tensor, Terms]:
    r"""No teacher at all: the labels, smoothed by 0.1. What soft targets give without any knowledge in them.

    Source: Szegedy et al. 2016, *Rethinking the Inception Architecture for Computer Vision*.
    """
    return _mixed(student_logits, labels, losses.smoothing_loss(student_logits, labels, smoothing=0.1), alpha=alpha)


def permuted_classes(
    student_logits: Tensor, teacher_logits: Tensor, labels: Tensor, *, alpha: float | Tensor, temperature: float | Tensor
) -> tuple[Tensor, Terms]:
    r"""Soft targets whose *wrong* classes have changed places: each wrong class has the logit of the next one.

    The teacher's confidence stays, example by example; what it knows of the likeness of classes is gone.

    Source: Furlanello et al. 2018, *Born-Again Neural Networks* (dark knowledge with permuted predictions).
    """
    return soft_targets(student_logits, permute_wrong_classes(teacher_logits, labels), labels, alpha=alpha, temperature=temperature)


def uniform_classes(
    student_logits: Tensor, teacher_logits: Tensor, labels: Tensor, *, alpha: float | Tensor, temperature: float | Tensor
) -> tuple[Tensor, Terms]:
    r"""Soft targets whose wrong classes are all equally likely: only the teacher's confidence is left.

    Source: Furlanello et al. 2018, *Born-Again Neural Networks* (confidence-weighted by teacher, taken as a target).
    """
    wrong = ~_is_label(teacher_logits, labels)
    others = torch.logsumexp(teacher_logits.masked_fill(~wrong, -torch.inf) / temperature, dim=-1, keepdim=True)
    level = temperature * (others - torch.log(wrong.sum(dim=-1, keepdim=True).to(others.dtype)))
    return soft_targets(student_logits, torch.where(wrong, level, teacher_logits), labels, alpha=alpha, temperature=temperature)


def permute_wrong_classes(teacher_logits: Tensor, labels: Tensor) -> Tensor:
    """Logits `(N, C)` in which each wrong class has that of the wrong class after it; the label keeps its own."""
    classes = teacher_logits.shape[-1]
    after = (torch.arange(classes, device=labels.device) + 1) % classes  # (C,)
    own = labels.unsqueeze(-1)  # (N, 1)
    source = torch.where(after == own, (after + 1) % classes, after)  # the label is passed over
    source = torch.where(_is_label(teacher_logits, labels), own, source)
    return teacher_logits.gather(-1, source)


# --- mistakes of public code ----------------------------------------------------------------------------------------


def without_t2(
    student_logits: Tensor, teacher_logits: Tensor, labels: Tensor, *, alpha: float | Tensor, temperature: float | Tensor
) -> tuple[Tensor, Terms]:
    r"""The factor $T^2$ left out: $\alpha \, L_{hard} + (1 - \alpha) \, L_{soft} / T^2$.

    The higher the temperature, the less the teacher is heard: at T = 10 a hundredth of what alpha promises.

    Source: the factor and its reason are in Hinton, Vinyals and Dean 2015, section 2.
    """
    hard = hard_loss(student_logits, labels)
    soft = soft_loss(student_logits, teacher_logits, temperature=temperature)
    return alpha * hard + (1 - alpha) * soft / temperature**2, {"hard_loss": hard, "soft_loss": soft}


def mean_over_classes(
    student_logits: Tensor, teacher_logits: Tensor, labels: Tensor, *, alpha: float | Tensor, temperature: float | Tensor
) -> tuple[Tensor, Terms]:
    r"""The divergence averaged over the classes too, as `F.kl_div` does by default: C times too small.

    Source: the documentation of `torch.nn.functional.kl_div` warns of `reduction="mean"`.
    """
    hard = hard_loss(student_logits, labels)
    soft = soft_loss(student_logits, teacher_logits, temperature=temperature)
    return alpha * hard + (1 - alpha) * soft / student_logits.shape[-1], {"hard_loss": hard, "soft_loss": soft}


def shuffled_targets(
    student_logits: Tensor, teacher_logits: Tensor, labels: Tensor, *, alpha: float | Tensor, temperature: float | Tensor
) -> tuple[Tensor, Terms]:
    r"""Soft targets that belong to other images: those of the next one in the batch. The labels are right.

    As a control it says what a teacher is worth that knows nothing of the image.

    Source: soft targets stored in one order and used in another, found in public repositories.
    """
    return soft_targets(student_logits, teacher_logits.roll(1, dims=0), labels, alpha=alpha, temperature=temperature)


def alpha_turned_round(
    student_logits: Tensor, teacher_logits: Tensor, labels: Tensor, *, alpha: float | Tensor, temperature: float | Tensor
) -> tuple[Tensor, Terms]:
    r"""Alpha taken for the weight of the *soft* loss: $(1 - \alpha) \, L_{hard} + \alpha \, L_{soft}$.

    Source: some public code defines alpha so (DeiT, `loss_fn_kd`), some as here: a number copied from one to the other means
    the opposite.
    """
    hard = hard_loss(student_logits, labels)
    soft = soft_loss(student_logits, teacher_logits, temperature=temperature)
    return (1 - alpha) * hard + alpha * soft, {"hard_loss": hard, "soft_loss": soft}


def doubled_hard_loss(
    student_logits: Tensor, teacher_logits: Tensor, labels: Tensor, *, alpha: float | Tensor, temperature: float | Tensor
) -> tuple[Tensor, Terms]:
    r"""The hard loss added once more outside the mixture: $L_{hard} + \alpha \, L_{hard} + (1 - \alpha) \, L_{soft}$.

    Source: found in public repositories, where a framework adds the labels' loss to one that has it already.
    """
    total, terms = soft_targets(student_logits, teacher_logits, labels, alpha=alpha, temperature=temperature)
    return total + terms["hard_loss"], terms


# --- what all have in common ----------------------------------------------------------------------------------------


def _mixed(student_logits: Tensor, labels: Tensor, own: Tensor, *, alpha: float | Tensor, weight: float = 1.0) -> tuple[Tensor, Terms]:
    hard = hard_loss(student_logits, labels)
    return alpha * hard + (1 - alpha) * weight * own, {"hard_loss": hard, "soft_loss": own}


def _is_label(logits: Tensor, labels: Tensor) -> Tensor:
    """`(N, C)`: True at each example's label."""
    return torch.arange(logits.shape[-1], device=labels.device) == labels.unsqueeze(-1)


def beside_baseline(objective: Objective) -> Objective:
    """The same for a student or for its baseline: where `labels_only`, the total is the hard loss, and all else is only measured."""

    def of_either(*given: Tensor, labels_only: Tensor, **choices: object) -> tuple[Tensor, Terms]:
        total, terms = objective(*given, **choices)
        return torch.where(labels_only, terms["hard_loss"], total), terms

    return of_either


@dataclass(frozen=True)
class Method:
    """A method by its name: its objective, what it is, and of which kind."""

    objective: Objective
    title: str
    kind: str = "response-based"  # feature-based, relation-based; control; mistake

    def __call__(self, *given: Tensor, **choices: object) -> tuple[Tensor, Terms]:
        """The total and its raw terms."""
        return self.objective(*given, **choices)


METHODS = {
    "soft-targets": Method(soft_targets, "Soft targets"),
    "logits": Method(logits, "Matching logits"),
    "decoupled": Method(decoupled, "Decoupled distillation (DKD)"),
    "correlation": Method(correlation, "Correlation (DIST)"),
    "soft-targets-standardized": Method(standardized(soft_targets), "Soft targets on standardised logits"),
    "decoupled-standardized": Method(standardized(decoupled), "DKD on standardised logits"),
    "label-smoothing": Method(label_smoothing, "Label smoothing, no teacher", "control"),
    "permuted-classes": Method(permuted_classes, "Wrong classes permuted", "control"),
    "uniform-classes": Method(uniform_classes, "Wrong classes made equal", "control"),
    "shuffled-targets": Method(shuffled_targets, "Soft targets of other images", "control"),
    "soft-targets-without-t2": Method(without_t2, "T\u00b2 left out", "mistake"),
    "mean-over-classes": Method(mean_over_classes, "Divergence averaged over classes", "mistake"),
    "alpha-turned-round": Method(alpha_turned_round, "Alpha turned round", "mistake"),
    "doubled-hard-loss": Method(doubled_hard_loss, "Hard loss counted twice", "mistake"),
}
