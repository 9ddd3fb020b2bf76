"""LESSONS: every file of this folder that defines `LESSON`, in the order of the course. A lesson is added by one file."""

from __future__ import annotations

import importlib
import pkgutil

from distill_core.lessons.lesson import GROUPS, Lesson


def _found() -> dict[str, Lesson]:
    modules = (importlib.import_module(f"{__name__}.{info.name}") for info in pkgutil.iter_modules(__path__))
    found = {module.__name__.rpartition(".")[2]: module.LESSON for module in modules if hasattr(module, "LESSON")}
    return dict(sorted(found.items(), key=lambda item: (GROUPS.index(item[1].group), item[1].place)))


LESSONS = _found()
