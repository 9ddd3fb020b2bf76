"""The experiment of each lesson in the size that its page runs: seconds from the press of the button to the finding."""

from __future__ import annotations

import time
from collections.abc import Iterator

from distill_core.data import datasets
from distill_core.experiment import Experiment
from distill_core.lessons import LESSONS
from distill_core.training.run_data import load_run_data
from distill_core.training.shards import train_sharded
from tests.bench.measure import Figure


def run() -> Iterator[Figure]:
    """One figure a lesson; what a lab loads once, such as a data set and a teacher, is loaded before."""
    for _ in train_sharded([Experiment(images=100, epochs=1, seed=seed) for seed in range(2)], device="cpu"):
        """As in the lab, whose workers run already when somebody presses the button."""
    for name, lesson in LESSONS.items():
        if not lesson.judge or not all(datasets.is_ready(arm.dataset) for arm in lesson.arms.values()):
            continue
        for arm in lesson.arms.values():
            load_run_data([arm])
        started = time.perf_counter()
        if lesson.trial:
            results = lesson.trial(lesson.seeds)
        else:
            ended = {one["experiment"]: one for one in train_sharded(lesson.experiments(), device="cpu") if one["event"] == "result"}
            results = lesson.by_arm([ended[place] for place in sorted(ended)])
        lesson.find(results)
        yield Figure(f"lesson {name}, {lesson.seeds} seeds", [time.perf_counter() - started], "s", "at most 10")
