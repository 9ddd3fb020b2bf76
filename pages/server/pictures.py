"""Whose uploaded pictures a browser sees: its own, and those of a run whose link it was given."""

from __future__ import annotations

from distill_core.data import datasets
from distill_core.runs.keys import owner_mark
from distill_core.runs.schema import Entry
from pages.server.experiments import first_experiment
from pages.server.lab import engine, owner, run_owner


def keep(blob: bytes, *, name: str) -> str:
    """Keep a zip as one of this browser's sets; returns its name. Raises `ValueError` with one sentence if it cannot be used."""
    return datasets.keep_zip(blob, name=name, owner=owner_mark(owner()))


def own() -> list[str]:
    """The names of this browser's sets."""
    return datasets.kept_zips(owner_mark(owner()))


def is_listed(run: Entry) -> bool:
    """Whether a list of runs shows this one here: not if it is about the pictures of somebody else."""
    first = first_experiment(run)
    return first is None or first.dataset in datasets.DATASETS or first.dataset in own() or engine().may_control(run.id, owner=run_owner())
