"""What distillation is, for three kinds of readers."""

from distill_core.lessons.lesson import LEVELS, Lesson, Number, gain_of
from distill_core.studies.presets import PRESETS

FOR_A_CHILD = r"""
Imagine that you learn to tell birds apart from a book that gives you only the name of each bird. Now imagine an expert beside
you, who adds: *this is a crow, but it looks a lot like a raven, and not at all like a duck*. You learn faster, because every
picture teaches you something about several birds at once.

A computer program that recognises pictures can be huge and slow. We let this huge program, the [[teacher]], look at pictures
and write down what each picture looks like. Then a small program, the [[student]], learns from these notes. It seldom becomes
quite as good as the teacher, but it fits into a phone, and it is better than if it had learned from the names alone.
"""

FOR_A_PRACTITIONER = r"""
[[Knowledge distillation]] trains a small network, the [[student]], on the outputs of a large one, the [[teacher]]. The
teacher is trained as usual. Its [[logits]] are divided by a [[temperature]] and give [[soft targets]]: probabilities of all
classes, in which the wrong classes are visible. The student minimises a mixture of the [[hard loss]] (cross-entropy with the
labels) and the [[soft loss]] (divergence from the soft targets).

The result is a network with the student's cost and an accuracy between that of a student with labels only and that of the
teacher. The gain is large with few labels, and small or none with many. The method needs the teacher's outputs, not its
weights: the two networks may differ in everything but their classes.
"""

FOR_AN_EXPERT = r"""
The student minimises $\alpha L_\mathrm{hard} + (1 - \alpha) L_\mathrm{soft}$ with $L_\mathrm{soft} = T^2\, \mathrm{KL}(p^T_t
\| p^T_s)$ at temperature $T$. For large $T$ and zero-mean logits the gradient of the soft loss tends to $(z_s - z_t) / C$:
[[matching logits]] is the limit (Hinton et al. 2015, section 2.1). For small $T$, logits far below the mean are ignored;
these are almost unconstrained by the teacher's own training and may be noise.

What carries the gain is disputed: similarity between classes, a label smoothing that fits each example, or a weight for each
example. Controls separate these: permute the wrong classes' probabilities, or make them equal. Fidelity is a separate
question: students often stay far from their teacher although they could match it (Stanton et al. 2021, abstract).
"""

LESSON = Lesson(
    title="What is knowledge distillation?",
    group="Concepts",
    place=1,
    question="A small network, the baseline, trains on 200 digits. The student, a network of the same size, trains on the same 200 digits "
    "and also gets a teacher's probabilities. By how many points of test accuracy is the student better?",
    guess=Number(-5, 15, 0.5),
    arms={"With a teacher": PRESETS["first-race"].experiment},
    judge=gain_of("With a teacher"),
    text={
        LEVELS[0]: FOR_A_CHILD,
        LEVELS[1]: FOR_A_PRACTITIONER,
        LEVELS[2]: FOR_AN_EXPERT,
    },
    source="Hinton et al. 2015, section 2",
    look={"Soft targets of single images": ("pages/soft_targets.py", {})},
)
