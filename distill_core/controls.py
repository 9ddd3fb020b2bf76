"""Controls and mistakes: what is left of soft targets without the teacher's knowledge, and bugs of public code.

Both are used like methods. A control has a loss of its own; a mistake has the loss of soft targets, and nearly always a
wrong mixture with the hard loss.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from distill_core import losses
from distill_core.batch import Batch, Method, own_loss_alone
from distill_core.data.dataset import to_device
from distill_core.losses import hard_loss, mixed_loss, reverse_soft_loss, soft_loss, soften

SMOOTHING = 0.1  # of labels, where there is no teacher

# --- controls: the by-products of soft targets, without the knowledge -----------------------------------------------


def label_smoothing(batch: Batch) -> Tensor:
    r"""No teacher: the cross-entropy with labels smoothed by 0.1, which is the whole loss. Alpha and T have no effect.

    It shows what soft targets give without any knowledge in them.

    Source: Szegedy et al. 2016, section 7.
    """
    return losses.smoothing_loss(batch.student_logits, batch.labels, smoothing=SMOOTHING)


def permuted_classes(batch: Batch) -> Tensor:
    r"""Soft targets in which the logits of all classes but the teacher's top class are permuted, for each image and step anew.

    The teacher's confidence stays, image by image; the similarity of classes is lost. The loss is that of soft targets:
    the `teacher_logits` that come in were permuted by `permute_other_classes`.

    Source: Furlanello et al. 2018, section 3.2 (dark knowledge with permuted predictions).
    """
    return soft_loss(batch.student_logits, batch.teacher_logits, temperature=batch.temperature)


def permute_other_classes(teacher_logits: Tensor, generator: torch.Generator) -> Tensor:
    """Logits `(N, C)` with those of all classes but the top class in random order, another one for each example."""
    top = teacher_logits.argmax(dim=-1, keepdim=True)  # (N, 1)
    random = to_device(torch.rand(teacher_logits.shape, generator=generator), teacher_logits.device)
    taken = random.scatter(-1, top, -1.0).argsort(dim=-1)  # (N, C): the top class first, then the others in random order
    placed = torch.ones_like(random).scatter(-1, top, 0.0).argsort(dim=-1, stable=True)  # the top class, then 0, 1, 2 ...
    return torch.empty_like(teacher_logits).scatter(-1, placed, teacher_logits.gather(-1, taken))


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


_BORN_AGAIN = "Furlanello et al. 2018, section 3.2"

CONTROLS = {
    "label-smoothing": Method(
        label_smoothing, "Label smoothing, no teacher", "Szegedy et al. 2016, section 7", "control", "smoothed cross-entropy",
        mixture=own_loss_alone, uses_labels=True,
    ),
    "permuted-classes": Method(
        permuted_classes, "All but the top class permuted", _BORN_AGAIN, "control", change_targets=permute_other_classes
    ),
    "uniform-classes": Method(uniform_classes, "Wrong classes made equal", _BORN_AGAIN, "control", uses_labels=True),
    "shuffled-targets": Method(shuffled_targets, "Soft targets of other images", "public code", "control"),
}  # fmt: skip


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


def probabilities_in_kl_div(batch: Batch, hard: Tensor, soft: Tensor, *, weight: float) -> Tensor:
    r"""`F.kl_div` given the student's probabilities, where it expects their logarithms: $\sum_c q_c \, (\log q_c - p_c)$.

    The value is negative. It decreases linearly in $p$, so that its minimum is all probability on the teacher's top class.

    Source: the documentation of `torch.nn.functional.kl_div`: "input: Tensor of arbitrary shape in log-probabilities".
    """
    wrong = _kl_div(soften(batch.student_logits, temperature=batch.temperature), batch)
    return mixed_loss(hard, wrong, alpha=batch.alpha, weight=weight)


def logits_in_kl_div(batch: Batch, hard: Tensor, soft: Tensor, *, weight: float) -> Tensor:
    r"""`F.kl_div` given the student's logits, where it expects log-probabilities: $\sum_c q_c \, (\log q_c - z_c / T)$.

    The value has no minimum: a constant added to all logits decreases it. The logits grow for as long as the training lasts.

    Source: the documentation of `torch.nn.functional.kl_div`: "input: Tensor of arbitrary shape in log-probabilities".
    """
    wrong = _kl_div(batch.student_logits / batch.temperature, batch)
    return mixed_loss(hard, wrong, alpha=batch.alpha, weight=weight)


def _kl_div(student: Tensor, batch: Batch) -> Tensor:
    """`F.kl_div(student, soft targets, reduction="batchmean")` times T squared, whatever `student` `(N, C)` is."""
    log_q = torch.log_softmax(batch.teacher_logits.detach() / batch.temperature, dim=-1)  # (N, C)
    return batch.temperature**2 * (log_q.exp() * (log_q - student)).sum(dim=-1).mean()


def divergence_reversed(batch: Batch, hard: Tensor, soft: Tensor, *, weight: float) -> Tensor:
    r"""The divergence of the teacher from the student instead of the student from the teacher, by exchanged arguments.

    Chosen on purpose it is a method of its own, *Reverse KL divergence*.

    Source: `F.kl_div(input, target)` is KL(target || input): the order of its arguments is the reverse of the formula's.
    """
    wrong = reverse_soft_loss(batch.student_logits, batch.teacher_logits, temperature=batch.temperature)
    return mixed_loss(hard, wrong, alpha=batch.alpha, weight=weight)


def softmax_twice(batch: Batch, hard: Tensor, soft: Tensor, *, weight: float) -> Tensor:
    r"""Both networks end in a softmax, and the losses apply another one: probabilities from 0 to 1 are taken for logits.

    With C classes no probability can come near 1: the highest is $e / (e + C - 1)$, 0.23 for ten classes, where the
    cross-entropy is 1.46.

    Source: the documentation of `torch.nn.CrossEntropyLoss`: "the input is expected to contain the unnormalized logits".
    """
    student, teacher = batch.student_logits.softmax(dim=-1), batch.teacher_logits.softmax(dim=-1)
    hard = hard_loss(*replace(batch, student_logits=student).labelled)
    soft = soft_loss(student, teacher, temperature=batch.temperature)
    return mixed_loss(hard, soft, alpha=batch.alpha, weight=weight)


def detach_forgotten(batch: Batch, hard: Tensor, own: Tensor, *, weight: float) -> Tensor:
    r"""Mutual learning whose soft targets keep their gradient: each network is trained by its peer's loss as well.

    The peer's loss is the divergence of the peer from this network's soft targets, which so move towards the peer's output.

    Source: pytorch/translate, pull request 391, which corrects it.
    """
    of_peer = reverse_soft_loss(batch.student_logits, batch.peer_logits, temperature=1.0)
    return mixed_loss(hard, own + of_peer, alpha=batch.alpha, weight=weight)


def teacher_in_train_mode(batch: Batch) -> Tensor:
    r"""The teacher left in training mode: dropout stays on, and its logits for the same image differ each time.

    The loss is correct; the `teacher_logits` that come in are not.

    Source: a forgotten `teacher.eval()`, found in public repositories.
    """
    return soft_loss(batch.student_logits, batch.teacher_logits, temperature=batch.temperature)
