"""Federated distillation: exchange outputs, not weights."""

from distill_core.lessons.lesson import Lesson, Number, gain_of
from distill_core.trials import federated

TEXT = r"""
Five clients keep their images to themselves, and each has images of four of the ten classes only. Alone, a client can never
recognise the other six. So all of them output [[logits]] for 400 public images without labels, and each learns the mean of these
logits: distillation in which everybody is [[teacher]] and [[student]] (Li and Wang 2019, abstract).

The usual federated learning exchanges weights. Logits have two advantages: the clients' networks may differ, and the amount
depends on the public images, not on the network. For a network as small as this one it is no saving: five rounds of
logits are 80 kB, of weights 64 kB. For a network of a million weights it would be 80 kB against 20 MB. Logits still reveal
something of the private images; with noise the guarantee of the lesson before can be added.
"""

LESSON = Lesson(
    title="Federated distillation",
    group="Experiments",
    place=8,
    question="Five clients with images of four classes each exchange logits on public images. How many points does a client gain "
    "on average?",
    guess=Number(0, 80, 1),
    trial=federated.run,
    size="For each of four seeds five clients that exchange logits are trained, and five that do not.",
    judge=gain_of(federated.ARM, student="On average a client is", baseline="one that exchanges nothing"),
    seeds=4,  # within ten seconds on two cores
    text=TEXT,
    source="Li and Wang 2019, abstract",
    look={"Methods: online": ("pages/methods.py", {"group": "Online"})},
)
