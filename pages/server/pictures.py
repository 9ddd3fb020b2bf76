"""Whose uploaded pictures a browser sees: its own, and those of a run whose link it was given."""

from __future__ import annotations

from distill_core.data import datasets
from distill_core.runs.keys import owner_mark
from distill_core.runs.schema import Visible
from pages.server.experiments import HIDDEN
from pages.server.lab import owner, run_owner


def keep(blob: bytes, *, name: str) -> str:
    """Keep a zip or a text as one of this browser's sets; returns its name. Raises `ValueError` with one sentence if it cannot be used."""
    kept = datasets.keep_text if name.lower().endswith(".txt") else datasets.keep_zip
    return kept(blob, name=name, owner=owner_mark(owner()))


def own() -> list[str]:
    """The names of this browser's sets."""
    return datasets.kept_zips(owner_mark(owner()))


def own_texts() -> list[str]:
    """The names of this browser's texts."""
    return datasets.kept_texts(owner_mark(owner()))


def visible() -> Visible:
    """Which runs a list shows here: none about the pictures of somebody else, and no race of Find the bug."""
    return Visible(HIDDEN, (*datasets.SOURCES, *own(), *own_texts()), owner_mark(run_owner()))
