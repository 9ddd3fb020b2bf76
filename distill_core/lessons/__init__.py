"""LESSONS: the course, from every file of this folder that defines `LESSON`. A lesson is added by one file.

One with an experiment joins the course as soon as its experiment was measured (`measured.py`); ALL_LESSONS has the others too.
"""

from __future__ import annotations

import importlib
import pkgutil

from distill_core.lessons.lesson import GROUPS, Lesson
from distill_core.lessons.measured import kept


def _found() -> dict[str, Lesson]:
    modules = (importlib.import_module(f"{__name__}.{info.name}") for info in pkgutil.iter_modules(__path__))
    found = {module.__name__.rpartition(".")[2]: module.LESSON for module in modules if hasattr(module, "LESSON")}
    return dict(sorted(found.items(), key=lambda item: (GROUPS.index(item[1].group), item[1].place)))


ALL_LESSONS = _found()
LESSONS = {name: lesson for name, lesson in ALL_LESSONS.items() if not lesson.judge or name in kept()}
