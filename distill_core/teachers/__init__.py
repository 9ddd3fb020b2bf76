"""The trained teachers: recipes, cards, weights, and logits by example index.

The teachers in `weights/` come with the lab. For any other image set a teacher is trained on this machine, once, by the
same recipes, and kept in `DISTILL_HOME`.
"""

from distill_core.teachers.cards import Card, describe, shipped, teacher_fingerprints
from distill_core.teachers.choosing import default_teacher, notes, offered, shipped_for, teacher_after_change, untrained_note
from distill_core.teachers.logit_cache import logit_shape, logits, memory_format, prepare_test_logits, teacher_logits
from distill_core.teachers.making import make_teacher, prepare_teacher, ship_teacher
from distill_core.teachers.recipes import ON_ANY_DATASET, SELF, TEACHERS, Recipe, check_teacher, parse_ensemble, recipe_for, single
from distill_core.teachers.weights import Teacher, in_training_mode, load_teacher

__all__ = [
    "ON_ANY_DATASET", "SELF", "TEACHERS", "Card", "Recipe", "Teacher", "check_teacher", "default_teacher", "describe",
    "in_training_mode", "load_teacher", "logit_shape", "logits", "make_teacher", "memory_format", "notes", "offered", "parse_ensemble",
    "prepare_teacher", "prepare_test_logits", "recipe_for", "ship_teacher", "shipped", "shipped_for", "single", "teacher_after_change",
    "teacher_fingerprints", "teacher_logits", "untrained_note",
]  # fmt: skip
