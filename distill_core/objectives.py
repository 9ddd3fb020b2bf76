"""The methods of distillation: what a student minimises, built from `losses.py`.

A method is its own loss: a function that takes a `Batch` and returns one number. Training adds the hard loss,
`losses.mixed_loss`, and records both losses before their weights: what is trained and what is drawn cannot differ.

METHODS, at the end, lists them: methods to use, controls that separate the teacher's knowledge from its by-products, and
mistakes of public code for the page *Find the bug*. Those of texts alone are in `text_objectives.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from distill_core import controls, features, losses
from distill_core.batch import Batch, Method, mixed_after_warm_up, mixed_per_class
from distill_core.losses import hard_loss, mixed_loss, soft_loss, standardize

FIRST_STAGE = 1 / 3  # of the training, for hints in two stages


def objective(method: Method, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
    """What one network minimises in one step, and its raw losses: hard, and the method's own under the name `soft_loss`.

    A baseline minimises the hard loss alone, whatever the method.
    """
    own = method.loss(batch)
    hard = hard_loss(*batch.labelled)
    if batch.labels_only is True:
        total = hard
    else:
        total = method.mixture(batch, hard, own, weight=method.weight)
        if isinstance(batch.labels_only, Tensor):  # students and baselines of a cohort, side by side
            total = torch.where(batch.labels_only, hard, total)
    return total, {"hard_loss": hard, "soft_loss": own}


# --- response-based: the logits of both networks --------------------------------------------------------------------


def soft_targets(batch: Batch) -> Tensor:
    r"""Match the teacher's soft targets at temperature T.

    Source: Hinton, Vinyals and Dean 2015, section 2.
    """
    return soft_loss(batch.student_logits, batch.teacher_logits, temperature=batch.temperature)


def logits(batch: Batch) -> Tensor:
    r"""Match the teacher's logits instead of its probabilities, with weight $1 / C$. The temperature has no effect.

    Divided by C, the number of classes, this is the limit of the soft loss as T grows.

    Source: Ba and Caruana 2014, section 2.2.
    """
    return losses.logit_loss(batch.student_logits, batch.teacher_logits)


def reverse_kl(batch: Batch) -> Tensor:
    r"""Match the soft targets by the reverse divergence: no probability where the teacher has none, rather than some on all classes.

    Source: Gu et al. 2024 (MiniLLM), section 2.1.
    """
    return losses.reverse_soft_loss(batch.student_logits, batch.teacher_logits, temperature=batch.temperature)


def jensen_shannon(batch: Batch) -> Tensor:
    r"""Match the soft targets by the Jensen-Shannon divergence, with $\beta = 1/2$ if not set: between the soft loss and its reverse.

    Its weight of $1 / (\beta (1 - \beta))$ gives it the size of the soft loss at high temperatures.

    Source: Agarwal et al. 2024 (GKD), section 2, here on the transfer set instead of own outputs.
    """
    return losses.jensen_shannon_loss(batch.student_logits, batch.teacher_logits, temperature=batch.temperature)


def decoupled(batch: Batch) -> Tensor:
    r"""Separate the target and the non-target part of the soft loss; the second has eight times the weight of the first.

    At the default alpha the hard loss has the weight of the target part, and both parts are warmed up over the first
    twelfth of the training: the defaults of the authors' code (weights 1, 1 and 8; 20 of 240 epochs). The paper chooses
    the weight 8 anew for each pair of networks.

    Source: Zhao et al. 2022 (DKD), the authors' code.
    """
    return losses.decoupled_loss(batch.student_logits, batch.teacher_logits, batch.labels, temperature=batch.temperature)


def correlation(batch: Batch) -> Tensor:
    r"""Match the order and the spacing of the classes, and of the examples, by correlation instead of divergence.

    Source: Huang et al. 2022 (DIST), the authors' code.
    """
    return losses.correlation_loss(batch.student_logits, batch.teacher_logits, temperature=batch.temperature)


def standardized(loss: Callable[[Batch], Tensor]) -> Callable[[Batch], Tensor]:
    r"""The same loss on standardised logits: each example's logits with mean 0 and standard deviation 1, in both networks.

    The student need not reach the size of the teacher's logits. The hard loss uses the plain logits. The gradient
    through the standardisation is small where the logits are large; the weight makes up for it.

    Source: Sun et al. 2024, section 4.3 and algorithm 2.
    """

    def on_standardized(batch: Batch) -> Tensor:
        both = {"student_logits": standardize(batch.student_logits), "teacher_logits": standardize(batch.teacher_logits)}
        return loss(replace(batch, **both))

    on_standardized.__doc__ = standardized.__doc__
    return on_standardized


# --- feature-based: the outputs of hidden layers --------------------------------------------------------------------


def hints(batch: Batch) -> Tensor:
    r"""Match the teacher's middle layer (the hint) with the student's middle layer (the guided layer), from the first step.

    A regressor gives the student's features the teacher's shape; it is trained with the student and discarded at the
    end. This is the one-stage form, as in RepDistiller; a very deep student did not learn so (section 3.1).

    Source: Romero et al. 2015 (FitNets), section 2.2.
    """
    student, teacher = features.match_spatial_size(
        features.middle_block(batch.student_features), features.middle_block(batch.teacher_features)
    )
    return losses.hint_loss(batch.regressor(student), teacher)


def hints_then_soft_targets(batch: Batch, hard: Tensor, hint: Tensor, *, weight: float) -> Tensor:
    r"""First the hint alone, up to the guided layer; then soft targets and labels, as in the paper's two stages.

    The first third of the training is the first stage: labels are not used, and the layers after the guided one do not
    change.

    Source: Romero et al. 2015 (FitNets), section 2.3; the share of the first stage is ours.
    """
    total = mixed_loss(hard, soft_targets(batch), alpha=batch.alpha)
    first, second = weight * hint + 0 * total, total + 0 * hint  # every weight gets a gradient in both stages, if only 0
    is_first = batch.progress < FIRST_STAGE
    return torch.where(is_first, first, second) if isinstance(is_first, Tensor) else first if is_first else second


def attention(batch: Batch) -> Tensor:
    r"""Match the attention maps of every block: where its channels are active, whatever each channel stands for.

    Each of the student's blocks is compared with the teacher's block at the same relative depth; the losses are added.

    Source: Zagoruyko and Komodakis 2017, the authors' code.
    """
    return sum(
        map(losses.attention_loss, batch.student_features, features.match_blocks_by_depth(batch.student_features, batch.teacher_features))
    )


# --- relation-based: the examples of a batch among each other -------------------------------------------------------


def on_last_block(loss: Callable[[Tensor, Tensor], Tensor]) -> Callable[[Batch], Tensor]:
    """A loss that compares the outputs of the last blocks; the widths may differ."""

    def on_features(batch: Batch) -> Tensor:
        return loss(*features.last_blocks(batch.student_features, batch.teacher_features))

    on_features.__doc__ = loss.__doc__
    return on_features


def contrastive(batch: Batch) -> Tensor:
    r"""Bring the embeddings of an image in both networks together, and push those of images with another label apart.

    The embeddings are projections of the last blocks of both networks, trained with the student and discarded at the end.
    The negatives are those of the batch; the paper draws them from a memory of the whole training set.

    Source: Tian, Krishnan and Isola 2020 (CRD), the authors' code.
    """
    student, teacher = features.last_blocks(batch.student_features, batch.teacher_features)
    return losses.contrastive_loss(*batch.regressor(student, teacher.detach()), batch.labels)


# --- online: students that train each other -------------------------------------------------------------------------


def mutual(batch: Batch) -> Tensor:
    r"""No teacher: several students, equal but for their initial weights, learn from the labels and from each other.

    Each matches the others' soft targets at T = 1 as they are before the step; the first is the student that is shown.
    With the default alpha and weight, labels and peers count alike, as in the paper.

    Source: Zhang et al. 2018, sections 3.1 and 3.3.
    """
    return losses.peer_loss(batch.student_logits, batch.peer_logits)


def peers_of(member: str, peers: int) -> list[str]:
    """The members whose soft targets `member` matches, among a student and its `peers`; a baseline has the student's peers."""
    names = [f"peer-{number + 1}" for number in range(peers)]
    group = ["student", *names] if member in names else names
    return [name for name in group if name != member]


