"""Offline, online and self-distillation."""

from dataclasses import replace

from distill_core.lessons.lesson import Choice, Lesson, arms, best
from distill_core.studies.presets import PRESETS

OFFLINE, ONLINE = "offline: a trained teacher", "online: two students teach each other"

TEXT = r"""
**[[Offline distillation]]:** the teacher is trained first and then fixed. Simple, and its outputs are computed once.

**[[Online distillation]]:** there is no trained teacher. In [[mutual learning]] several students train at the same time, each
on the labels and on the others' outputs (Zhang et al. 2018, section 3).

**[[Self-distillation]]:** the teacher has the student's own architecture. In [[born-again networks]] a network teaches a new
one of its kind, generation after generation (Furlanello et al. 2018, section 3.1).

The three differ in what they need. A strong teacher brings knowledge from outside, such as from more images than the student
has. Peers and earlier selves have seen the same images; what they add is mainly softness. Papers report gains for both, on
larger networks than these.
"""

LESSON = Lesson(
    title="Offline, online, self",
    group="Concepts",
    place=9,
    question="One student learns from a trained teacher. Another has none: it and a second student train together and learn from each "
    "other. Which gains more?",
    guess=Choice((OFFLINE, ONLINE)),
    arms=arms(replace(PRESETS["first-race"].experiment, alpha=0.5), **{OFFLINE: {}, ONLINE: {"method": "mutual-2"}}),
    judge=best(),
    text=TEXT,
    source="Zhang et al. 2018, section 3; Furlanello et al. 2018, section 3.1",
    look={"Methods: online": ("pages/methods.py", {"group": "Online"})},
)
