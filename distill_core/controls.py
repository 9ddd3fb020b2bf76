"""Controls and mistakes: what is left of soft targets without the teacher's knowledge, and bugs of public code.

Both are used like methods. A control has a loss of its own; a mistake has the loss of soft targets, and nearly always a
wrong mixture with the hard loss.
"""

from __future__ import annotations

import torch
from torch import Tensor

from distill_core import losses
from distill_core.batch import Batch
from distill_core.losses import mixed_loss, soft_loss

SMOOTHING = 0.1  # of labels, where there is no teacher

# --- controls: the by-products of soft targets, without the knowledge -----------------------------------------------


def label_smoothing(batch: Batch) -> Tensor:
    r"""No teacher: labels smoothed by 0.1. What soft targets give without any knowledge in them.

    Source: Szegedy et al. 2016, section 7.
    """
    return losses.smoothing_loss(batch.student_logits, batch.labels, smoothing=SMOOTHING)


def permuted_classes(batch: Batch) -> Tensor:
    r"""Soft targets with the logits of the *wrong* classes permuted: each wrong class has the logit of the next one.

    The teacher's confidence stays, example by example; the similarity of classes is lost.

    Source: Furlanello et al. 2018, section 3.2 (dark knowledge with permuted predictions).
    """
    targets = permute_wrong_classes(batch.teacher_logits, batch.labels)
    return soft_loss(batch.student_logits, targets, temperature=batch.temperature)


def uniform_classes(batch: Batch) -> Tensor:
    r"""Soft targets with all wrong classes equally likely: only the teacher's confidence is left.

    Source: Furlanello et al. 2018, section 3.2 (confidence weighted by teacher max), where the confidence weights the labels
    instead.
    """
    targets = equalise_wrong_classes(batch.teacher_logits, batch.labels, temperature=batch.temperature)
    return soft_loss(batch.student_logits, targets, temperature=batch.temperature)


def equalise_wrong_classes(teacher_logits: Tensor, labels: Tensor, *, temperature: float | Tensor) -> Tensor:
    """Logits `(N, C)` with the same value for all wrong classes; at T the label keeps its probability."""
    wrong = ~_is_label(teacher_logits, labels)
    others = torch.logsumexp(teacher_logits.masked_fill(~wrong, -torch.inf) / temperature, dim=-1, keepdim=True)
    level = temperature * (others - torch.log(wrong.sum(dim=-1, keepdim=True).to(others.dtype)))
    return torch.where(wrong, level, teacher_logits)


def permute_wrong_classes(teacher_logits: Tensor, labels: Tensor) -> Tensor:
    """Logits `(N, C)` in which each wrong class has the logit of the next wrong class; the label keeps its own."""
    classes = teacher_logits.shape[-1]
    after = (torch.arange(classes, device=labels.device) + 1) % classes  # (C,)
    own = labels.unsqueeze(-1)  # (N, 1)
    source = torch.where(after == own, (after + 1) % classes, after)  # the label is skipped
    source = torch.where(_is_label(teacher_logits, labels), own, source)
    return teacher_logits.gather(-1, source)


def shuffled_targets(batch: Batch) -> Tensor:
    r"""Soft targets of other images: those of the next image in the batch. The labels are correct.

    As a control it shows the effect of soft targets that carry no information on the image.

    Source: soft targets stored in one order and used in another, found in public repositories.
    """
    return soft_loss(batch.student_logits, targets_of_other_images(batch.teacher_logits), temperature=batch.temperature)


def targets_of_other_images(teacher_logits: Tensor) -> Tensor:
    """Logits `(N, C)`, each row that of another image of the batch."""
    return teacher_logits.roll(1, dims=0)


def _is_label(logits: Tensor, labels: Tensor) -> Tensor:
    """`(N, C)`: True at each example's label."""
    return torch.arange(logits.shape[-1], device=labels.device) == labels.unsqueeze(-1)


# --- mistakes of public code: soft targets, mixed in the wrong way --------------------------------------------------


def without_t2(batch: Batch, hard: Tensor, soft: Tensor, *, weight: float) -> Tensor:
    r"""The factor $T^2$ left out: $\alpha \, L_{hard} + (1 - \alpha) \, L_{soft} / T^2$.

    The higher the temperature, the smaller the teacher's share: at T = 10 a hundredth of what alpha states.

    Source: the factor and its reason are in Hinton, Vinyals and Dean 2015, section 2.
    """
    return mixed_loss(hard, soft / batch.temperature**2, alpha=batch.alpha, weight=weight)


def mean_over_classes(batch: Batch, hard: Tensor, soft: Tensor, *, weight: float) -> Tensor:
    r"""The divergence averaged over the classes too, as `F.kl_div` does by default: C times too small.

    Source: the documentation of `torch.nn.functional.kl_div` warns of `reduction="mean"`.
    """
    return mixed_loss(hard, soft / batch.student_logits.shape[-1], alpha=batch.alpha, weight=weight)


def alpha_swapped(batch: Batch, hard: Tensor, soft: Tensor, *, weight: float) -> Tensor:
    r"""Alpha taken for the weight of the *soft* loss: $(1 - \alpha) \, L_{hard} + \alpha \, L_{soft}$.

    Source: some public code defines alpha so (DeiT, `loss_fn_kd`), some as here: a value copied from one to the other
    means the opposite.
    """
    return (1 - batch.alpha) * hard + batch.alpha * weight * soft


def doubled_hard_loss(batch: Batch, hard: Tensor, soft: Tensor, *, weight: float) -> Tensor:
    r"""The hard loss added once more outside the mixture: $L_{hard} + \alpha \, L_{hard} + (1 - \alpha) \, L_{soft}$.

    Source: found in public repositories, where a framework adds the hard loss to a total that contains it already.
    """
    return mixed_loss(hard, soft, alpha=batch.alpha, weight=weight) + hard


def teacher_in_train_mode(batch: Batch) -> Tensor:
    r"""The teacher left in training mode: dropout stays on, and its logits for the same image differ each time.

    The loss is correct; the `teacher_logits` that come in are not.

    Source: a forgotten `teacher.eval()`, found in public repositories.
    """
    return soft_loss(batch.student_logits, batch.teacher_logits, temperature=batch.temperature)
