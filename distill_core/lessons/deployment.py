"""Deployment at the edge and behind an API; validation and model risk."""

from distill_core.lessons.lesson import Choice, Finding, Lesson

ANSWER = "its errors on groups and rare cases"

TEXT = r"""
**At the edge** (phone, car, camera) memory, energy and latency decide, and data need not leave the device. **Behind an API**
the cost per request decides; batches help throughput, not latency. Measure both on the machine that will run the model:
median and 99th percentile.

A student is a **new model**, and must be validated as one: accuracy with an [[interval]], [[calibration]], [[agreement]] with
the teacher, robustness, and errors by group. Compression can keep the mean accuracy while errors grow on a few examples, mostly
with underrepresented features (Hooker et al. 2020, abstract; measured for pruning and quantisation).

Keep a record of which teacher, which data, which settings. Plan for change: a teacher behind an API may be replaced without
notice, and input drifts. Decide in advance which measured value sends you back to the teacher.
"""

LESSON = Lesson(
    title="Deployment and model risk",
    group="Around it",
    place=5,
    question="A student has nearly the accuracy of its teacher. What must still be checked before it replaces the teacher?",
    guess=Choice(("nothing: the accuracy is what counts", ANSWER, "only its speed")),
    fact=Finding("Its errors on groups and rare cases: equal mean accuracy can hide that errors have moved to a few.", ANSWER),
    text=TEXT,
    source="Hooker et al. 2020, abstract",
    look={"Is the confidence calibrated?": ("pages/calibration.py", {}), "Which student fits a budget?": ("pages/advisor.py", {})},
)
