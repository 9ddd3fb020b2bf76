"""Images with text, speech, and models for a single task."""

from distill_core.lessons.lesson import Choice, Finding, Lesson

ANSWER = "similarities between images and texts"

TEXT = r"""
**Encoders of images and text.** TinyCLIP's student imitates the similarities of images and texts in a batch, and starts from
some of the teacher's weights: half the size of CLIP ViT-B/32 with comparable zero-shot accuracy (Wu et al. 2023, abstract).
It is the [[relation-based]] idea of this lab.

**Speech.** Hinton et al. distilled ten acoustic models into one: 61.1 % frame accuracy of the [[ensemble]], 60.8 % of the
student, 58.9 % of a single model with labels (Hinton et al. 2015, section 4). Distil-Whisper's students learn from Whisper's
transcripts and its soft targets (Gandhi et al. 2023, the README).

**One task.** A general model is distilled for a single task, such as the sentiment of reviews: the [[transfer set]] contains
only what the task needs. TinyBERT does both, first in general, then for the task (Jiao et al. 2020, abstract).
"""

LESSON = Lesson(
    title="Images with text, and speech",
    group="Around it",
    place=4,
    question="CLIP has no classes: it gives images and texts vectors that lie close together where they match. What can its student "
    "imitate in place of class probabilities?",
    guess=Choice((ANSWER, "file names", "class labels")),
    fact=Finding("The similarities of every image with every text of a batch: a softmax over them is a soft target.", ANSWER),
    text=TEXT,
    source="Wu et al. 2023, abstract; Hinton et al. 2015, section 4",
)
