"""Robustness: is the lead still there on changed images?"""

from distill_core.lessons.lesson import Choice, Lesson, best
from distill_core.studies.ladder import CHANGES
from distill_core.trials import robust

TEXT = r"""
Test images that resemble the training images are the easiest test. In use, images are noisy, out of focus, off-centre or pale,
and accuracy falls, for the [[student]] as for its [[baseline]] (Hendrycks and Dietterich 2019, abstract, measure this on
ImageNet). Does distillation help there too? Here its lead is largest on blurred images: [[soft targets]] fit a smoother
function, which depends less on single pixels.

It does not make a network robust to what neither network has seen: shifted by two of eight pixels, a digit is recognised by
neither, and the lead is gone. A [[teacher]] passes on its weaknesses too. Whoever needs robustness trains with such changes,
and lets the teacher see the same changed image (on the page Race: Augmentation).
"""

LESSON = Lesson(
    title="Robustness",
    group="Experiments",
    place=9,
    question="A distilled student and its baseline are tested on changed images. On which images is the student's lead largest?",
    guess=Choice((robust.CLEAN, *CHANGES)),
    trial=robust.run,
    size="Five students and their baselines are trained, and each is tested on five kinds of images.",
    judge=best(),
    text=TEXT,
    source="Hendrycks and Dietterich 2019, abstract",
    look={"The ladder of a network": ("pages/compress.py", {})},
)
