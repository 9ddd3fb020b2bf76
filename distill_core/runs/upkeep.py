"""What keeps the runs of a long day within bounds: paused ones expire, and the oldest results make room for new ones."""

from __future__ import annotations

import contextlib
import shutil
import time
from pathlib import Path

from distill_core.runs import limits
from distill_core.runs.schema import OVER
from distill_core.runs.store import Store
from distill_core.runs.transitions import transition


def tidy(store: Store) -> None:
    """All of it; to be called now and then by a thread that no page waits for."""
    remove_leftovers(store)
    expire_paused(store)
    shrink(store, limits.max_stored())


def expire_paused(store: Store) -> None:
    """Stop the runs that have been paused for too long; their curves stay."""
    hours = limits.PAUSED_SECONDS / 3600
    for run_id in store.unused("paused", before=time.time() - limits.PAUSED_SECONDS):
        transition(store, run_id, "expire", message=f"stopped after it had been paused for {hours:.3g} hours; its curves stay")


def bytes_used(store: Store) -> int:
    """The size of all runs: the database, and the files beside it."""
    return store.bytes_of_tables() + sum(_bytes_of(folder) for folder in _folders(store))


def stored_in_words(store: Store) -> str:
    """How much the runs take on the disk, and what becomes of the oldest."""
    used, most = bytes_used(store) / 1e9, limits.max_stored() / 1e9
    return (
        f"the runs take {used:.2f} GB of at most {most:.3g} GB on the disk; beyond that, the results that nobody has used for longest "
        f"are deleted first; a run that is paused is stopped after {limits.PAUSED_SECONDS / 3600:.3g} hours"
    )


def shrink(store: Store, most: float) -> int:
    """Where the runs take more bytes than this, delete runs that are over, the longest unused first, down to nine tenths.

    If that is not enough, paused runs are stopped, which drops their states. Returns how many were deleted or stopped.
    """
    files, count = {folder.name: _bytes_of(folder) for folder in _folders(store)}, 0
    if sum(files.values()) + store.bytes_of_tables() <= most:
        return 0
    for status, run_id in [("over", one) for one in store.unused(*OVER)] + [("paused", one) for one in store.unused("paused")]:
        if sum(files.values()) + store.bytes_of_tables() <= 0.9 * most:
            break
        if status == "over":
            count += store.delete(run_id, only_from=OVER)
        else:
            count += transition(store, run_id, "expire", message="stopped while it was paused, to make room on the disk; its curves stay")
        files[run_id] = _bytes_of(store.folder / run_id)
    return count


def remove_leftovers(store: Store) -> None:
    """Remove the folders of runs that were reset or deleted by a process which died before it had removed them."""
    for folder in _folders(store):
        if folder.name.startswith("."):
            shutil.rmtree(folder, ignore_errors=True)


def _folders(store: Store) -> list[Path]:
    return [entry for entry in store.folder.iterdir() if entry.is_dir()] if store.folder.is_dir() else []


def _bytes_of(folder: Path) -> int:
    total = 0
    with contextlib.suppress(OSError):  # removed meanwhile
        for file in folder.iterdir():
            total += file.stat().st_size
    return total
