"""Response, feature, relation: what of the teacher is compared."""

from distill_core.experiment import Experiment
from distill_core.lessons.lesson import Choice, Lesson, arms, best

RESPONSE, FEATURE, RELATION = "response: soft targets", "feature: hints", "relation: similarities"

TEXT = r"""
**[[Response-based]]** methods compare the outputs: soft targets, logits, and refinements such as DKD and DIST. They need
nothing of the teacher but its outputs, and the same classes.

**[[Feature-based]]** methods compare hidden layers. Where the widths differ, a small trained layer maps one to the other, as
in FitNets' [[hints]] (Romero et al. 2015, section 2.2). They need access to the inside of the teacher, and a choice of
layers.

**[[Relation-based]]** methods compare how the images of a batch relate to each other: distances, angles, similarities (Tung
and Mori 2019, abstract). The widths may differ freely.

Feature and relation losses are added to the labels or to soft targets; alone they leave the last layer untrained. Published
comparisons rank the methods differently. Tuned equally on small networks, their differences are mostly small: see the page
Methods.
"""

LESSON = Lesson(
    title="Response, feature, relation",
    group="Concepts",
    place=10,
    question="Three students learn from the same teacher: from its outputs, from its hidden layers, or from the similarities of its "
    "features for the images of a batch. Which gains most?",
    guess=Choice((RESPONSE, FEATURE, RELATION)),
    arms=arms(
        Experiment(images=200, epochs=25, batch_size=16), **{RESPONSE: {}, FEATURE: {"method": "hints"}, RELATION: {"method": "similarity"}}
    ),
    judge=best(),
    why_not="on small networks the methods differ by little, and one of 359 test images is 0.28 points",
    text=TEXT,
    source="Romero et al. 2015, section 2.2; Tung and Mori 2019, abstract",
    look={"All methods compared": ("pages/methods.py", {})},
)
