"""The methods of distillation: what a student minimises, built from `losses.py`.

A method takes the student's logits, the teacher's and the labels, and gives the total together with its raw terms,
before their weights: what is trained and what is drawn cannot drift apart. The total is always
`alpha * hard + (1 - alpha) * weight * own` (but for two of the mistakes), and `soft_loss` among the terms is the method's
own loss.

Some methods look at more than logits. They name it among their arguments, and their line in METHODS says that they want
it: `student_features` and `teacher_features`, what each block of the two networks gave for the same images, first block
first; `regressor`, a layer that is trained along; `peer_logits`, of the networks that learn beside this one; `progress`,
the fraction of the training that is done.

METHODS, at the end, lists them all: those that are worth using, the controls that tell knowledge from its by-products,
and some mistakes of public code, to be found out.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from distill_core import losses
from distill_core.losses import hard_loss, soft_loss, standardize

Terms = dict[str, Tensor]
Objective = Callable[..., tuple[Tensor, Terms]]

SMOOTHING = 0.1  # of labels, where there is no teacher


def soft_targets(
    student_logits: Tensor, teacher_logits: Tensor, labels: Tensor, *, alpha: float | Tensor, temperature: float | Tensor, **_: object
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
    r"""Match the teacher's logits instead of its probabilities: $\alpha \, L_{hard} + (1 - \alpha) \, L_{logits} / C$.

    The temperature plays no part. Over C, the number of classes, this is what the soft loss tends to as T grows.

    Source: Ba and Caruana 2014, *Do Deep Nets Really Need to be Deep?*
    """
    weight = 1 / student_logits.shape[-1]
    return _mixed(student_logits, labels, losses.logit_loss(student_logits, teacher_logits), alpha=alpha, weight=weight)


def decoupled(
    student_logits: Tensor, teacher_logits: Tensor, labels: Tensor, *, alpha: float | Tensor, temperature: float | Tensor, **_: object
) -> tuple[Tensor, Terms]:
    r"""Target and non-target part of the soft loss apart, the second with eight times the weight of the first.

    Source: Zhao et al. 2022, *Decoupled Knowledge Distillation*; the weights 1 and 8 are theirs for CIFAR-100.
    """
    own = losses.decoupled_loss(student_logits, teacher_logits, labels, temperature=temperature)
    return _mixed(student_logits, labels, own, alpha=alpha)


def correlation(
    student_logits: Tensor, teacher_logits: Tensor, labels: Tensor, *, alpha: float | Tensor, temperature: float | Tensor, **_: object
) -> tuple[Tensor, Terms]:
    r"""Agree in how the classes, and the examples, are ordered and spaced; no more is asked.

    Source: Huang et al. 2022, *Knowledge Distillation from A Stronger Teacher*.
    """
    return _mixed(student_logits, labels, losses.correlation_loss(student_logits, teacher_logits, temperature=temperature), alpha=alpha)


def standardized(objective: Objective) -> Objective:
    r"""The same method on standardised logits: each example's logits with mean 0 and standard deviation 1, in both networks.

    The student then need not reach the size of the teacher's logits. The labels are learnt from the plain logits.
    A gradient through the standardisation is small where the logits are large; the weight makes up for it.

    Source: Sun et al. 2024, *Logit Standardization in Knowledge Distillation*.
    """

    def on_standardized(
        student_logits: Tensor, teacher_logits: Tensor, labels: Tensor, *, alpha: float | Tensor, weight: float = 1.0, **choices: object
    ) -> tuple[Tensor, Terms]:
        _, terms = objective(standardize(student_logits), standardize(teacher_logits), labels, alpha=alpha, **choices)
        return _mixed(student_logits, labels, terms["soft_loss"], alpha=alpha, weight=weight)

    on_standardized.__doc__ = standardized.__doc__
    return on_standardized


# --- features: what happens before the logits -----------------------------------------------------------------------


def hints(
    student_logits: Tensor,
    teacher_logits: Tensor,
    labels: Tensor,
    *,
    alpha: float | Tensor,
    weight: float,
    student_features: list[Tensor],
    teacher_features: list[Tensor],
    regressor: nn.Module,
    **_: object,
) -> tuple[Tensor, Terms]:
    r"""The student's guided layer, in the middle, is to be what the teacher's is: hint and labels from the first step on.

    Its features pass through a regressor, which gives them the teacher's shape and is thrown away at the end. This is
    the one-stage form, as most code has it.

    Source: Romero et al. 2015, *FitNets: Hints for Thin Deep Nets*.
    """
    return _mixed(student_logits, labels, _hint(student_features, teacher_features, regressor), alpha=alpha, weight=weight)


def hints_then_soft_targets(
    student_logits: Tensor,
    teacher_logits: Tensor,
    labels: Tensor,
    *,
    alpha: float | Tensor,
    temperature: float | Tensor,
    student_features: list[Tensor],
    teacher_features: list[Tensor],
    regressor: nn.Module,
    progress: float,
    **_: object,
) -> tuple[Tensor, Terms]:
    r"""First the hint alone, up to the guided layer; from there on soft targets and labels, as in the paper's two stages.

    The first third of the training is the first stage: no label is used, and the layers after the guided one rest.

    Source: Romero et al. 2015, *FitNets: Hints for Thin Deep Nets*; the share of the first stage is ours.
    """
    own = _hint(student_features, teacher_features, regressor)
    total, terms = soft_targets(student_logits, teacher_logits, labels, alpha=alpha, temperature=temperature)
    first_stage = progress < 1 / 3
    total = own + 0 * total if first_stage else total + 0 * own  # all weights have a gradient, if only 0
    return total, {**terms, "soft_loss": own}


def attention(
    student_logits: Tensor,
    teacher_logits: Tensor,
    labels: Tensor,
    *,
    alpha: float | Tensor,
    weight: float,
    student_features: list[Tensor],
    teacher_features: list[Tensor],
    **_: object,
) -> tuple[Tensor, Terms]:
    r"""Look where the teacher looks: the attention maps of every block are to agree, whatever its channels say.

    Each of the student's blocks is compared with the teacher's at the same relative depth; the losses are added.

    Source: Zagoruyko and Komodakis 2017, *Paying More Attention to Attention*.
    """
    own = sum(map(losses.attention_loss, student_features, alongside(student_features, teacher_features)))
    return _mixed(student_logits, labels, own, alpha=alpha, weight=weight)


def alongside(student_features: list[Tensor], teacher_features: list[Tensor]) -> list[Tensor]:
    """For each of the student's blocks the teacher's at the same relative depth: first to first, last to last."""
    last, of_teacher = max(1, len(student_features) - 1), len(teacher_features) - 1
    return [teacher_features[round(block * of_teacher / last)] for block in range(len(student_features))]


def guided(features: list[Tensor]) -> Tensor:
    """The block in the middle, of an even number the one after it: where a teacher gives its hint and a student takes it."""
    return features[len(features) // 2]


def make_regressor(student_features: list[Tensor], teacher_features: list[Tensor]) -> nn.Module:
    """The layer that gives the student's guided features `(N, D, H, W)` or `(N, D)` the shape of the teacher's, not yet trained."""
    student, teacher = _meet(guided(student_features), guided(teacher_features))
    if student.dim() == 4:
        return nn.Conv2d(student.shape[1], teacher.shape[1], 1)  # each place by itself
    return nn.Linear(student.shape[1], teacher.shape[1])


def _hint(student_features: list[Tensor], teacher_features: list[Tensor], regressor: nn.Module) -> Tensor:
    student, teacher = _meet(guided(student_features), guided(teacher_features))
    return losses.hint_loss(regressor(student), teacher)


def _meet(student: Tensor, teacher: Tensor) -> tuple[Tensor, Tensor]:
    """Both with as many places: maps are averaged down to the smaller height and width; without places on one side, all in a line."""
    if student.dim() == teacher.dim() == 4:
        places = tuple(min(sizes) for sizes in zip(student.shape[2:], teacher.shape[2:], strict=True))
        return F.adaptive_avg_pool2d(student, places), F.adaptive_avg_pool2d(teacher, places)
    return student.flatten(1), teacher.flatten(1)


# --- relations: how the images of a batch stand to each other -------------------------------------------------------


def of_last_features(loss: Callable[[Tensor, Tensor], Tensor]) -> Objective:
    """Compare what the last block of both networks gives for the images of a batch, by a loss that needs no equal widths."""

    def objective(
        student_logits: Tensor,
        teacher_logits: Tensor,
        labels: Tensor,
        *,
        alpha: float | Tensor,
        weight: float,
        student_features: list[Tensor],
        teacher_features: list[Tensor],
        **_: object,
    ) -> tuple[Tensor, Terms]:
        own = loss(student_features[-1].flatten(1), teacher_features[-1].flatten(1))
        return _mixed(student_logits, labels, own, alpha=alpha, weight=weight)

    objective.__doc__ = loss.__doc__
    return objective


similarity = of_last_features(losses.similarity_loss)
distances = of_last_features(losses.distance_relation_loss)
angles = of_last_features(losses.angle_relation_loss)


# --- online: students that teach each other -------------------------------------------------------------------------


def mutual(
    student_logits: Tensor,
    teacher_logits: Tensor,
    labels: Tensor,
    *,
    alpha: float | Tensor,
    weight: float,
    peer_logits: Tensor,
    **_: object,
) -> tuple[Tensor, Terms]:
    r"""No teacher: several students, equal but for their first weights, learn from the labels and from each other.

    Every one is told the others' soft targets at T = 1, as they are before the step; the first is the student you see.
    With the default alpha and weight, labels and peers count alike, as in the paper.

    Source: Zhang et al. 2018, *Deep Mutual Learning*.
    """
    own = losses.mutual_loss(student_logits, peer_logits, labels) - hard_loss(student_logits, labels)
    return _mixed(student_logits, labels, own, alpha=alpha, weight=weight)


# --- controls: what is knowledge, and what only comes with it -------------------------------------------------------


def label_smoothing(
    student_logits: Tensor, teacher_logits: Tensor, labels: Tensor, *, alpha: float | Tensor, **_: object
) -> tuple[Tensor, Terms]:
    r"""No teacher at all: the labels, smoothed by 0.1. What soft targets give without any knowledge in them.

    Source: Szegedy et al. 2016, *Rethinking the Inception Architecture for Computer Vision*.
    """
    return _mixed(student_logits, labels, losses.smoothing_loss(student_logits, labels, smoothing=SMOOTHING), alpha=alpha)


def permuted_classes(
    student_logits: Tensor, teacher_logits: Tensor, labels: Tensor, *, alpha: float | Tensor, temperature: float | Tensor, **_: object
) -> tuple[Tensor, Terms]:
    r"""Soft targets whose *wrong* classes have changed places: each wrong class has the logit of the next one.

    The teacher's confidence stays, example by example; what it knows of the likeness of classes is gone.

    Source: Furlanello et al. 2018, *Born-Again Neural Networks* (dark knowledge with permuted predictions).
    """
    return soft_targets(student_logits, permute_wrong_classes(teacher_logits, labels), labels, alpha=alpha, temperature=temperature)


def uniform_classes(
    student_logits: Tensor, teacher_logits: Tensor, labels: Tensor, *, alpha: float | Tensor, temperature: float | Tensor, **_: object
) -> tuple[Tensor, Terms]:
    r"""Soft targets whose wrong classes are all equally likely: only the teacher's confidence is left.

    Source: Furlanello et al. 2018, *Born-Again Neural Networks* (confidence-weighted by teacher, taken as a target).
    """
    targets = equalise_wrong_classes(teacher_logits, labels, temperature=temperature)
    return soft_targets(student_logits, targets, labels, alpha=alpha, temperature=temperature)


def equalise_wrong_classes(teacher_logits: Tensor, labels: Tensor, *, temperature: float | Tensor) -> Tensor:
    """Logits `(N, C)` in which all wrong classes have the same; at T the label's probability stays what it was."""
    wrong = ~_is_label(teacher_logits, labels)
    others = torch.logsumexp(teacher_logits.masked_fill(~wrong, -torch.inf) / temperature, dim=-1, keepdim=True)
    level = temperature * (others - torch.log(wrong.sum(dim=-1, keepdim=True).to(others.dtype)))
    return torch.where(wrong, level, teacher_logits)


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
    student_logits: Tensor, teacher_logits: Tensor, labels: Tensor, *, alpha: float | Tensor, temperature: float | Tensor, **_: object
) -> tuple[Tensor, Terms]:
    r"""The factor $T^2$ left out: $\alpha \, L_{hard} + (1 - \alpha) \, L_{soft} / T^2$.

    The higher the temperature, the less the teacher is heard: at T = 10 a hundredth of what alpha promises.

    Source: the factor and its reason are in Hinton, Vinyals and Dean 2015, section 2.
    """
    hard = hard_loss(student_logits, labels)
    soft = soft_loss(student_logits, teacher_logits, temperature=temperature)
    return alpha * hard + (1 - alpha) * soft / temperature**2, {"hard_loss": hard, "soft_loss": soft}


