"""Pitfalls: which bug costs most?"""

from distill_core.lessons.lesson import Choice, Lesson, arms, best
from distill_core.studies.presets import PRESETS

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
    question="Three bugs of public code, one to a student. All three programs run without an error message. Which bug costs most accuracy?",
    guess=Choice(tuple(BUGS)),
    arms=arms(PRESETS["first-race"].experiment, **{label: {"method": name} for label, name in BUGS.items()}),
    judge=best(worst=True),
    text=TEXT,
    source="Measured here",
    look={"Find the bug": ("pages/find_the_bug.py", {})},
)
