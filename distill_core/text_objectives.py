"""The methods of texts alone, beside those of `objectives.py` that compare logits: what an API allows, what a student writes itself.

TEXT_METHODS, at the end, lists all of them.
"""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from distill_core import losses
from distill_core.batch import Batch, Method
from distill_core.losses import hard_loss, soft_loss
from distill_core.objectives import METHODS, soft_targets


def jensen_shannon_with(beta: float) -> Callable[[Batch], Tensor]:
    r"""Match the soft targets by the generalised Jensen-Shannon divergence: for a small $\beta$ it is near the soft loss, for a large one
    near its reverse.

    At $\beta = 0$ and $\beta = 1$, where the divergence is 0, it is the limit of the weighted divergence: the soft loss, or its reverse.

    Source: Agarwal et al. 2024 (GKD), section 2, here on the text of the data set.
    """

    def loss(batch: Batch) -> Tensor:
        if beta in (0, 1):
            limit = losses.reverse_soft_loss if beta else soft_loss
            return limit(batch.student_logits, batch.teacher_logits, temperature=batch.temperature)
        return losses.jensen_shannon_loss(batch.student_logits, batch.teacher_logits, temperature=batch.temperature, beta=beta)

    loss.__doc__ = jensen_shannon_with.__doc__
    return loss


def top_five(batch: Batch) -> Tensor:
    r"""Soft targets of the teacher's five most probable tokens; all others are one class. This is what some APIs give.

    Source: Peng et al. 2024, section 3.2; the class of the rest is ours.
    """
    return losses.top_k_loss(batch.student_logits, batch.teacher_logits, k=TOP, temperature=batch.temperature)


def top_five_scaled(batch: Batch) -> Tensor:
    r"""The same five tokens with their probabilities scaled to 1: the rest is left out of both distributions.

    Source: Peng et al. 2024, section 3.2.
    """
    return losses.top_k_loss(batch.student_logits, batch.teacher_logits, k=TOP, temperature=batch.temperature, keep_rest=False)


def top_k_with(k: int, *, keep_rest: bool) -> Callable[[Batch], Tensor]:
    r"""Soft targets of the teacher's k most probable tokens: what an API with log-probabilities gives.

    The probability of all others is one further class, or it is left out and the k are scaled to 1.

    Source: Peng et al. 2024, section 3.2; the class of the rest is ours.
    """

    def loss(batch: Batch) -> Tensor:
        return losses.top_k_loss(batch.student_logits, batch.teacher_logits, k=k, temperature=batch.temperature, keep_rest=keep_rest)

    loss.__doc__ = top_k_with.__doc__
    return loss


def sequence_level(batch: Batch) -> Tensor:
    r"""Train on text that the teacher wrote, as on labels: all that an API without probabilities allows. T has no effect.

    $$L = -\frac{1}{N} \sum_n \log p^{student}_{n, t_n}$$

    Each batch has as many windows of the teacher's text as of the data set; the hard loss is that of the latter.

    Source: Kim and Rush 2016, section 3.2, here with text that is drawn instead of searched for.
    """
    first = len(batch.labels) - batch.unlabelled
    return hard_loss(batch.student_logits[first:], batch.labels[first:])


def on_policy(batch: Batch) -> Tensor:
    r"""The student writes, the teacher grades every token by its soft targets: the student learns to go on from its own mistakes.

    In a share $\lambda$ of the steps, drawn at random, the windows are the student's own, which begin as those of the data set; there is
    then no hard loss. In the others it is token-level distillation on the data set.

    Source: Agarwal et al. 2024 (GKD), section 3.
    """
    return soft_loss(batch.student_logits, batch.teacher_logits, temperature=batch.temperature)


def on_policy_reverse(batch: Batch) -> Tensor:
    r"""The same with the reverse divergence, which keeps the student to what the teacher considers likely.

    Source: Agarwal et al. 2024 (GKD), section 3; Gu et al. 2024 (MiniLLM), section 2.1.
    """
    return losses.reverse_soft_loss(batch.student_logits, batch.teacher_logits, temperature=batch.temperature)