def mean_over_classes(
    student_logits: Tensor, teacher_logits: Tensor, labels: Tensor, *, alpha: float | Tensor, temperature: float | Tensor, **_: object
) -> tuple[Tensor, Terms]:
    r"""The divergence averaged over the classes too, as `F.kl_div` does by default: C times too small.

    Source: the documentation of `torch.nn.functional.kl_div` warns of `reduction="mean"`.
    """
    hard = hard_loss(student_logits, labels)
    soft = soft_loss(student_logits, teacher_logits, temperature=temperature)
    return alpha * hard + (1 - alpha) * soft / student_logits.shape[-1], {"hard_loss": hard, "soft_loss": soft}


def shuffled_targets(
    student_logits: Tensor, teacher_logits: Tensor, labels: Tensor, *, alpha: float | Tensor, temperature: float | Tensor, **_: object
) -> tuple[Tensor, Terms]:
    r"""Soft targets that belong to other images: those of the next one in the batch. The labels are right.

    As a control it says what a teacher is worth that knows nothing of the image.

    Source: soft targets stored in one order and used in another, found in public repositories.
    """
    return soft_targets(student_logits, of_other_images(teacher_logits), labels, alpha=alpha, temperature=temperature)


def of_other_images(teacher_logits: Tensor) -> Tensor:
    """Logits `(N, C)`, each those of another image of the batch."""
    return teacher_logits.roll(1, dims=0)


