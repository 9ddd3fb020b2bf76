"""The bug zoo: six mistakes, what gives each away, and their curves beside the right ones."""

from __future__ import annotations

from dataclasses import dataclass

from distill_core.figures.curves import Bands, race_drawing


@dataclass(frozen=True)
class Bug:
    """What gives a mistake away, where that shows best, and the repair. `temperature`, `alpha`: where it was measured."""

    tells: str
    repair: str
    temperature: float
    alpha: float
    field: str  # in which panel


ZOO = {
    "soft-targets-without-t2": Bug(
        "At T = 1 nothing differs; the higher T, the less the teacher is heard: the soft loss stays high, and the student comes "
        "close to the baseline. At alpha = 0 the mistake only scales the loss, and Adam, which scales its steps itself, hides it.",
        "multiply the divergence by T\u00b2: the gradient of softened logits shrinks by T\u00b2, the factor keeps its size.",
        20.0, 0.1, "soft_loss",
    ),
    "mean-over-classes": Bug(
        "The teacher is heard too little at every T alike, T = 1 included: ten classes, a tenth of its voice. At alpha = 0 Adam "
        "hides it, as it hides a T\u00b2 that was left out.",
        "sum over the classes and average over the examples: `reduction=\"batchmean\"`, not the default of `F.kl_div`.",
        1.0, 0.5, "soft_loss",
    ),
    "shuffled-targets": Bug(
        "The soft loss hardly falls: nobody can learn whose soft targets come next. At alpha = 0 there are no labels to help, and "
        "the accuracy stays at chance; at alpha = 1 all is well.",
        "keep soft targets by the index of their image, and look them up by the same index as the labels.",
        4.0, 0.0, "test_accuracy",
    ),
    "teacher-in-train-mode": Bug(
        "The soft loss falls, but not as far: the teacher says something else each time, and what changes by chance cannot be "
        "learnt. The accuracy hardly suffers. At alpha = 1 all is well.",
        "call `teacher.eval()` before the first question, so that dropout rests (and batch normalisation uses what it learnt).",
        4.0, 0.1, "soft_loss",
    ),
    "alpha-swapped": Bug(
        "At alpha = 1 the student should be the baseline to the last digit, and is not; at alpha = 0 it hears nothing but labels. "
        "At alpha = 0.5 nothing differs.",
        "look which of the two losses alpha weighs in this code: here the hard one.",
        8.0, 0.9, "hard_loss",
    ),
    "doubled-hard-loss": Bug(
        "At alpha = 0 no label should be heard, and yet the hard loss falls lower than it should, and the soft loss less low. At "
        "alpha = 1 the loss is only doubled, and Adam hides it.",
        "add the labels' loss once: either inside the mixture, or by the framework.",
        8.0, 0.0, "hard_loss",
    ),
}  # fmt: skip


def beside_each_other(right: Bands, question: Bands) -> Bands:
    """The students of two races as members of one chart, with the baseline that they share."""
    return {
        **{("right", field): band for (member, field), band in right.items() if member == "student"},
        **{("suspect", field): band for (member, field), band in question.items() if member == "student"},
        **{("baseline", field): band for (member, field), band in right.items() if member == "baseline"},
    }


def bug_drawing(curves: Bands, *, field: str, epochs: float, height: int) -> dict:
    """One panel with all three, from the first moment on; losses in powers of ten, where a late difference is as wide as an early one."""
    return race_drawing(curves, fields=(field,), members=("right", "suspect", "baseline"), epochs=epochs, log=True, height=height)
