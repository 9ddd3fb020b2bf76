"""The factor T squared: what happens without it."""

from distill_core.lessons.lesson import Choice, Lesson, arms, best
from distill_core.studies.presets import PRESETS

WITH, WITHOUT = "with T\u00b2", "without T\u00b2"

TEXT = r"""
Dividing the logits by $T$ makes the gradient of the divergence smaller: one factor $1 / T$ comes from the chain rule, another
because softer distributions lie closer together. The [[soft loss]] is therefore multiplied by $T^2$, and its gradient keeps
its size when $T$ changes.

Without the factor, the [[hard loss]] takes over as $T$ grows: at $T = 10$ the teacher counts a hundred times less than alpha
states. The student is then hardly a distilled one, and a sweep over $T$ measures the weight of the teacher instead of the
softness of its targets. Many public implementations leave the factor out. [[Adam]] hides the mistake when alpha is 0, because
it rescales every gradient; with labels in the mixture it cannot.
"""

LESSON = Lesson(
    title="The factor T\u00b2",
    group="Concepts",
    place=7,
    question="At T = 10 one student trains with the factor T² of the soft loss, another without it. Which gains more over its baseline?",
    guess=Choice((WITH, WITHOUT)),
    arms=arms(
        PRESETS["first-race"].experiment,
        **{WITH: {"temperature": 10.0, "alpha": 0.5}, WITHOUT: {"temperature": 10.0, "alpha": 0.5, "method": "soft-targets-without-t2"}},
    ),
    judge=best(),
    why_not="at alpha = 0.5 Adam hides a part of the missing factor; ten seeds are too few for the rest",
    text=TEXT,
    source="Hinton et al. 2015, section 2",
    look={"The size of the gradient, with and without T\u00b2": ("pages/soft_targets.py", {})},
)