def alpha_turned_round(
    student_logits: Tensor, teacher_logits: Tensor, labels: Tensor, *, alpha: float | Tensor, temperature: float | Tensor, **_: object
) -> tuple[Tensor, Terms]:
    r"""Alpha taken for the weight of the *soft* loss: $(1 - \alpha) \, L_{hard} + \alpha \, L_{soft}$.

    Source: some public code defines alpha so (DeiT, `loss_fn_kd`), some as here: a number copied from one to the other means
    the opposite.
    """
    hard = hard_loss(student_logits, labels)
    soft = soft_loss(student_logits, teacher_logits, temperature=temperature)
    return (1 - alpha) * hard + alpha * soft, {"hard_loss": hard, "soft_loss": soft}


def doubled_hard_loss(
    student_logits: Tensor, teacher_logits: Tensor, labels: Tensor, *, alpha: float | Tensor, temperature: float | Tensor, **_: object
) -> tuple[Tensor, Terms]:
    r"""The hard loss added once more outside the mixture: $L_{hard} + \alpha \, L_{hard} + (1 - \alpha) \, L_{soft}$.

    Source: found in public repositories, where a framework adds the labels' loss to one that has it already.
    """
    total, terms = soft_targets(student_logits, teacher_logits, labels, alpha=alpha, temperature=temperature)
    return total + terms["hard_loss"], terms


