"""Maps of students: seconds, times as fast as the usual loop, and how the cost grows with the map."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence

from distill_core.experiment import Experiment
from distill_core.studies.sweep import Grid
from distill_core.training.cohort import Cohort
from distill_core.training.shards import Shards
from tests.bench.measure import Figure, alternate, ratios, threads
from tests.bench.usual_loop import usual_loop

TEMPERATURES, ALPHAS = (1.0, 2.0, 3.0, 4.0, 6.0, 8.0, 12.0, 20.0), (0.0, 0.1, 0.3, 0.6, 0.9)
TIMES = 3


def run() -> Iterator[Figure]:
    """The two maps of the goals, the cohort against one after another, the growth."""
    with threads(1):  # each shard has one
        yield from large_map()
        yield from small_map()
        yield from one_after_another()
        yield from growth()


def seconds_of(experiments: Sequence[Experiment], **options: object) -> float:
    """A whole map, from material to the last result."""
    started = time.perf_counter()
    for _ in Shards(experiments, device="cpu", **options).steps():
        pass
    return time.perf_counter() - started


def large_map() -> Iterator[Figure]:
    """Eight temperatures and five alphas on all of MNIST, five epochs."""
    usual = Experiment(dataset="mnist", student="mlp-30x2", batch_size=256, epochs=5)
    experiments = Grid("temperature", TEMPERATURES, "alpha", ALPHAS, 1).experiments(usual)
    seconds_of([e for e in experiments if e.temperature == 4.0][:1])  # data and logits
    seconds = alternate({"usual": on_all_cores(usual_loop("mlp-30x2")), "ours": lambda: seconds_of(experiments)}, times=TIMES)
    seconds["usual"] = [40 * 5 * s for s in seconds["usual"]]
    yield Figure("8 x 5 map of mlp-30x2, 60,000 images, 5 epochs", seconds["ours"], "s", "at most 30")
    yield Figure(
        "the same, times as fast as the usual loop (40 students x 5 epochs)", ratios(seconds, "usual", "ours"), "x", "at least 150"
    )


def on_all_cores(work: Callable[[], None]) -> Callable[[], None]:
    """The usual loop as PyTorch runs it by itself."""

    def done() -> None:
        with threads(os.cpu_count() or 1):
            work()

    return done


def small_map() -> Iterator[Figure]:
    """Six temperatures, five alphas, three seeds, 5,000 images, ten epochs."""
    usual = Experiment(dataset="mnist", student="mlp-30x2", batch_size=128, epochs=10, images=5000)
    experiments = Grid("temperature", TEMPERATURES[:6], "alpha", ALPHAS, 3).experiments(usual)
    yield Figure("6 x 5 map, three seeds, 5,000 images, 10 epochs", [seconds_of(experiments) for _ in range(TIMES)], "s", "at most 12")


def one_after_another() -> Iterator[Figure]:
    """Eight students with their baselines as one cohort on one thread, against eight cohorts of one."""
    for student, images, goal in (("mlp-30x2", 10_000, 3), ("mlp-128x2", 10_000, 2), ("cnn-8", 1_000, 1.6)):
        usual = Experiment(dataset="mnist", student=student, batch_size=128, epochs=2, images=images)
        experiments = Grid("temperature", TEMPERATURES, "alpha", (0.1,), 1).experiments(usual)

        def alone(experiments: Sequence[Experiment] = experiments) -> None:
            for experiment in experiments:
                for _ in Cohort([experiment], device="cpu").steps():
                    pass

        def together(experiments: Sequence[Experiment] = experiments) -> None:
            for _ in Cohort(experiments, device="cpu").steps():
                pass

        seconds = alternate({"alone": alone, "together": together}, times=TIMES)
        yield Figure(f"cohort of 8 {student} against one after another", ratios(seconds, "alone", "together"), "x", f"at least {goal}")


def growth() -> Iterator[Figure]:
    """Seconds of one epoch on 5,000 images as the map grows."""
    for students in (1, 2, 5, 10, 20, 40, 80, 200):
        temperatures = tuple(1.0 + 0.25 * n for n in range(max(1, students // 5)))
        usual = Experiment(dataset="mnist", student="mlp-30x2", batch_size=128, epochs=2, images=5000)
        grid = Grid("temperature", temperatures, "alpha", ALPHAS if students >= 5 else ALPHAS[1 : 1 + students], 1)
        seconds = [seconds_of(grid.experiments(usual)) for _ in range(TIMES)]
        yield Figure(f"map of {students}: a student", [1000 * s / students for s in seconds], "ms")
