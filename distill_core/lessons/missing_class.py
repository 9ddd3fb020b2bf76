"""A class that the student never saw."""

from distill_core.lessons.lesson import Lesson, Number, gain_of
from distill_core.studies.presets import PRESETS

TEXT = r"""
The baseline cannot know a 3: one test digit in ten is lost to it. The student has never seen a 3 either, but the teacher's
[[soft targets]] of other digits give some of their probability to class 3: to an 8 with an open left side, to a 5 with a
round belly. From these traces the student learns what a 3 would look like.

In the original experiment the student made 206 errors, 133 of them on the 1,010 threes; after its bias for class 3 was
raised, 109 errors, 14 on threes (Hinton et al. 2015, section 3). The bias was chosen on the test set. The honest rule, to
raise it until the mean probability of class 3 is the share of threes, is on the page Experiments from papers, with both
figures.
"""

LESSON = Lesson(
    title="A class without images",
    group="When and why",
    place=3,
    question="No training image shows a 3, for the student and for its baseline. By how many points of accuracy on all digits is the "
    "student above the baseline?",
    guess=Number(-5, 15, 0.5),
    arms={"No 3 in the transfer set": PRESETS["missing-3"].experiment},
    judge=gain_of("No 3 in the transfer set"),
    text=TEXT,
    source="Hinton et al. 2015, section 3",
    look={"With the bias corrected": ("pages/experiments_from_papers.py", {"study": "missing-3-bias"})},
)