def restless_teacher(
    student_logits: Tensor, teacher_logits: Tensor, labels: Tensor, *, alpha: float | Tensor, temperature: float | Tensor, **_: object
) -> tuple[Tensor, Terms]:
    r"""The teacher left in training mode: its dropout goes on, and it answers the same image differently each time.

    The loss is right; what comes in as `teacher_logits` is not.

    Source: a `teacher.eval()` that was forgotten, found in public repositories.
    """
    return soft_targets(student_logits, teacher_logits, labels, alpha=alpha, temperature=temperature)


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
    """A method by its name: its objective, who thought of it, of which kind it is, and what it looks at."""

    loss: Objective
    title: str
    paper: str
    kind: str = "response-based"  # feature-based, relation-based; control; mistake
    loss_name: str = "soft loss"  # of its own loss, as the axis of a chart has it
    unit: str = "nats"  # of its own loss; empty for a ratio
    weight: float = 1.0  # of its own loss beside the hard loss, before alpha
    scheme: str = "offline"  # the teacher was trained before; online: all learn at once
    compares: str = "logits"  # features: of any network with hidden layers; maps: of convolutions only
    regressor: Callable[[list[Tensor], list[Tensor]], nn.Module] | None = None  # makes the layer that is trained along
    peers: int = 0  # networks that learn beside the student
    teacher_in_train_mode: bool = False  # the teacher's dropout stays on
    max_batch: int = 0  # more images at once would need too much memory; 0 if any will do

    def __call__(self, student_logits: Tensor, teacher_logits: Tensor, labels: Tensor, **choices: object) -> tuple[Tensor, Terms]:
        """The total and its raw terms. `choices`: alpha, temperature and whatever else the method looks at."""
        return self.loss(student_logits, teacher_logits, labels, weight=self.weight, **choices)


_HINTS = {
    "kind": "feature-based",
    "loss_name": "hint loss",
    "unit": "squared activations",
    "compares": "features",
    "regressor": make_regressor,
}
_RELATIONS = {"kind": "relation-based", "compares": "features"}
_SZEGEDY, _BORN_AGAIN = "Szegedy et al. 2016", "Furlanello et al. 2018"


