"""Why it works: three explanations, and what speaks for each."""

from dataclasses import replace

from distill_core.lessons.lesson import Choice, Lesson, arms, best
from distill_core.studies.presets import PRESETS

SOFT, SHUFFLED, SMOOTH = "soft targets", "soft targets of other images", "smoothed labels"

TEXT = r"""
**Similarity between classes.** Soft targets state which wrong classes an image resembles. For it: a student that never saw a
3 still recognises most of them (Hinton et al. 2015, section 3).

**Regularisation.** Soft targets keep the student from becoming over-confident, as [[label smoothing]] does. For it: part of
the gain remains without a good teacher, or without a teacher. Against it: a teacher trained with label smoothing is a poorer
one (Müller et al. 2019, section 4).

**Weighted examples.** Where the teacher is sure, the target is nearly the label; where it is not, the example counts less.
For it: a gain survives the [[permuted classes]] (Furlanello et al. 2018, section 3.2).

The explanations do not exclude each other, and their shares differ between data sets. Each has a control that removes it;
targets of other images remove all three.
"""

LESSON = Lesson(
    title="Why does it work?",
    group="When and why",
    place=1,
    question="One student gets soft targets that belong to other images of the batch. Another gets smoothed labels. A third gets the "
    "right soft targets. Which of the three gains least, or loses most?",
    guess=Choice((SOFT, SHUFFLED, SMOOTH)),
    arms=arms(
        replace(PRESETS["first-race"].experiment, epochs=40),
        **{SOFT: {}, SHUFFLED: {"method": "shuffled-targets"}, SMOOTH: {"method": "label-smoothing"}},
    ),
    judge=best(worst=True),
    text=TEXT,
    source="Hinton et al. 2015, section 3; M\u00fcller et al. 2019, section 4; Furlanello et al. 2018, section 3.2",
    look={"Control experiments": ("pages/methods.py", {"group": "Controls"})},
)
