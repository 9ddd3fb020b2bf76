"""The mathematics of distillation, each loss written as its formula.

Every function takes the student's first and the teacher's second, logits of shape `(N, C)`: N examples, C classes.
Losses are averaged over the N examples and measured in nats. No gradient reaches the teacher.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor


def soften(logits: Tensor, *, temperature: float | Tensor) -> Tensor:
    r"""Class probabilities at a temperature: the soft targets, when the logits are a teacher's.

    $$p_c = \frac{\exp(z_c / T)}{\sum_k \exp(z_k / T)}$$

    T = 1 is the ordinary softmax. A higher T moves probability from the top class to the others and makes the
    ratios between *wrong* classes visible; as T grows, all classes become equally likely.

    - `logits`: `(N, C)`; `temperature`: above 0. Returns probabilities `(N, C)`; each row sums to 1.

    Source: Hinton, Vinyals and Dean 2015, *Distilling the Knowledge in a Neural Network*, equation 1.
    """
    return torch.softmax(logits / _positive(temperature), dim=-1)


def hard_loss(student_logits: Tensor, labels: Tensor) -> Tensor:
    r"""Cross-entropy with the true labels, at T = 1: what a student without a teacher minimises.

    $$L_{hard} = -\frac{1}{N} \sum_n \log p^{student}_{n, y_n}$$

    - `student_logits`: `(N, C)`; `labels`: `(N,)`, class indices. Returns a scalar in nats, averaged over the N examples.
    """
    log_p = torch.log_softmax(student_logits, dim=-1)  # (N, C)
    return -log_p.gather(-1, labels.unsqueeze(-1)).mean()


def soft_loss(student_logits: Tensor, teacher_logits: Tensor, *, temperature: float | Tensor) -> Tensor:
    r"""How far the student's softened distribution is from the teacher's soft targets, times $T^2$.

    $$L_{soft} = T^2 \cdot \frac{1}{N} \sum_n \sum_c p^{teacher}_{n,c}
      \left( \log p^{teacher}_{n,c} - \log p^{student}_{n,c} \right),
      \qquad p = \mathrm{softmax}(z / T)$$

    The sum runs over the classes, the mean over the examples. (PyTorch's `F.kl_div` averages over both by default,
    which is C times too small.) The gradient of the divergence shrinks as $1/T^2$; the factor $T^2$ keeps its size,
    so that alpha means the same at every temperature.

    - `student_logits`, `teacher_logits`: `(N, C)`; `temperature`: above 0.
    - Returns a scalar in nats, averaged over the N examples; 0 exactly when both distributions agree.

    Source: Hinton, Vinyals and Dean 2015, section 2.
    """
    temperature = _positive(temperature)
    log_p_teacher = torch.log_softmax(teacher_logits.detach() / temperature, dim=-1)  # (N, C)
    log_p_student = torch.log_softmax(student_logits / temperature, dim=-1)  # (N, C)
    divergence = (log_p_teacher.exp() * (log_p_teacher - log_p_student)).sum(dim=-1)  # (N,)
    return temperature**2 * divergence.mean()


def total_loss(
    student_logits: Tensor,
    teacher_logits: Tensor,
    labels: Tensor,
    *,
    alpha: float | Tensor,
    temperature: float | Tensor,
) -> Tensor:
    r"""What the distilled student minimises: alpha weighs the **hard** loss, 1 - alpha the soft loss.

    $$L_{total} = \alpha \, L_{hard} + (1 - \alpha) \, L_{soft}$$

    `alpha = 1` is the baseline, a student that never hears the teacher; `alpha = 0` never sees a label.
    (Other code gives alpha the opposite meaning: look before you compare.)

    - `student_logits`, `teacher_logits`: `(N, C)`; `labels`: `(N,)`; `alpha` from 0 to 1; `temperature`: above 0.
    - Returns a scalar in nats, averaged over the N examples.

    Source: Hinton, Vinyals and Dean 2015, section 2: "a weighted average of two different objective functions".
    """
    hard = hard_loss(student_logits, labels)
    soft = soft_loss(student_logits, teacher_logits, temperature=temperature)
    return alpha * hard + (1 - alpha) * soft


def _positive(temperature: float | Tensor) -> float | Tensor:
    """Refuse a temperature that has no meaning; a tensor of them (a cohort's) was checked by its Experiments."""
    if isinstance(temperature, Tensor) or (temperature > 0 and math.isfinite(temperature)):
        return temperature
    raise ValueError(f"temperature {temperature} has no meaning; give a number above 0, such as 4")