def cosine_of_last_blocks(batch: Batch) -> Tensor:
    """How far the outputs of the last blocks of both networks point apart."""
    return losses.cosine_loss(batch.student_features[-1], batch.teacher_features[-1])


def distilbert(batch: Batch) -> Tensor:
    r"""DistilBERT in miniature: every second block of the teacher is copied into the student, which then learns from soft targets, labels
    and the direction of the teacher's last hidden states.

    $$L = \tfrac{5}{6} \, L_{soft} + \tfrac{1}{6} \, L_{cos}$$

    beside the hard loss, whose weight is alpha. The baseline starts from random weights.

    Source: Sanh et al. 2019 (DistilBERT), section 3; the weights 5, 2 and 1 of the three losses are those of the authors' code.
    """
    return (5 * soft_targets(batch) + cosine_of_last_blocks(batch)) / 6


def distilbert_without_soft_targets(batch: Batch) -> Tensor:
    r"""DistilBERT in miniature without the soft targets: labels and the direction of the hidden states.

    Source: Sanh et al. 2019 (DistilBERT), section 4.2, the ablation.
    """
    return cosine_of_last_blocks(batch) / 6


def distilbert_without_cosine(batch: Batch) -> Tensor:
    r"""DistilBERT in miniature without the cosine of hidden states: copied blocks, soft targets and labels.

    Source: Sanh et al. 2019 (DistilBERT), section 4.2, the ablation.
    """
    return 5 / 6 * soft_targets(batch)


TOP = 5  # tokens whose probability an API gives
_KIM, _PENG, _GKD = "Kim and Rush 2016, section 3.2", "Peng et al. 2024, section 3.2", "Agarwal et al. 2024, section 3"
_SANH = "Sanh et al. 2019, section 4.2"


def _distilbert(loss: Callable[[Batch], Tensor], title: str, **more: object) -> Method:
    about = {"kind": "feature-based", "loss_name": "soft and cosine loss", "unit": "", "compares": "features", "copies_blocks": True}
    return Method(loss, f"DistilBERT in miniature{title}", _SANH, **{**about, **more})


TEXT_METHODS = {
    "jensen-shannon-0.1": Method(
        jensen_shannon_with(0.1),
        "Jensen-Shannon, beta 0.1",
        _GKD,
        loss_name="Jensen-Shannon loss",
        weight=1 / 0.09,
    ),
    "jensen-shannon-0.9": Method(
        jensen_shannon_with(0.9),
        "Jensen-Shannon, beta 0.9",
        _GKD,
        loss_name="Jensen-Shannon loss",
        weight=1 / 0.09,
    ),
    "top-5": Method(top_five, "Top-5 probabilities, the rest as one class", _PENG, loss_name="top-5 loss"),
    "top-5-scaled": Method(top_five_scaled, "Top-5 probabilities, scaled to 1", _PENG, loss_name="top-5 loss"),
    "top-k": Method(top_k_with(TOP, keep_rest=True), "Top-k probabilities", _PENG, loss_name="top-k loss"),
    "sequence-level": Method(
        sequence_level,
        "Text that the teacher wrote (sequence-level)",
        _KIM,
        loss_name="hard loss on the teacher's text",
        teacher_writes=True,
    ),
    "on-policy": Method(on_policy, "The student's own text, graded (on-policy)", _GKD, student_writes=0.5),
    "on-policy-reverse-kl": Method(
        on_policy_reverse, "On-policy, reverse KL divergence", _GKD, loss_name="reverse soft loss", student_writes=0.5
    ),
    "distilbert": _distilbert(distilbert, ""),
    "distilbert-no-soft": _distilbert(distilbert_without_soft_targets, ", without soft targets", loss_name="cosine loss"),
    "distilbert-no-cosine": _distilbert(distilbert_without_cosine, ", without the cosine", loss_name="soft loss", unit="nats"),
    "distilbert-random": _distilbert(distilbert, ", from random weights", copies_blocks=False),
}


def method_of(name: str) -> Method:
    """A method by its name, of images or of texts. Raises `KeyError` for one that is not known."""
    return METHODS[name] if name in METHODS else TEXT_METHODS[name]
