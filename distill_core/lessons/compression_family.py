"""Distillation beside quantisation, pruning, low rank, transfer learning and architecture search."""

from distill_core.lessons.lesson import Choice, Finding, Lesson

ANSWER = "distillation"

TEXT = r"""
**[[Quantisation]]** stores weights with fewer bits: 8 instead of 32 make a network four times smaller, mostly at little cost.
**[[Pruning]]** removes weights, or whole neurons, which alone makes it faster on ordinary hardware. **[[Low rank]]** replaces
a weight matrix by the product of two thin ones. **[[Transfer learning]]** starts from trained weights and adapts them to a
new task; its aim is fewer labels, not a smaller model. **Architecture search** looks for the shape of the network;
distillation then trains it.

They combine well. Distil first, then prune and quantise; and let the teacher repair what these steps cost, with a few epochs
on its soft targets. In one study a student that was also pruned had 13 times fewer parameters than its teacher, at 0.4 BLEU
less (Kim and Rush 2016, abstract).
"""

LESSON = Lesson(
    title="Other ways to a small model",
    group="Around it",
    place=2,
    question="Four ways to make a model smaller. Which one trains a new network, whose architecture need not be related to the old one?",
    guess=Choice(("quantisation", "pruning", "low rank", ANSWER)),
    fact=Finding("Distillation: the student needs only the teacher's outputs. The other three change the weights that are there.", ANSWER),
    text=TEXT,
    source="Kim and Rush 2016, abstract",
)
