"""Self-distillation: a teacher of the student's own size."""

from distill_core.experiment import Experiment
from distill_core.lessons.lesson import Lesson, Number, gain_of

ARM = "a teacher of the student's own size"

TEXT = r"""
In [[self-distillation]] the teacher has the student's own architecture and has seen the same images. It knows nothing that the
student could not find out. Still its [[soft targets]] differ from labels: where the teacher is unsure, they are soft, and a
label that most similar images contradict gets little probability. So self-distillation acts like [[label smoothing]] that knows
which image is doubtful.

Furlanello et al. report that such students outperform their teachers on CIFAR-100, generation after generation (Furlanello et
al. 2018, abstract and section 3.1). The networks there are far larger. Here 40 % of the labels are wrong, so that there is
something to repair, and still the ten seeds measured below cannot tell a gain from none: with 400 images the first network is
wrong too often. The page Experiments from papers has three generations on 5,000 images.
"""

LESSON = Lesson(
    title="A teacher of the student's size",
    group="Experiments",
    place=4,
    question="40 % of the labels are wrong. A network of 30 units learns from them, and then teaches a new one of the same size. How many "
    "points does the second gain?",
    guess=Number(-10, 20, 0.5),
    arms={ARM: Experiment(images=400, label_noise=0.4, teacher="self", student="mlp-30x2", temperature=4.0, alpha=0.1, epochs=60)},
    judge=gain_of(ARM),
    why_not="with 400 images and 40 % wrong labels the first network is wrong too often to teach",
    text=TEXT,
    source="Furlanello et al. 2018, abstract and section 3.1",
    look={"Three generations, measured": ("pages/experiments_from_papers.py", {"study": "generations"})},
)
