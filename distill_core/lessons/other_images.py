"""Other images: what carries the knowledge?"""

from distill_core.lessons.lesson import Lesson, Number, gain_of
from distill_core.trials import transfer

TEXT = r"""
The student saw not one digit and not one label, only noise and the teacher's [[soft targets]] for it. That is enough for much of
the teacher's accuracy: the teacher's outputs for any image depend on the same weights that classify digits, and whoever fits
the outputs over many images has to come close to the function itself.

Not every image serves. Blends of two digits are nearly as good as the digits. Digits turned by 90 degrees look like digits and
are worse than noise: they cover a part of the space of images in which no upright digit lies. What counts for a
[[transfer set]] is not how natural it looks but whether it covers the place where the student will be used. Menghani and Ravi
distil on unlabelled images of other kinds in this way (Menghani and Ravi 2019, abstract).
"""

LESSON = Lesson(
    title="Nothing but noise",
    group="Experiments",
    place=5,
    question="A student gets only the teacher's soft targets for 1,438 images of noise. How many points above an untrained network does it "
    "reach on real digits?",
    guess=Number(0, 90, 1),
    trial=transfer.run,
    size="For each of five seeds four students are trained: on the digits, on blends of two, on turned digits, on noise.",
    judge=gain_of(transfer.NOISE, student="A student of noise is", baseline="the same network untrained"),
    text=TEXT,
    source="Menghani and Ravi 2019, abstract",
    look={"Unlabelled images in the race": ("pages/race.py", {})},
)
