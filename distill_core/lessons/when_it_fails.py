"""When it does not help: too little training."""

from distill_core.lessons.lesson import Lesson, Number, gain_of
from distill_core.studies.presets import PRESETS

TEXT = r"""
Distillation has conditions. It gains little or hurts with

- **too few steps:** soft targets ask for patience (Beyer et al. 2022, figures 1 and 4);
- **a [[capacity gap]]:** the student is far too small for what the teacher outputs (Cho and Hariharan 2019, abstract);
- **a poor teacher:** its mistakes are learned too;
- **plenty of labels:** there is little left to add;
- **too few examples in the [[transfer set]]:** the outputs for a handful of images describe little of the teacher;
- **a [[temperature]] that was not tuned;**
- **wrong expectations:** the student is compared with its teacher instead of with its [[baseline]].

The first four have a preset on the page Race, with what was measured; the page Sweep shows what a temperature changes. A negative
result is a result: it shows which condition is missing.
"""

LESSON = Lesson(
    title="When it does not help",
    group="When and why",
    place=2,
    question="200 images, T = 10, but only ten epochs. By how many points is the student above its baseline, or below it?",
    guess=Number(-20, 10, 0.5),
    arms={"Ten epochs at T = 10": PRESETS["impatient"].experiment},
    judge=gain_of("Ten epochs at T = 10"),
    text=TEXT,
    source="Beyer et al. 2022, figures 1 and 4; Cho and Hariharan 2019, abstract",
    look={"Presets, some of which hurt": ("pages/race.py", {})},
)
