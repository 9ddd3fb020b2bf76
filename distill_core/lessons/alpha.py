"""Alpha: how much should the labels count?"""

from distill_core.lessons.lesson import Choice, Lesson, arms, best
from distill_core.studies.presets import PRESETS

VALUES = {f"alpha = {value:g}": {"alpha": value} for value in (0.0, 0.1, 0.5, 0.9)}

TEXT = r"""
The student minimises $\alpha\, L_\mathrm{hard} + (1 - \alpha)\, L_\mathrm{soft}$. In this lab [[alpha]] is the weight of the
[[hard loss]]: at 1 the teacher is ignored, at 0 the labels are.

Public code has two conventions. In some libraries alpha is the weight of the hard loss, as here; in others it is the weight
of the [[soft loss]]. The same number then means the opposite, and copying a value from one to the other turns a good setting
into a poor one. Before you use a published value, look for the line in the code.

Hinton et al. obtained the best results with a considerably lower weight on the hard loss (Hinton et al. 2015, section 2). A
little of it helps where the teacher is wrong: the labels correct it.
"""

LESSON = Lesson(
    title="Alpha",
    group="Concepts",
    place=6,
    question="Alpha is the weight of the labels, 1 minus alpha that of the teacher. Which alpha gains most?",
    guess=Choice(tuple(VALUES)),
    arms=arms(PRESETS["first-race"].experiment, **VALUES),
    judge=best(),
    why_not="already a tenth of the loss for the teacher gives most of the gain here",
    text=TEXT,
    source="Hinton et al. 2015, section 2",
    look={"Find the bug: alpha the wrong way round": ("pages/find_the_bug.py", {})},
)
