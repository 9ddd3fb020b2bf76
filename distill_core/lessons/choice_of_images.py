"""Choice of images: few diverse ones or many similar ones?"""

from distill_core.lessons.lesson import Choice, Lesson, best
from distill_core.trials import choice_of_images as trial

TEXT = r"""
It is often said that a [[transfer set]] should be diverse: few examples that differ teach more than many that are alike. Here the
claim is put to the test. Fifty digits were chosen so that each lies as far as possible from all others; others lie nearest to
the mean of their class. Each student is compared with one of fifty digits drawn at random.

Fifty that differ and fifty that are alike come out about equal, and both a little above fifty at random. Four times as many
that are alike are clearly better. So in this set-up the number counts more than the choice. Digits far from all others are
also the oddest ones, which help little with usual digits. On data where most examples are near copies of one another, diversity
may well win: measure it on yours.
"""

LESSON = Lesson(
    title="Few diverse or many similar",
    group="Experiments",
    place=10,
    question="A student learns a teacher's soft targets on 50 images that differ as much as possible, on 50 that are alike, or on 200 that "
    "are alike. Which student is best?",
    guess=Choice((trial.DIVERSE, trial.FEW_ALIKE, trial.MANY_ALIKE)),
    trial=trial.run,
    size="For each of five seeds four students are trained, all with the same number of steps.",
    judge=best(),
    text=TEXT,
    source="Measured here; the choice of images by Gonzalez 1985 (section not checked), as lecture notes on clustering of New York "
    "University describe it",
    look={"Accuracy against the number of images": ("pages/sweep.py", {"x": "images"})},
)
