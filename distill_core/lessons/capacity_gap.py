"""Capacity gap: the largest teacher for the smallest student?"""

from dataclasses import replace

from distill_core.lessons.lesson import Choice, Lesson, arms, best
from distill_core.studies.presets import PRESETS

VALUES = {f"a teacher of {width:,} units": {"teacher": f"mlp-{width}x2"} for width in (30, 300, 1200)}

TEXT = r"""
A larger teacher is more accurate, but its student need not be. Where student and teacher are too far apart, the student
cannot fit what the teacher outputs: the [[capacity gap]]. Cho and Hariharan found that larger models do not often make better
teachers, and that stopping the teacher's training early helps (Cho and Hariharan 2019, abstract). Mirzadeh et al. put a
[[teaching assistant]] of middle size between them (Mirzadeh et al. 2020, abstract): on CIFAR-100 a small student had 61.37 %
alone, 61.41 % with its teacher and 61.82 % with an assistant (issue 7 of the authors' repository).

These effects are small even there. On the digits all three teachers are nearly perfect, so a gap would have to show against
chance: read the interval, and see the page Experiments from papers for MNIST.
"""

LESSON = Lesson(
    title="The capacity gap",
    group="Experiments",
    place=3,
    question="A student of ten units a layer learns from a teacher of 30, 300 or 1,200 units. Under which teacher does it gain most?",
    guess=Choice(tuple(VALUES)),
    arms=arms(replace(PRESETS["first-race"].experiment, student="mlp-10x2"), **VALUES),
    judge=best(),
    why_not="on the digits all three teachers are nearly perfect",
    text=TEXT,
    source="Cho and Hariharan 2019, abstract; Mirzadeh et al. 2020, abstract; issue 7 of "
    "imirzadeh/Teacher-Assistant-Knowledge-Distillation",
    look={"Teachers of growing size on MNIST": ("pages/experiments_from_papers.py", {"study": "capacity-gap"})},
)