# --- all methods by their names -------------------------------------------------------------------------------------


def _times_labels(factor: float) -> float:
    """The weight with which a loss counts `factor` times as much as the labels at the default alpha of 0.1."""
    return factor / 9


def _hints(title: str, **more: object) -> Method:
    about = {"kind": "feature-based", "compares": "features", "loss_name": "hint loss", "unit": "squared activations"}
    return Method(hints, title, "Romero et al. 2015, section 2", make_regressor=features.make_regressor, **about, **more)


def _relation(loss: Callable[[Batch], Tensor], title: str, paper: str, name: str, unit: str = "", **more: object) -> Method:
    return Method(loss, title, paper, "relation-based", name, unit, compares="features", needs_hard_loss=True, **more)


def _mutual(networks: str, peers: int) -> Method:
    more = {"loss_name": "divergence from peers", "weight": _times_labels(1), "scheme": "online", "peers": peers}
    return Method(mutual, f"Mutual learning of {networks}", "Zhang et al. 2018, section 3", needs_hard_loss=True, **more)


def _mistake(title: str, **more: object) -> Method:
    return Method(**{"loss": soft_targets, "title": title, "paper": "public code", "kind": "mistake", **more})


_ZHAO, _SUN = "Zhao et al. 2022, the authors' code", "Sun et al. 2024, section 4.3"
_PARK, _TUNG = "Park et al. 2019, section 3.2", "Tung and Mori 2019, abstract"
_LOGITS, _CORRELATION = {"loss_name": "logit loss", "unit": "squared logits"}, {"loss_name": "correlation loss", "unit": ""}
_DECOUPLED = {"loss_name": "decoupled loss", "mixture": mixed_after_warm_up, "uses_labels": True}

# Losses of features and relations have scales of their own: but for the contrastive loss, their weights were chosen on training
# images that no student sees (`tests/bench/weights.py`). RepDistiller, for larger networks and maps, has 100 for hints, 1000 for
# attention, 3000 for similarity and 0.8 for its contrastive loss in `scripts/run_cifar_distill.sh`, 25 for distances and 50 for
# angles in `distiller_zoo/RKD.py`. The soft loss on standardised logits has weight 9 in the authors' code; the decoupled loss has
# nine times its weight on plain logits here.
METHODS = {
    "soft-targets": Method(soft_targets, "Soft targets", "Hinton et al. 2015, section 2"),
    "logits": Method(logits, "Matching logits", "Ba and Caruana 2014, section 2.2", mixture=mixed_per_class, **_LOGITS),
    "reverse-kl": Method(reverse_kl, "Reverse KL divergence", "Gu et al. 2024, section 2.1", loss_name="reverse soft loss"),
    "jensen-shannon": Method(
        jensen_shannon, "Jensen-Shannon divergence", "Agarwal et al. 2024, section 2", loss_name="Jensen-Shannon loss", weight=4.0
    ),
    "decoupled": Method(decoupled, "Decoupled distillation (DKD)", _ZHAO, weight=_times_labels(1), **_DECOUPLED),
    "correlation": Method(correlation, "Correlation (DIST)", "Huang et al. 2022, the authors' code", **_CORRELATION),
    "soft-targets-standardized": Method(standardized(soft_targets), "Soft targets on standardised logits", _SUN, weight=9.0),
    "logits-standardized": Method(
        standardized(logits), "Matching standardised logits", _SUN, weight=_times_labels(3), **_LOGITS
    ),
    "decoupled-standardized": Method(
        standardized(decoupled), "DKD on standardised logits", _SUN, weight=_times_labels(9), **_DECOUPLED
    ),
    "correlation-standardized": Method(
        standardized(correlation), "DIST on standardised logits", _SUN, weight=_times_labels(3), **_CORRELATION
    ),
    "hints": _hints("Hints, from the first step (FitNets)", weight=_times_labels(3), needs_hard_loss=True),
    "hints-two-stage": _hints("Hints, then soft targets (FitNets)", mixture=hints_then_soft_targets),
    "attention": Method(
        attention, "Attention transfer", "Zagoruyko and Komodakis 2017, the authors' code", "feature-based", "attention loss", "",
        weight=_times_labels(30), compares="maps", needs_hard_loss=True,
    ),
    "similarity": _relation(
        on_last_block(losses.similarity_loss), "Similarity preserving", _TUNG, "similarity loss", weight=_times_labels(100)
    ),
    "distances": _relation(
        on_last_block(losses.distance_relation_loss), "Relations: distances (RKD-D)", _PARK, "distance loss", weight=_times_labels(30)
    ),
    "angles": _relation(
        on_last_block(losses.angle_relation_loss), "Relations: angles (RKD-A)", _PARK, "angle loss",
        weight=_times_labels(30), max_batch=128,
    ),
    "contrastive": _relation(
        contrastive, "Contrastive, negatives of the batch (CRD)", "Tian et al. 2020, the authors' code", "contrastive loss", "nats",
        weight=_times_labels(1), make_regressor=features.make_projections, uses_labels=True,
    ),
    "mutual-2": _mutual("two", 1),
    "mutual-3": _mutual("three", 2),
    "mutual-4": _mutual("four", 3),
    **controls.CONTROLS,
    "soft-targets-without-t2": _mistake("T\u00b2 left out", mixture=controls.without_t2),
    "mean-over-classes": _mistake("Soft loss averaged over classes too", mixture=controls.mean_over_classes),
    "alpha-swapped": _mistake("Alpha and 1 \u2212 alpha swapped", mixture=controls.alpha_swapped),
    "doubled-hard-loss": _mistake("Hard loss counted twice", mixture=controls.doubled_hard_loss),
    "probabilities-in-kl-div": _mistake("Probabilities given to kl_div", mixture=controls.probabilities_in_kl_div),
    "logits-in-kl-div": _mistake("Logits given to kl_div", mixture=controls.logits_in_kl_div),
    "divergence-reversed": _mistake("Divergence the wrong way round", mixture=controls.divergence_reversed),
    "softmax-twice": _mistake("Softmax applied twice", mixture=controls.softmax_twice),
    "detach-forgotten": replace(
        _mutual("two", 1), title="Detach forgotten", paper="public code", kind="mistake", mixture=controls.detach_forgotten
    ),
    "teacher-in-train-mode": _mistake("Teacher left in training mode", loss=controls.teacher_in_train_mode, teacher_in_train_mode=True),
}  # fmt: skip
