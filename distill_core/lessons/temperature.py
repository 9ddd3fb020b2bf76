"""Temperature: how soft should the targets be?"""

from distill_core.lessons.lesson import Choice, Lesson, arms, best
from distill_core.studies.presets import PRESETS

VALUES = {f"T = {value:g}": {"temperature": value} for value in (1.0, 4.0, 20.0)}

TEXT = r"""
Before the softmax, teacher and student divide their [[logits]] by the [[temperature]] $T$. At $T = 1$ a good teacher puts
almost all probability on one class, and the wrong classes hardly count. A higher $T$ makes the targets softer: the ratios
between wrong classes grow towards 1, and small probabilities become large enough to matter in the loss. For very large $T$
all classes are nearly equal, and the loss tends to [[matching logits]].

There is no best temperature for all cases. Small students do better with a moderate one: with 30 units a layer, Hinton et al.
found $T$ between 2.5 and 4 clearly best (Hinton et al. 2015, section 3). Choose $T$ on validation images, and use $T = 1$
when the student is used.
"""

LESSON = Lesson(
    title="Temperature",
    group="Concepts",
    place=5,
    question="The same race at three temperatures. At which one does the teacher add most?",
    guess=Choice(tuple(VALUES)),
    arms=arms(PRESETS["first-race"].experiment, **VALUES),
    judge=best(),
    text=TEXT,
    why_not="on the digits all three temperatures teach well, and T = 20 is only a little better than T = 4",
    source="Hinton et al. 2015, sections 2 and 3",
    look={
        "One image at every temperature": ("pages/soft_targets.py", {}),
        "Sweep over temperature and alpha": ("pages/sweep.py", {}),
    },
)
