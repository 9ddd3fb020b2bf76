"""The four steps: train the teacher, compute its soft targets, train the student, tune."""

from distill_core.lessons.lesson import Lesson, Number, arms, gain_of
from distill_core.studies.presets import PRESETS

TEXT = r"""
1. **Train the teacher** as well as you can, on all the data that you have. Label smoothing improves it but makes it a poorer
   [[teacher]] (Müller et al. 2019, section 4).
2. **Compute its soft targets:** one forward pass over the [[transfer set]]. Store the [[logits]] by the index of the image, so
   that no target can belong to another image.
3. **Train the student** on the mixture of [[hard loss]] and [[soft loss]], and a [[baseline]] on labels alone in exactly the
   same way.
4. **Tune T and alpha** on validation images; report on test images, over several seeds, with an [[interval]].

Most mistakes are made in step 2 (soft targets of other images, a teacher left in training mode) and in step 4 (choosing on the
test set, a single seed, a baseline that was not tuned).
"""

LESSON = Lesson(
    title="The four steps of distillation",
    group="Concepts",
    place=8,
    question="Train a teacher, compute its soft targets, train a student, tune T and alpha. Here the teacher is trained already, and the "
    "student has 100 labelled digits, T = 4 and alpha = 0.1. How many points does it gain?",
    guess=Number(-5, 15, 0.5),
    arms=arms(PRESETS["first-race"].experiment, **{"T = 4, alpha = 0.1": {"images": 100}}),
    judge=gain_of("T = 4, alpha = 0.1"),
    text=TEXT,
    source="Hinton et al. 2015, section 2; M\u00fcller et al. 2019, section 4",
    look={"Choose T and alpha yourself": ("pages/sweep.py", {}), "Ask the advisor": ("pages/advisor.py", {})},
)
