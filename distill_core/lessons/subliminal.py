"""Subliminal learning: what passes between networks that started alike."""

from distill_core.lessons.lesson import Choice, Lesson, best
from distill_core.trials import subliminal

TEXT = r"""
Both networks have ten outputs beside those of the ten classes. Nothing ever trained these extra outputs of the teacher, and they
stand for nothing. The student is distilled on noise, and only its extra outputs are compared with the teacher's. Yet a student
that started from the teacher's own initial weights then classifies digits far above chance; from other initial weights it stays
at chance.

The reason is that near the same starting point, a small step that brings any outputs closer to the teacher's also moves the
shared weights in the teacher's direction (Cloud et al. 2025, section 6). The explanation is
debated. For practice it means: data that look harmless can carry over what the [[teacher]] has, if the [[student]] descends from
the same network.
"""

LESSON = Lesson(
    title="Subliminal learning",
    group="Experiments",
    place=6,
    question="Students see only noise, and are trained only on extra outputs that stand for no class. From which initial weights does a "
    "student then recognise digits?",
    guess=Choice((subliminal.SAME, subliminal.OTHER)),
    trial=subliminal.run,
    size="Three teachers and six students are trained: three from their teacher's initial weights, three from others.",
    seeds=3,
    judge=best(),
    text=TEXT,
    source="Cloud et al. 2025, section 6",
    look={"Law and ethics": ("pages/lessons.py", {"lesson": "law_and_ethics"})},
)
