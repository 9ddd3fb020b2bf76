"""The methods of distillation: what a student minimises, built from `losses.py`.

A method takes the student's logits, the teacher's and the labels, and gives the total together with its raw terms,
before their weights: what is trained and what is drawn cannot drift apart.
"""

from __future__ import annotations

from torch import Tensor

from distill_core.losses import hard_loss, soft_loss

Terms = dict[str, Tensor]


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


def soft_targets_without_t2(
    student_logits: Tensor, teacher_logits: Tensor, labels: Tensor, *, alpha: float | Tensor, temperature: float | Tensor
) -> tuple[Tensor, Terms]:
    r"""The same with the factor $T^2$ left out: $\alpha \, L_{hard} + (1 - \alpha) \, L_{soft} / T^2$.

    The higher the temperature, the less the teacher is heard: at T = 10 a hundredth of what alpha promises. A mistake
    of many public implementations, here to be looked at.

    Source: the factor and its reason are in Hinton, Vinyals and Dean 2015, section 2.
    """
    hard = hard_loss(student_logits, labels)
    soft = soft_loss(student_logits, teacher_logits, temperature=temperature)
    return alpha * hard + (1 - alpha) * soft / temperature**2, {"hard_loss": hard, "soft_loss": soft}


METHODS = {"soft-targets": soft_targets, "soft-targets-without-t2": soft_targets_without_t2}
