"""Ensemble: two teachers or one?"""

from distill_core.lessons.lesson import Choice, Lesson, arms, best
from distill_core.studies.presets import PRESETS

PERCEPTRON, CONVOLUTIONS, BOTH = "the perceptron mlp-1200x2", "the convolutions of cnn-32", "the mean of both"

TEXT = r"""
The mean of several networks' probabilities makes fewer mistakes than each of them, because they err on different images. An
[[ensemble]] is expensive to use: each prediction costs as much as all its members together. Distillation keeps most of the
accuracy at the cost of one network. On speech, ten networks recognised 61.1 % of the frames, one 58.9 %, and one that was
distilled from the ten 60.8 %, more than 80 % of the gain (Hinton et al. 2015, section 4).

Two teachers help only if they differ and are both good. Here one is a perceptron and one has convolutions, so that they
differ; with 359 test images and teachers that are nearly perfect, the second one can add little. Look at the interval before
you believe in a winner.
"""

LESSON = Lesson(
    title="Two teachers or one",
    group="Experiments",
    place=2,
    question="A student learns from mlp-1200x2, a large perceptron, from cnn-32, a convolutional network, or from the mean of both. Which "
    "teaches best?",
    guess=Choice((PERCEPTRON, CONVOLUTIONS, BOTH)),
    arms=arms(
        PRESETS["first-race"].experiment,
        **{PERCEPTRON: {"teacher": "mlp-1200x2"}, CONVOLUTIONS: {"teacher": "cnn-32"}, BOTH: {"teacher": "mlp-1200x2+cnn-32"}},
    ),
    judge=best(),
    why_not="both teachers are nearly perfect on the digits, so that their mean adds little",
    text=TEXT,
    source="Hinton et al. 2015, section 4",
    look={"Methods: ensembles and chains": ("pages/methods.py", {"group": "Ensembles and chains"})},
)
