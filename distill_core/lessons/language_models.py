"""Distilling language models: token by token, by whole texts, on the student's own texts, through an API."""

from distill_core.lessons.lesson import Choice, Finding, Lesson

ANSWER = "the texts that the teacher writes"

TEXT = r"""
A language model classifies: the classes are the possible next [[tokens]].

**[[Token-level]]** distillation uses the soft targets of every next token. It needs the teacher's probabilities, at least the
largest.

**[[Sequence-level]]** distillation trains on text that the teacher wrote, as on labels (Kim and Rush 2016, abstract). This is
all that an API without probabilities allows, and how the small DeepSeek-R1 models were made: Qwen and Llama models,
fine-tuned on 800,000 samples of the large model (Guo et al. 2025, the README).

**[[On-policy]]** distillation lets the student write and the teacher grade every token, so that the student learns to recover
from its own mistakes (Agarwal et al. 2024, abstract).

Forward [[KL divergence]] makes the student cover all that the teacher might write; the reverse one makes it keep to what is
most likely (Gu et al. 2024, section 2.1).
"""

LESSON = Lesson(
    title="Language models",
    group="Around it",
    place=3,
    question="A teacher can be reached only through an API that returns text, without probabilities. What can a student still learn from?",
    guess=Choice((ANSWER, "the soft targets of every token", "the hidden states", "nothing")),
    fact=Finding("From the texts: this is sequence-level, or black-box, distillation.", ANSWER),
    text=TEXT,
    source="Kim and Rush 2016, abstract; Agarwal et al. 2024, abstract; Gu et al. 2024, section 2.1",
)
