"""Private learning: what does a guarantee cost?"""

from distill_core.lessons.lesson import Lesson, Number, gain_of
from distill_core.trials import private

TEXT = r"""
One hundred teachers each learned from 13 digits that no other teacher saw, and vote on the class of 100 public images. Noise is
added to the counts, and the student sees only the winners. Whatever one person's image was, it changed one vote at most, and
the noise hides one vote ([[differential privacy]]). How well, is a number: epsilon. Whoever sees all the student's labels can
become surer of one person's data by a factor of e to the epsilon at most. With noise of 20 votes epsilon is about 5 here, with
5 votes about 10 (delta 1/10,000).

With more teachers one vote counts less: 250 teachers on MNIST reached 98.00 % at epsilon 2.04 (Papernot et al. 2017, section 4.2).
Their student also learned from unlabelled images, and each teacher from far more than 13.
"""

LESSON = Lesson(
    title="Private learning",
    group="Experiments",
    place=7,
    question="A hundred teachers with private data vote, and random noise of about 20 votes is added to each count. How many points does "
    "the noise cost the student that learns from the winners?",
    guess=Number(-80, 0, 1),
    trial=private.run,
    size="For each of five seeds a hundred teachers and four students are trained.",
    judge=gain_of("noise of 20 votes", student="The student of noisy votes is", baseline="that of exact votes"),
    text=TEXT,
    source="Papernot et al. 2017, sections 3 and 4.2",
    look={"Law and ethics": ("pages/lessons.py", {"lesson": "law_and_ethics"})},
)
