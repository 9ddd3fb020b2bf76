"""Dark knowledge: which part of the soft targets teaches?"""

from distill_core.lessons.lesson import Choice, Lesson, arms, best
from distill_core.studies.presets import PRESETS

SOFT, PERMUTED, EQUAL = "all soft targets", "wrong classes in random order", "wrong classes made equal"

TEXT = r"""
A teacher that classifies an image correctly still gives different probabilities to the wrong classes. Which of them are
larger is called [[dark knowledge]]: it is invisible in the label and in the accuracy.

To see what it is worth, destroy it and keep the rest. With the wrong classes in random order, a target still states how
confident the teacher is of this image, but not which classes are alike. With equal wrong classes it does the same without
noise. The part of the gain that survives is due to the confidence, which weights the examples; the part that is lost was
knowledge of similarity.

In born-again networks part of the gain survives the permutation (Furlanello et al. 2018, section 3.2). How much it is depends
on the data: look at the intervals before you believe a difference.
"""

LESSON = Lesson(
    title="Dark knowledge",
    group="Concepts",
    place=4,
    question="One student gets the soft targets as they are. For another, the probabilities of the wrong classes are put into random "
    "order; for a third, they are made equal. Which of the three students gains most?",
    guess=Choice((SOFT, PERMUTED, EQUAL)),
    arms=arms(
        PRESETS["first-race"].experiment,
        **{SOFT: {}, PERMUTED: {"method": "permuted-classes"}, EQUAL: {"method": "uniform-classes"}},
    ),
    judge=best(),
    text=TEXT,
    why_not="with ten seeds the interval of the difference is nearly as wide as the difference",
    source="Furlanello et al. 2018, section 3.2",
    look={"Which classes does the teacher find similar?": ("pages/dark_knowledge.py", {})},
)
