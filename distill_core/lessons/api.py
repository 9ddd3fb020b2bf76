"""What an API lets a student learn: text alone, the five largest probabilities, or all of them."""

from distill_core.experiment import Experiment, usual_of_text
from distill_core.lessons.lesson import Choice, Lesson, arms, best

TEXT_ONLY, TOP_FIVE, ALL = "text alone", "text with the five largest probabilities", "all probabilities"

USUAL = Experiment(**{"dataset": "little-language", **usual_of_text("little-language"), "student": "gpt-32x1", "images": 100, "epochs": 40})

TEXT = r"""
An API of a language model returns text. Some return the logarithms of the largest probabilities too; none returns all of them.

**Text alone** is [[sequence-level]] distillation: the student trains on what the teacher wrote, as on labels. Each token is one
draw from the teacher's distribution, so that many are needed to learn how likely the others were.

**The largest probabilities** are [[soft targets]] of which the rest is missing: it counts as one class. In a language of forty words
the five largest hold most of the probability, and little is lost. In a large vocabulary the tail counts for more.

**All probabilities** are what the teacher's owner has, or whoever has its weights.

All three students have the same hundred windows of text of their own, and so has the baseline.
"""

LESSON = Lesson(
    title="What an API lets you learn",
    group="Experiments",
    place=11,
    question="A teacher of the little language answers through an API. Three students get its text, its text with the five largest "
    "probabilities of each word, or all probabilities. Which gains most over the same text without a teacher?",
    guess=Choice((TEXT_ONLY, TOP_FIVE, ALL)),
    arms=arms(USUAL, **{TEXT_ONLY: {"method": "sequence-level"}, TOP_FIVE: {"method": "top-5"}, ALL: {"method": "soft-targets"}}),
    judge=best(),
    text=TEXT,
    source="Kim and Rush 2016, section 3.2; Hinton et al. 2015, section 2",
)
