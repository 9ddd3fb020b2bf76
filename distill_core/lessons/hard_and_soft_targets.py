"""Hard and soft targets, and what label smoothing has in common with them."""

from distill_core.lessons.lesson import Choice, Lesson, arms, best
from distill_core.studies.presets import PRESETS

SOFT, SMOOTH = "soft targets of a teacher", "smoothed labels, no teacher"

TEXT = r"""
A [[hard target]] is the label: probability 1 for one class, 0 for all others. A [[soft target]] is a distribution over all
classes. A teacher's soft target for a 7 may give 90 % to 7, 8 % to 1 and 2 % to 9: it states how this very image could be
misread.

[[Label smoothing]] makes targets soft without a teacher: every wrong class gets the same small probability, for every image.
That keeps a network from becoming over-confident, but it carries no information on which classes are alike, nor on which
images are difficult. The comparison of both is the first control for every claim about distillation: if smoothed labels
gained as much, a teacher would not be needed.
"""

LESSON = Lesson(
    title="Hard and soft targets",
    group="Concepts",
    place=3,
    question="A label puts probability 1 on one class. One student gets a teacher's soft targets. Another gets smoothed labels: some "
    "of the probability is spread evenly over the wrong classes. Which gains more over labels alone?",
    guess=Choice((SOFT, SMOOTH)),
    arms=arms(PRESETS["first-race"].experiment, **{SOFT: {}, SMOOTH: {"method": "label-smoothing"}}),
    judge=best(),
    why_not="ten seeds on 359 test images are too few for a difference of one point",
    text=TEXT,
    source="Hinton et al. 2015, section 2; Szegedy et al. 2016, section 7",
    look={"Methods": ("pages/methods.py", {"group": "Controls"})},
)
