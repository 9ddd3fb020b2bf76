"""Where things are kept: data sets, caches, runs. Three environment variables move them."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

import platformdirs

WEIGHTS = Path(__file__).parent / "weights"  # what comes with the lab: the shipped teachers, and the digit it opens with


def home() -> Path:
    """The folder for runs and caches: `DISTILL_HOME`, or the platform's folder for user data."""
    return Path(os.environ.get("DISTILL_HOME") or platformdirs.user_data_dir("distill-lab")).expanduser()


def data() -> Path:
    """The folder for data sets, in torchvision's layout: `DISTILL_DATA`, or `data` inside `home()`."""
    return Path(os.environ.get("DISTILL_DATA") or home() / "data").expanduser()


def cache(name: str) -> Path:
    """A folder for what can be computed again; made if missing. On a disk that cannot be written it stays missing."""
    folder = home() / "cache" / name
    with contextlib.suppress(OSError):
        folder.mkdir(parents=True, exist_ok=True)
    return folder
