"""The six bugs of the page Find the bug: symptoms, fixes, and their curves beside those of the correct code."""

from __future__ import annotations

from dataclasses import dataclass

from distill_core.figures.curves import Bands, race_drawing


@dataclass(frozen=True)
class Bug:
    """A bug's symptoms and its fix. It is visible in the panel of `field` at this `temperature` and `alpha` (tested over ten seeds)."""

    symptoms: str
    fix: str
    temperature: float
    alpha: float
    field: str


BUGS = {
    "soft-targets-without-t2": Bug(
        "No difference at T = 1. The higher T, the smaller the gradient of the soft loss: the soft loss stays high, and the student "
        "comes close to the baseline. At alpha = 0 the bug only scales the loss, and Adam, which normalises its steps, hides it.",
        "multiply the divergence by T\u00b2: the gradient of softened logits is proportional to 1 / T\u00b2; the factor compensates.",
        20.0, 0.1, "soft_loss",
    ),
    "mean-over-classes": Bug(
        "The soft loss has too small a weight, by the same factor at every T, T = 1 included: a tenth with ten classes. At alpha = 0 "
        "Adam hides the bug, as it hides a missing T\u00b2.",
        "sum over the classes and average over the examples: `reduction=\"batchmean\"`, not the default of `F.kl_div`.",
        1.0, 0.5, "soft_loss",
    ),
    "shuffled-targets": Bug(
        "The soft loss hardly decreases, because the soft targets do not depend on the image. At alpha = 0 no labels are used, and the "
        "accuracy stays at chance level; at alpha = 1 there is no difference.",
        "store the soft targets by example index, and look them up by the same index as the labels.",
        4.0, 0.0, "test_accuracy",
    ),
    "teacher-in-train-mode": Bug(
        "The soft loss decreases less: dropout makes the teacher's logits random, and the student cannot fit the random part. The "
        "accuracy hardly changes. At alpha = 1 there is no difference.",
        "call `teacher.eval()` before computing soft targets, which turns dropout off and makes batch normalisation use its running "
        "statistics.",
        4.0, 0.1, "soft_loss",
    ),
    "alpha-swapped": Bug(
        "At alpha = 1 the student should equal the baseline to the last digit, and does not; at alpha = 0 it learns from the labels "
        "only. At alpha = 0.5 there is no difference.",
        "check which of the two losses alpha weights in this code: here it is the hard loss.",
        8.0, 0.9, "hard_loss",
    ),
    "doubled-hard-loss": Bug(
        "At alpha = 0 the labels should have no influence, yet the hard loss is lower than in the correct code, and the soft loss "
        "higher. At alpha = 1 the loss is only doubled, and Adam hides it.",
        "add the hard loss once: either in the mixture or in the framework's training step.",
        8.0, 0.0, "hard_loss",
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
