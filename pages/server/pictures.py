"""Whose uploaded pictures a browser sees: its own, and those of a run whose link it was given."""

from __future__ import annotations

from distill_core.data import datasets
from distill_core.runs.keys import owner_mark
from distill_core.runs.schema import Visible
from pages.server.experiments import HIDDEN
from pages.server.lab import owner, run_owner


def keep(blob: bytes, *, name: str) -> str:
    """Keep a zip as one of this browser's sets; returns its name. Raises `ValueError` with one sentence if it cannot be used."""
    return datasets.keep_zip(blob, name=name, owner=owner_mark(owner()))


def own() -> list[str]:
    """The names of this browser's sets."""
    return datasets.kept_zips(owner_mark(owner()))


def visible() -> Visible:
    """Which runs a list shows here: none about the pictures of somebody else, and no race of Find the bug."""
    return Visible(HIDDEN, (*datasets.DATASETS, *own()), owner_mark(run_owner()))