def _beside(labels: float) -> float:
    """The weight that makes a loss count so many times as much as the labels at our default alpha of 0.1."""
    return labels / 9


# Losses of features and relations have scales of their own: their weights were chosen on training images that no student
# sees (`tests/bench/weights.py`). RepDistiller's sample script, for larger networks and maps, has 100 for hints, 1000 for
# attention, 3000 for similarity, 25 for distances and 50 for angles.
METHODS = {
    "soft-targets": Method(soft_targets, "Soft targets", "Hinton et al. 2015"),
    "logits": Method(logits, "Matching logits", "Ba and Caruana 2014", loss_name="logit loss", unit="squared logits"),
    "decoupled": Method(decoupled, "Decoupled distillation (DKD)", "Zhao et al. 2022", loss_name="decoupled loss", unit="nats"),
    "correlation": Method(correlation, "Correlation (DIST)", "Huang et al. 2022", loss_name="correlation loss", unit=""),
    "soft-targets-standardized": Method(standardized(soft_targets), "Soft targets on standardised logits", "Sun et al. 2024", weight=9.0),
    "logits-standardized": Method(
        standardized(logits),
        "Matching standardised logits",
        "Sun et al. 2024",
        weight=_beside(3),
        loss_name="logit loss",
        unit="squared logits",
    ),
    "decoupled-standardized": Method(
        standardized(decoupled), "DKD on standardised logits", "Sun et al. 2024", weight=9.0, loss_name="decoupled loss", unit="nats"
    ),
    "correlation-standardized": Method(
        standardized(correlation),
        "DIST on standardised logits",
        "Sun et al. 2024",
        weight=_beside(3),
        loss_name="correlation loss",
        unit="",
    ),
    "hints": Method(hints, "Hints, from the first step (FitNets)", "Romero et al. 2015", weight=_beside(3), **_HINTS),
    "hints-two-stage": Method(hints_then_soft_targets, "Hints, then soft targets (FitNets)", "Romero et al. 2015", **_HINTS),
    "attention": Method(
        attention,
        "Attention transfer",
        "Zagoruyko and Komodakis 2017",
        "feature-based",
        weight=_beside(30),
        compares="maps",
        loss_name="attention loss",
        unit="",
    ),
    "similarity": Method(
        similarity, "Similarity preserving", "Tung and Mori 2019", weight=_beside(100), **_RELATIONS, loss_name="similarity loss", unit=""
    ),
    "distances": Method(
        distances, "Relations: distances (RKD-D)", "Park et al. 2019", weight=_beside(30), **_RELATIONS, loss_name="distance loss", unit=""
    ),
    "angles": Method(
        angles,
        "Relations: angles (RKD-A)",
        "Park et al. 2019",
        weight=_beside(30),
        max_batch=128,
        **_RELATIONS,
        loss_name="angle loss",
        unit="",
    ),
    **{
        name: Method(
            mutual,
            f"Mutual learning of {many}",
            "Zhang et al. 2018",
            weight=_beside(1),
            scheme="online",
            peers=peers,
            loss_name="divergence from the peers",
        )
        for name, many, peers in (("mutual-2", "two", 1), ("mutual-3", "three", 2), ("mutual-4", "four", 3))
    },
    "label-smoothing": Method(
        label_smoothing, "Label smoothing, no teacher", _SZEGEDY, "control", loss_name="smoothed cross-entropy", unit="nats"
    ),
    "permuted-classes": Method(permuted_classes, "Wrong classes permuted", _BORN_AGAIN, "control"),
    "uniform-classes": Method(uniform_classes, "Wrong classes made equal", _BORN_AGAIN, "control"),
    "shuffled-targets": Method(shuffled_targets, "Soft targets of other images", "public code", "control"),
    "soft-targets-without-t2": Method(without_t2, "T\u00b2 left out", "public code", "mistake"),
    "mean-over-classes": Method(mean_over_classes, "Divergence averaged over classes", "public code", "mistake"),
    "alpha-swapped": Method(alpha_turned_round, "Alpha and 1 − alpha swapped", "public code", "mistake"),
    "doubled-hard-loss": Method(doubled_hard_loss, "Hard loss counted twice", "public code", "mistake"),
    "teacher-in-train-mode": Method(
        restless_teacher, "Teacher left in training mode", "public code", "mistake", teacher_in_train_mode=True
    ),
}
