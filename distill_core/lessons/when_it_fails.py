"""When it does not help: too little training."""

from distill_core.lessons.lesson import Lesson, Number, arms, gain_of
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

Each has a race or a sweep below. A negative result is a result: it shows which condition is missing.
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
    look={"Temperatures, one beside the other": ("pages/sweep.py", {"x": "temperature", "y": "alpha", "ys": "0.1"})},
    races={
        "Too few steps": PRESETS["impatient"].experiment,
        "A capacity gap": PRESETS["too-small"].experiment,
        "A poor teacher": PRESETS["overfit-teacher"].experiment,
        "Plenty of labels": PRESETS["plenty"].experiment,
        **arms(PRESETS["first-race"].experiment, **{"Too few examples": {"images": 20}, "Student, baseline and teacher compared": {}}),
    },
)
