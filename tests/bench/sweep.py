"""Sweeps: seconds, speed-up over the usual loop, and how the cost grows with the number of students."""

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
    """The two sweeps with a goal, a cohort compared with single students in turn, and the cost per student."""
    with threads(1):  # each shard has one
        yield from large_sweep()
        yield from small_sweep()
        yield from one_after_another()
        yield from growth()


def seconds_of(experiments: Sequence[Experiment], **options: object) -> float:
    """Seconds of a whole sweep, from loading its data to the last result."""
    started = time.perf_counter()
    for _ in Shards(experiments, device="cpu", **options).steps():
        pass
    return time.perf_counter() - started


def large(precision: str = "float32") -> list[Experiment]:
    """The experiments of the large sweep."""
    usual = Experiment(dataset="mnist", student="mlp-30x2", batch_size=256, epochs=5, precision=precision)
    return Grid("temperature", TEMPERATURES, "alpha", ALPHAS, 1).experiments(usual)


def of_size(students: int, student: str = "mlp-30x2") -> list[Experiment]:
    """A sweep of so many students, two epochs on 5,000 images."""
    temperatures = tuple(1.0 + 0.25 * n for n in range(max(1, students // 5)))
    usual = Experiment(dataset="mnist", student=student, batch_size=128, epochs=2, images=5000)
    return Grid("temperature", temperatures, "alpha", ALPHAS if students >= 5 else ALPHAS[1 : 1 + students], 1).experiments(usual)


def large_sweep() -> Iterator[Figure]:
    """Eight temperatures and five alphas on all of MNIST, five epochs."""
    experiments = large()
    seconds_of([e for e in experiments if e.temperature == 4.0][:1])  # data and logits
    seconds = alternate({"usual": on_all_cores(usual_loop("mlp-30x2")), "ours": lambda: seconds_of(experiments)}, times=TIMES)
    seconds["usual"] = [40 * 5 * s for s in seconds["usual"]]
    yield Figure("8 x 5 sweep of mlp-30x2, 60,000 images, 5 epochs", seconds["ours"], "s", "at most 30")
    yield Figure("the same, speed-up over the usual loop (40 students x 5 epochs)", ratios(seconds, "usual", "ours"), "x", "at least 150")


def on_all_cores(work: Callable[[], None]) -> Callable[[], None]:
    """The same work with one thread per core, the default of PyTorch."""

    def done() -> None:
        with threads(os.cpu_count() or 1):
            work()

    return done


def small_sweep() -> Iterator[Figure]:
    """Six temperatures, five alphas, three seeds, 5,000 images, ten epochs."""
    usual = Experiment(dataset="mnist", student="mlp-30x2", batch_size=128, epochs=10, images=5000)
    experiments = Grid("temperature", TEMPERATURES[:6], "alpha", ALPHAS, 3).experiments(usual)
    yield Figure("6 x 5 sweep, three seeds, 5,000 images, 10 epochs", [seconds_of(experiments) for _ in range(TIMES)], "s", "at most 12")


def one_after_another() -> Iterator[Figure]:
    """Eight students with their baselines on one thread: as one cohort, and as eight cohorts of one in turn."""
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
        yield Figure(
            f"cohort of 8 {student}, speed-up over one after another", ratios(seconds, "alone", "together"), "x", f"at least {goal}"
        )


def growth() -> Iterator[Figure]:
    """Milliseconds per student of two epochs on 5,000 images, for sweeps of growing size."""
    for students in (1, 2, 5, 10, 20, 40, 80, 200):
        seconds = [seconds_of(of_size(students)) for _ in range(TIMES)]
        yield Figure(f"sweep of {students}: per student", [1000 * s / students for s in seconds], "ms")
