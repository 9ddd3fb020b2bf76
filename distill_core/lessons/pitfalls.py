"""Pitfalls: which bug costs most?"""

from dataclasses import replace

from distill_core.lessons.lesson import Choice, Lesson, arms, best
from distill_core.studies.presets import PRESETS

FIRST = PRESETS["first-race"].experiment
BUGS = {
    "alpha the wrong way round": "alpha-swapped",
    "loss divided by the number of classes": "mean-over-classes",
    "soft targets of other images": "shuffled-targets",
}

TEXT = r"""
A bug in a distillation loss rarely stops the program. The student still learns, a little less well, and without a
[[baseline]] nobody notices. So:

- Train a baseline from the same initial weights on the same batches, and tune it as carefully.
- Check the loss where its value is known: it is 0 if student and teacher output the same, and no gradient reaches the
  teacher.
- Use `batchmean`, log-probabilities for the student, probabilities for the teacher, and the factor $T^2$.
- Put the teacher into evaluation mode. Store its [[logits]] by the index of the image.
- Choose on validation images; report test accuracy over several seeds with an [[interval]].
- Average over examples, not over batches.

Two curves 0.1 points apart on 10,000 images are the same curve.
"""

LESSON = Lesson(
    title="Best practice and pitfalls",
    group="When and why",
    place=5,
    question="Three students, each trained with a bug found in public code. All three programs run without an error message. Which bug "
    "costs most accuracy?",
    guess=Choice(tuple(BUGS)),
    arms=arms(replace(FIRST, epochs=40), **{label: {"method": name} for label, name in BUGS.items()}),
    judge=best(worst=True),
    text=TEXT,
    source="Measured here",
    look={
        "Find the bug": ("pages/find_the_bug.py", {}),
        "A best cell that is chosen on test images": ("pages/sweep.py", {"validation": "0"}),
    },
    races={
        "Without a baseline this looks like a success": PRESETS["plenty"].experiment,
        **arms(
            FIRST,
            **{
                "The loss divided by the number of classes": {"method": "mean-over-classes"},
                "T\u00b2 left out, at T = 20": {"method": "soft-targets-without-t2", "temperature": 20.0},
                "Probabilities in place of log-probabilities": {"method": "probabilities-in-kl-div"},
                "A teacher in training mode": {"method": "teacher-in-train-mode"},
                "Soft targets of other images": {"method": "shuffled-targets"},
            },
        ),
    },
)
