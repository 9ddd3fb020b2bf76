"""Where files are kept: data sets, caches, runs, shipped weights. Environment variables move the first three."""

from __future__ import annotations

import contextlib
import functools
import json
import os
import uuid
from pathlib import Path

import platformdirs

WEIGHTS = Path(__file__).parent / "weights"  # shipped with the lab: the teachers, and the digit of the first page


def home() -> Path:
    """The folder for runs and caches: `DISTILL_HOME`, or the platform's folder for user data."""
    return Path(os.environ.get("DISTILL_HOME") or platformdirs.user_data_dir("distill-lab")).expanduser()


def data() -> Path:
    """The folder for data sets, in torchvision's layout: `DISTILL_DATA`, or `data` inside `home()`."""
    return Path(os.environ.get("DISTILL_DATA") or home() / "data").expanduser()


def cache(name: str) -> Path:
    """The folder for results that can be computed again; created if missing. On a read-only disk it stays missing."""
    folder = home() / "cache" / name
    with contextlib.suppress(OSError):
        folder.mkdir(parents=True, exist_ok=True)
    return folder


def read_json(path: Path, *, without: object) -> object:
    """The content of a JSON file, read once for each version of the file; the value of `without` where there is none.

    All callers get the same object: copy it before you change it.
    """
    found = version(path)
    return _parsed(path, found) if found else without


def version(path: Path) -> tuple[int, ...]:
    """What differs between two versions of a file; empty where there is none."""
    try:
        stat = path.stat()
    except OSError:
        return ()
    return stat.st_ino, stat.st_size, stat.st_mtime_ns


@functools.lru_cache(maxsize=16)
def _parsed(path: Path, version: tuple[int, ...]) -> object:
    return json.loads(path.read_text())


def write_atomically(path: Path, blob: bytes) -> None:
    """Write a file completely or not at all: a reader finds the old content or the new one, never a part of it.

    Raises `OSError` if the disk is full or read-only; the old file is then unchanged, and no other file is left.
    """
    temporary = path.with_name(f"{path.name}.{uuid.uuid4().hex}")  # not the process id, which all threads share
    try:
        temporary.write_bytes(blob)
        temporary.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise
