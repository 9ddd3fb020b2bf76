"""The bugs of the page Find the bug: symptoms, fixes, where they were found, and their curves beside those of the correct code."""

from __future__ import annotations

from dataclasses import dataclass

from distill_core.figures.curves import Bands, race_drawing


@dataclass(frozen=True)
class Bug:
    """A bug's symptoms and its fix. It is visible in the panel of `field` at this `temperature` and `alpha` (tested over ten seeds).

    `found`: the public code in which it was seen; empty where none was looked up. `correct`: the method without the bug.
    """

    symptoms: str
    fix: str
    temperature: float
    alpha: float
    field: str
    found: str = ""
    correct: str = "soft-targets"


BUGS = {
    "soft-targets-without-t2": Bug(
        "No difference at T = 1. The higher T, the smaller the gradient of the soft loss: the soft loss stays high, and the student "
        "comes close to the baseline. At alpha = 0 the bug only scales the loss, and Adam, which normalises its steps, hides it.",
        "multiply the divergence by T\u00b2: the gradient of softened logits is proportional to 1 / T\u00b2; the factor compensates.",
        20.0, 0.1, "soft_loss",
        "Intel's distiller, corrected after issue 122. The Keras example of 2020 left the factor out to keep the example simple, as its "
        "author says in pull request 870.",
    ),
    "mean-over-classes": Bug(
        "The soft loss has too small a weight, by the same factor at every T, T = 1 included: a tenth with ten classes. At alpha = 0 "
        "Adam hides the bug, as it hides a missing T\u00b2.",
        "sum over the classes and average over the examples: `reduction=\"batchmean\"`, not the default of `F.kl_div`.",
        1.0, 0.5, "soft_loss",
        "the copies of `loss_fn_kd` that call `nn.KLDivLoss()` without a reduction.",
    ),
    "shuffled-targets": Bug(
        "The soft loss hardly decreases, because the soft targets do not depend on the image. At alpha = 0 no labels are used, and the "
        "accuracy stays at chance level; at alpha = 1 there is no difference.",
        "store the soft targets by example index, and look them up by the same index as the labels.",
        4.0, 0.0, "test_accuracy",
        "haitongli/knowledge-distillation-pytorch, which stored the teacher's outputs batch by batch and shuffled the images again in each "
        "epoch (issue 4; corrected by pull request 17).",
    ),
    "teacher-in-train-mode": Bug(
        "The soft loss decreases less: dropout makes the teacher's logits random, and the student cannot fit the random part. The "
        "accuracy hardly changes. At alpha = 1 there is no difference.",
        "call `teacher.eval()` before computing soft targets, which turns dropout off and makes batch normalisation use its running "
        "statistics.",
        4.0, 0.1, "soft_loss",
        "TaCL, whose author confirms that the teacher's `eval()` is missing (issue 11).",
    ),
    "detach-forgotten": Bug(
        "The hardest to see. With equal weights of labels and peer (alpha = 0.5) the divergence from the peer ends 30 % lower than in "
        "the correct code: each network also moves its own soft targets towards the output of its peer. The accuracy hardly changes, so "
        "the bug can stay for years. With a fixed teacher there is no difference: it is not trained.",
        "call `detach()` on the logits that serve as targets, or compute them under `torch.no_grad()`.",
        4.0, 0.5, "soft_loss",
        "pytorch/translate, whose decoders train each other; corrected by pull request 391.",
        correct="mutual-2",
    ),
    "alpha-swapped": Bug(
        "At alpha = 1 the student should equal the baseline to the last digit, and does not; at alpha = 0 it learns from the labels "
        "only. At alpha = 0.5 there is no difference.",
        "check which of the two losses alpha weights in this code: here it is the hard loss.",
        8.0, 0.9, "hard_loss",
        "values of alpha copied between two conventions: it is the weight of the soft loss in `loss_fn_kd`, of the hard loss in the Keras "
        "example.",
    ),
    "doubled-hard-loss": Bug(
        "At alpha = 0 the labels should have no influence, yet the hard loss is lower than in the correct code, and the soft loss "
        "higher. At alpha = 1 the loss is only doubled, and Adam hides it.",
        "add the hard loss once: either in the mixture or in the framework's training step.",
        8.0, 0.0, "hard_loss",
    ),
    "probabilities-in-kl-div": Bug(
        "The value that this code prints is negative and decreases; the soft loss of the chart, by the correct formula, increases far "
        "above that of the correct code. All probability goes to the teacher's top class, and nothing of the other classes is learned.",
        "give `F.kl_div` the logarithms: `F.log_softmax(student_logits / T, dim=1)`.",
        4.0, 0.1, "soft_loss",
        "the self-distillation of ProDA, confirmed by an author (issue 43).",
    ),
    "logits-in-kl-div": Bug(
        "The loss has no minimum: the logits grow from step to step, both losses of the chart increase by orders of magnitude, and the "
        "accuracy falls to chance level. At alpha = 1 there is no difference.",
        "give `F.kl_div` the logarithms: `F.log_softmax(student_logits / T, dim=1)`.",
        4.0, 0.1, "test_accuracy",
    ),
    "divergence-reversed": Bug(
        "The soft loss stays higher, most at low T and alpha = 0: the student leaves out classes instead of giving some probability to "
        "all. At high T the difference is small, because both directions have the same limit.",
        "the student comes first in `F.kl_div(log_p_student, p_teacher)`, which is KL(teacher || student).",
        2.0, 0.0, "soft_loss",
        "aprender, corrected by pull request 2153.",
    ),
    "softmax-twice": Bug(
        "The soft loss of the chart stays high: two softmax functions make all targets nearly uniform, at every T. In this code the "
        "cross-entropy of ten classes cannot fall below 1.46, however good the student is.",
        "let the network output logits, and apply the softmax once, in the loss.",
        4.0, 0.1, "soft_loss",
        "public code that calls `F.cross_entropy(F.softmax(logits, dim=1), labels)`. A reader proposed it for `loss_fn_kd` "
        "(haitongli/knowledge-distillation-pytorch, issue 10).",
    ),
}  # fmt: skip


def combine_races(correct: Bands, suspect: Bands) -> Bands:
    """The students of two races as the members "correct" and "suspect" of one chart, with the baseline of the first."""
    return {
        **{("correct", field): band for (member, field), band in correct.items() if member == "student"},
        **{("suspect", field): band for (member, field), band in suspect.items() if member == "student"},
        **{("baseline", field): band for (member, field), band in correct.items() if member == "baseline"},
    }


def bug_drawing(curves: Bands, *, field: str, epochs: float, height: int) -> dict:
    """One panel with all three members; losses on a logarithmic axis, on which small late differences stay visible."""
    return race_drawing(curves, fields=(field,), members=("correct", "suspect", "baseline"), epochs=epochs, log=True, height=height)
