"""Teacher and student: how small can the student be?"""

from distill_core.lessons.lesson import Choice, Lesson, arms, best
from distill_core.studies.presets import PRESETS

STUDENTS = {"linear": "linear", "10 units": "mlp-10x1", "2 x 30 units": "mlp-30x2", "2 x 300 units": "mlp-300x2"}

TEXT = r"""
The [[teacher]] is trained first and stays fixed. It may be anything that outputs class probabilities: a wide network, an
[[ensemble]], a network of another family. The [[student]] is what will be used: its size is set by the memory, time or energy
that are available. Beside it the lab always trains a [[baseline]]: the same architecture, the same initial weights and the
same batches, with labels only. Without the baseline nobody can tell whether a good student owes its accuracy to the teacher.

A student that is far too small cannot use what it is given ([[capacity gap]]); a student that is as large as the teacher has
less to gain. In between, the gain depends on how much the labels alone already teach. A student that equals its teacher is
not the rule, and not the aim: the aim is the best accuracy at a given cost.
"""

LESSON = Lesson(
    title="Teacher and student",
    group="Concepts",
    place=2,
    question="The teacher has 2.4 million parameters. Four students of different sizes learn from it, each beside a baseline of its "
    "own size. Which student gains most from the teacher?",
    guess=Choice(tuple(STUDENTS)),
    arms=arms(PRESETS["first-race"].experiment, **{label: {"student": name} for label, name in STUDENTS.items()}),
    judge=best(),
    why_not="students of 30 and of 300 units both have room above their baselines, and one of 359 test images is 0.28 points",
    text=TEXT,
    source="Hinton et al. 2015, section 1; Cho and Hariharan 2019, abstract",
    seeds=3,
    look={"Race with other sizes": ("pages/race.py", {})},
)
