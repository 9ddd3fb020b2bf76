"""Measurements of hours: each row is written as soon as it is measured, and the same command goes on where it was stopped."""

from __future__ import annotations

import datetime
import json
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np

from distill_core import paths
from distill_core.experiment import Experiment
from distill_core.statistics import paired_difference
from distill_core.studies.comparison import machine
from distill_core.training.run_data import prepare
from distill_core.training.shards import train_sharded


def file_of(name: str) -> Path:
    """Where the rows of a measurement are kept: in `DISTILL_HOME`."""
    return paths.cache("bench") / f"{name}.json"


def kept(file: Path) -> list[dict]:
    """The rows that are measured already."""
    return json.loads(file.read_text()) if file.exists() else []


def go_on(file: Path, wanted: Sequence[dict], measure: Callable[[dict], dict]) -> Iterator[dict]:
    """The wanted rows, each a dictionary of its choices, with what `measure` adds; those that are kept are not measured again."""
    done = kept(file)
    for choices in wanted:
        row = next((one for one in done if choices.items() <= one.items()), None)
        if row is None:
            row = choices | measure(choices) | {"date": str(datetime.date.today()), "machine": machine()}
            done.append(row)
            paths.write_atomically(file, json.dumps(done, indent=1).encode())
        yield row


def accuracies(experiments: Sequence[Experiment], *, field: str) -> dict:
    """The accuracies of students and baselines in percent, seed by seed, and the seconds of their training with its tests."""
    for _ in prepare(experiments[0]):
        pass
    started, results = time.perf_counter(), {}
    for one in train_sharded(experiments):
        if one["event"] == "result":
            results[one["experiment"]] = one
    seconds = round(time.perf_counter() - started, 2)
    return {role: [100 * results[n][role][field] for n in sorted(results)] for role in ("student", "baseline")} | {"seconds": seconds}


def difference(row: dict, other: dict, role: str, *, images: int) -> tuple[float, float, float]:
    """What the first row is above the second, seed by seed, in percentage points: mean, low, high."""
    mean, low, high = paired_difference(np.array(row[role]), np.array(other[role]), test_images=images)
    return float(mean), float(low), float(high)
