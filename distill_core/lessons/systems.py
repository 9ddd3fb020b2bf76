"""Systems that people have heard of, with figures that are right."""

from distill_core.lessons.lesson import Choice, Finding, Lesson

ANSWER = "40 % fewer"

TEXT = r"""
**DistilBERT:** 40 % smaller, 97 % of the performance, 60 % faster (Sanh et al. 2019, abstract). Every second layer of the
teacher, trained with soft targets, labels and the cosine of hidden states (sections 2 and 3).

**TinyBERT:** 7.5 times smaller, 9.4 times faster, more than 96.8 % of BERT-base's performance (Jiao et al. 2020, abstract).

**Distil-Whisper:** the teacher's encoder and two of its decoder layers; 49 % smaller, about 6 times faster, within 1 % word
error rate on other data (Gandhi et al. 2023, the README).

**TinyLlama** is often listed as distilled. It is not: it was trained from scratch, on about 1 trillion tokens for some 3
epochs (Zhang et al. 2024, abstract). **Whisper tiny** is likewise a small model, not a distilled one.

**GPT-4o mini:** OpenAI has not published how it was made. That it is distilled is an assumption.
"""

LESSON = Lesson(
    title="Systems people have heard of",
    group="Around it",
    place=1,
    question="DistilBERT is the best-known distilled language model. How many parameters does it have, compared with its teacher "
    "BERT-base?",
    guess=Choice(("20 % fewer", ANSWER, "60 % fewer", "90 % fewer")),
    fact=Finding(
        "The paper states 40 % fewer parameters, 97 % of BERT's language understanding, and 60 % more speed. Some texts write "
        '"60 % smaller": they confuse the size with the speed.',
        ANSWER,
    ),
    text=TEXT,
    source="Sanh et al. 2019, abstract and sections 2 and 3; Jiao et al. 2020, abstract; Gandhi et al. 2023, the README",
)
