"""Label noise, for the student and for its teacher."""

from distill_core.lessons.lesson import Lesson, Number, gain_of
from distill_core.studies.presets import PRESETS

TEXT = r"""
A small network that trains on wrong labels for long learns some of them by heart. A teacher that saw many more images, wrong
labels included, has averaged the mistakes away: what is wrong at random cancels, what is right adds up. Its outputs are
therefore better labels than the labels. A low [[temperature]] suits this best (Kim et al. 2021, section "Robustness to Noisy
Labels").

The teacher here has seen 1,438 images, the student 400: most of the gain is the teacher's larger data. A teacher that has
seen only the student's 400 images with the same wrong labels adds little. Before you credit the method, ask what the teacher
knew that the student did not.
"""

LESSON = Lesson(
    title="Label noise",
    group="When and why",
    place=4,
    question="40 % of all labels are wrong, also those that the teacher learned from. By how many points does the teacher help its "
    "student?",
    guess=Number(-10, 40, 1),
    arms={"40 % wrong labels": PRESETS["noisy-teacher"].experiment},
    judge=gain_of("40 % wrong labels"),
    text=TEXT,
    source='Kim et al. 2021, section "Robustness to Noisy Labels"',
    look={"The race with all settings": ("pages/race.py", {})},
)
