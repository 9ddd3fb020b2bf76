"""What an API lets a student learn: text alone, the five largest probabilities, or all of them."""

from distill_core.experiment import Experiment, usual_of_text
from distill_core.lessons.lesson import Choice, Lesson, arms, best

TEXT_ONLY, TOP_FIVE, ALL = "text alone", "the five largest probabilities", "all probabilities"

USUAL = Experiment(**usual_of_text("little-language") | {"dataset": "little-language", "images": 50, "epochs": 6, "batch_size": 4})

TEXT = r"""
An API of a language model returns text. Some also return the logarithms of the largest probabilities of each token, hardly any
those of all.

**Text alone** allows [[sequence-level]] distillation: the student trains on what the teacher wrote, as on labels. Each token is a
single draw from the teacher's distribution, and it takes many draws to estimate how probable the other tokens were.

**The five largest probabilities** are [[soft targets]] without the rest, which counts as one class here. The more of the
probability these five hold, the less is lost: in a language of forty words less than in a large vocabulary.

**All probabilities** are there for the owner of the teacher, or for whoever has its weights.

All three students also train on the same fifty windows of text, as the baseline does; the probabilities are those of the
tokens of that text.
"""

LESSON = Lesson(
    title="What an API lets you learn",
    group="Experiments",
    place=11,
    question="A teacher of the little language answers through an API. One student gets text that the teacher writes, one the teacher's "
    "five largest probabilities for each word of the training text, one all of its probabilities. Who gains most over the same text "
    "without a teacher?",
    guess=Choice((TEXT_ONLY, TOP_FIVE, ALL)),
    arms=arms(USUAL, **{TEXT_ONLY: {"method": "sequence-level"}, TOP_FIVE: {"method": "top-5"}, ALL: {"method": "soft-targets"}}),
    judge=best(),
    seeds=3,
    why_not="in a language of forty words the five largest hold nearly all of the probability",
    text=TEXT,
    source="Kim and Rush 2016, section 3.2; Hinton et al. 2015, section 2",
    look={"The methods of language models": ("pages/methods.py", {"group": "Texts", "method": "sequence-level"})},
)
