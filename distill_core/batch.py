"""What a method gets in one step, and how its loss is mixed with the hard loss."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from torch import Tensor

from distill_core.losses import mixed_loss


@dataclass(frozen=True)
class Batch:
    """One batch of N examples as a method gets it: the outputs of the networks, the labels, and the choices of the run.

    A method that needs features or peers states so in METHODS; for other methods these fields are empty.
    """

    student_logits: Tensor  # (N, C)
    teacher_logits: Tensor  # (N, C)
    labels: Tensor  # (N,); -1 for an image without a label
    alpha: float | Tensor
    temperature: float | Tensor
    labels_only: bool | Tensor = False  # a baseline: trained on the hard loss, the method's loss is only measured
    unlabelled: int = 0  # of the N examples, the last: they have no label, and no hard loss
    progress: float = 0.0  # the fraction of the training that is done
    student_features: Sequence[Tensor] = ()  # the output of each block, first block first
    teacher_features: Sequence[Tensor] = ()
    regressor: Callable[[Tensor], Tensor] | None = None  # trained with the student
    peer_logits: Tensor | None = None  # (K - 1, N, C), detached

    @property
    def labelled(self) -> tuple[Tensor, Tensor]:
        """The student's logits and the labels of the examples that have one."""
        examples = len(self.labels) - self.unlabelled
        return self.student_logits[:examples], self.labels[:examples]


def mixed(batch: Batch, hard: Tensor, own: Tensor, *, weight: float) -> Tensor:
    """The mixture of nearly all methods."""
    return mixed_loss(hard, own, alpha=batch.alpha, weight=weight)


def mixed_per_class(batch: Batch, hard: Tensor, own: Tensor, *, weight: float) -> Tensor:
    """The same for a loss that is summed over C classes, with its weight divided by C."""
    return mixed_loss(hard, own, alpha=batch.alpha, weight=weight / batch.student_logits.shape[-1])
