"""Width: which student has most to gain?"""

from distill_core.lessons.lesson import Choice, Lesson, arms, best
from distill_core.studies.presets import PRESETS

VALUES = {f"{width} units": {"student": f"mlp-{width}x2"} for width in (10, 30, 100, 300)}

TEXT = r"""
A [[student]] with more units a layer can represent more of what its [[teacher]] outputs, but it also needs the teacher less:
with labels alone it comes closer to the teacher already. A very small student has much room above its [[baseline]] and little
capacity to use it. In between lies most of the gain; where, depends on the data, so it is found by trying.

The width changes the best [[temperature]] too. With 300 or more units in each of two hidden layers, Hinton et al. found all
temperatures above 8 about equal; with 30 units, those from 2.5 to 4 were clearly best (Hinton et al. 2015, section 3). Soft
targets of a high temperature contain differences between very small probabilities, which a narrow student cannot fit
without losing accuracy elsewhere.
"""

LESSON = Lesson(
    title="Width of the student",
    group="Experiments",
    place=1,
    question="Students of 10, 30, 100 and 300 units a layer learn from the same teacher. Which one is furthest above its own baseline?",
    guess=Choice(tuple(VALUES)),
    arms=arms(PRESETS["first-race"].experiment, **VALUES),
    judge=best(),
    why_not="students of 100 and of 300 units both have room above their baselines, and one of 359 test images is 0.28 points",
    seeds=3,  # within ten seconds on two cores
    text=TEXT,
    source="Hinton et al. 2015, section 3",
    look={"Sweep over student and temperature": ("pages/sweep.py", {"x": "temperature", "y": "student"})},
)
