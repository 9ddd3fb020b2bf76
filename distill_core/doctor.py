"""Is this machine ready for a lecture: data, teachers, device, port, and how long a preset takes here."""

from __future__ import annotations

import json
import os
import shutil
import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path

from distill_core import paths, teachers
from distill_core.data import datasets
from distill_core.machine import available_cores
from distill_core.precision import instructions
from distill_core.studies.presets import PRESETS, measure
from distill_core.training.run_data import pick_device

SECONDS = "preset-seconds.json"  # in DISTILL_HOME
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")


def examine(*, port: int, presets: bool = False) -> dict:
    """What `check` found, and the seconds that presets take: of the first race now, of the others where they were measured.

    `presets`: measure all of them now.
    """
    found = check(port=port)
    found["first_race_seconds"] = _seconds_of("first-race")
    if presets:
        keep_seconds({name: _seconds_of(name) for name in PRESETS if _is_here(name)})
    return found | {"preset_seconds": kept_seconds()}


def check(*, port: int) -> dict:
    """What can be found without training, as plain values; `ready` says whether the lab can be used without a download."""
    found = {
        "python": sys.version.split()[0],
        "device": str(pick_device("auto")),
        "bfloat16": instructions(pick_device("auto")) or "no instructions for it; only emulated, which is slower than float32",
        "cores": available_cores(),
        "memory_gb": _memory_gb("SC_PHYS_PAGES"),
        "free_memory_gb": _memory_gb("SC_AVPHYS_PAGES"),
        "home": str(paths.home()),
        "home_writable": _problem(_try_writing) or True,
        "free_disk_gb": round(shutil.disk_usage(_existing(paths.home())).free / 1e9, 1),
        "datasets": {name: _dataset_state(name) for name in datasets.SOURCES},
        "teachers": {f"{card.dataset}/{card.name}": _problem(_check_teacher, card) or "ready" for card in teachers.shipped()},
        "port": port,
        "port_free": _port_is_free(port),
        "browser": next(filter(None, map(shutil.which, BROWSERS)), None),
    }
    return found | {"ready": found["home_writable"] is True and all(state == "ready" for state in found["teachers"].values())}


def kept_seconds() -> dict[str, float]:
    """The seconds that presets took on this machine when they were last measured."""
    try:
        kept = json.loads((paths.home() / SECONDS).read_text())
        return {name: float(kept[name]) for name in PRESETS if name in kept}
    except (OSError, ValueError, TypeError):  # not measured yet, or the file is damaged
        return {}


def keep_seconds(measured: dict[str, float]) -> None:
    """Keep them beside those of other presets."""
    paths.home().mkdir(parents=True, exist_ok=True)
    (paths.home() / SECONDS).write_text(json.dumps(kept_seconds() | measured))


def _is_here(preset: str) -> bool:
    return datasets.SOURCES[PRESETS[preset].experiment.dataset].is_here()


def _memory_gb(name: str) -> float | None:
    """Memory of this machine in GB; None where the system does not report it."""
    try:
        return round(os.sysconf(name) * os.sysconf("SC_PAGE_SIZE") / 1e9, 1)
    except (AttributeError, ValueError, OSError):  # not on Windows
        return None


def _dataset_state(name: str) -> str:
    source = datasets.SOURCES[name]
    if not source.is_here():
        return "not on this machine yet; the first run with it downloads it" if source.kind else "not on this machine"
    return _problem(datasets.load, name) or "ready"


def _problem(check: Callable, *arguments: object) -> str:
    """The sentence of the error that a check raises; empty when there is none."""
    try:
        check(*arguments)
    except (ValueError, OSError) as error:
        return str(error)
    return ""


def _check_teacher(card: teachers.Card) -> None:
    if datasets.SOURCES[card.dataset].is_here():
        teachers.load_teacher(datasets.load(card.dataset), card.name)


def _try_writing() -> None:
    paths.home().mkdir(parents=True, exist_ok=True)
    probe = paths.home() / f".doctor-{os.getpid()}"
    probe.write_bytes(b"1")
    probe.unlink()


def _existing(folder: Path) -> Path:
    return folder if folder.exists() else _existing(folder.parent)


def _port_is_free(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0


def _seconds_of(preset: str) -> float:
    """Seconds of a preset with the seeds that the race page gives it."""
    started = time.perf_counter()
    for _ in measure(PRESETS[preset], seeds=PRESETS[preset].seeds):
        pass
    return round(time.perf_counter() - started, 2)
