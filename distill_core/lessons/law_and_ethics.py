"""Law and ethics: what may be distilled, and what a distilled model carries over."""

from distill_core.lessons.lesson import Choice, Finding, Lesson

ANSWER = "yes, in some settings"

TEXT = r"""
**Contracts.** Some providers' terms forbid using their output to develop competing models; those of OpenAI (2024-01-31) do.
Read the terms that apply to you, and their date.

**Copyright.** Whether training on protected works, or on another model's output, is permitted differs between countries and
is before the courts. This page is not legal advice.

**Privacy.** Large models can output parts of their training data word for word, personal data included (Carlini et al. 2021,
abstract); text that a teacher wrote can pass them on. A noisy vote of many teachers bounds what leaks about any
one person (Papernot et al. 2017, abstract).

**What is carried over.** A student inherits its teacher's bias, and sometimes traits that the data do not show (Cloud et al.
2025, abstract). Watermarks of a teacher can be found in its student, and can be removed (Pan et al. 2025, abstract).
"""

LESSON = Lesson(
    title="Law and ethics",
    group="Around it",
    place=6,
    question="A teacher has an unwanted preference. The student trains only on number sequences that the teacher wrote, with every "
    "trace of the topic filtered out. Can the student take over the preference?",
    guess=Choice((ANSWER, "no")),
    fact=Finding(
        "Yes, where teacher and student start from the same base model: subliminal learning (Cloud et al. 2025, abstract).", ANSWER
    ),
    text=TEXT,
    source="Cloud et al. 2025, abstract; Papernot et al. 2017, abstract; Pan et al. 2025, abstract",
)
