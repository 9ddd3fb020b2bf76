"""What a method is: the batch that it gets in one step, how its loss is mixed with the hard loss, and what it needs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from distill_core.losses import mixed_loss

WARM_UP = 1 / 12  # of the training: 20 of 240 epochs (Zhao et al. 2022, the authors' code)


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
    unlabelled: int = 0  # of the N examples, the last: they have no label, and no hard loss; or they are text that the teacher wrote
    progress: float | Tensor = 0.0  # the fraction of the training that is done
    student_features: Sequence[Tensor] = ()  # the output of each block, first block first
    teacher_features: Sequence[Tensor] = ()
    regressor: Callable[..., Tensor | tuple[Tensor, ...]] | None = None  # layers that are trained with the student
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


def mixed_after_warm_up(batch: Batch, hard: Tensor, own: Tensor, *, weight: float) -> Tensor:
    """The same with the weight of the own loss rising linearly from 0 over the first twelfth of the training."""
    share = batch.progress / WARM_UP
    share = share.clamp(max=1.0) if isinstance(share, Tensor) else min(share, 1.0)
    return mixed_loss(hard, own, alpha=batch.alpha, weight=weight * share)


def own_loss_alone(batch: Batch, hard: Tensor, own: Tensor, *, weight: float) -> Tensor:
    """The own loss without the hard loss, whatever alpha: for a loss that contains the labels in the intended share."""
    return weight * own


MIXTURES = (mixed, mixed_per_class, mixed_after_warm_up, own_loss_alone)  # those that belong to no single method


@dataclass(frozen=True)
class Method:
    """A method: its loss, its mixture with the hard loss, its source and kind, and what it needs."""

    loss: Callable[[Batch], Tensor]
    title: str
    paper: str
    kind: str = "response-based"  # feature-based, relation-based; control; mistake
    loss_name: str = "soft loss"  # on the axis of a chart
    unit: str = "nats"  # of the loss; empty for a ratio
    mixture: Callable[..., Tensor] = mixed
    weight: float = 1.0  # of the loss beside the hard loss, before alpha
    scheme: str = "offline"  # the teacher is trained before; online: all train at once
    compares: str = "logits"  # features: of any network with hidden layers; maps: of convolutions only
    needs_hard_loss: bool = False  # without the hard loss, at alpha 0, no output learns which class it stands for
    uses_labels: bool = False  # of every image: its own loss contains them
    make_regressor: Callable[[Sequence[Tensor], Sequence[Tensor]], nn.Module] | None = None  # layers trained with the student
    change_targets: Callable[[Tensor, torch.Generator], Tensor] | None = None  # of the teacher's logits, at random in each step
    peers: int = 0  # networks that train beside the student
    teacher_in_train_mode: bool = False
    teacher_writes: bool = False  # of texts: each batch also has text that the teacher wrote, as its last examples
    student_writes: float = 0.0  # of texts: the share of steps in which the student trains on its own text
    copies_blocks: bool = False  # of texts: the student starts from every second block of the teacher, its baseline does not
    max_batch: int = 0  # a larger batch would need too much memory; 0 for no bound

    @property
    def definition(self) -> Callable[..., Tensor]:
        """The function that makes it different from the others: its loss, or its mixture where that is special."""
        return self.loss if self.mixture in MIXTURES else self.mixture
