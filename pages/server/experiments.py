"""The experiments of stored runs. One that another version of the lab wrote may not be readable by this one."""

from __future__ import annotations

import functools

from distill_core.experiment import Experiment
from distill_core.runs.schema import Entry
from distill_core.runs.store import Run

HIDDEN = "puzzle"  # kind of the races of Find the bug, whose settings are what learners guess: no page lists them


def experiments_of(run: Run | Entry) -> list[Experiment]:
    """All experiments of a run; of an entry in a list, the first. Raises `ValueError` with one sentence where one cannot be read."""
    try:
        return [_parse(text) for text in (run.experiments if isinstance(run, Run) else [run.first])]
    except ValueError as error:
        raise ValueError(f"the settings of run {run.id} cannot be read ({error}); delete it, or open another run") from error


def first_experiment(run: Run | Entry) -> Experiment | None:
    """The experiment of a run's first seed; None where it cannot be read."""
    try:
        return _parse(run.first)
    except ValueError:
        return None


@functools.lru_cache(maxsize=4096)
def _parse(text: str) -> Experiment:
    return Experiment.from_json(text)
