"""On a GPU: the large sweep, one epoch of single students, what a further student costs, and what replaying a step saves."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence

import torch

from distill_core.data import datasets
from distill_core.experiment import Experiment
from distill_core.training import recording
from distill_core.training.cohort import Cohort
from tests.bench.measure import Figure
from tests.bench.sweep import large, of_size

TIMES = 5
PRECISIONS = ("float32", "bfloat16")


def run() -> Iterator[Figure]:
    """Seconds; nothing where the machine has no GPU."""
    if not torch.cuda.is_available():
        return
    yield from large_sweep()
    yield from epochs()
    yield from growth()


@contextlib.contextmanager
def step_by_step() -> Iterator[None]:
    """Each operation of a step queued by itself."""
    before, recording.is_recorded = recording.is_recorded, lambda device: False
    try:
        yield
    finally:
        recording.is_recorded = before


def timed(work: Callable[[], object], *, times: int = TIMES) -> list[float]:
    """Seconds of each call, until the GPU has finished; the first is not counted."""
    seconds = []
    for _ in range(times + 1):
        torch.cuda.synchronize()
        started = time.perf_counter()
        work()
        torch.cuda.synchronize()
        seconds.append(time.perf_counter() - started)
    return seconds[1:]


def whole(experiments: Sequence[Experiment]) -> None:
    """From loading the data to the last result, tests included."""
    for _ in Cohort(experiments, device="cuda").steps():
        pass


def large_sweep() -> Iterator[Figure]:
    """Eight temperatures and five alphas on all of MNIST, five epochs."""
    for precision in PRECISIONS:
        experiments = large(precision)
        name = f"8 x 5 sweep of mlp-30x2, 60,000 images, 5 epochs, {precision}"
        yield Figure(name, timed(lambda own=experiments: whole(own)), "s", "at most 1")
        with step_by_step():
            yield Figure(f"{name}, without replay", timed(lambda own=experiments: whole(own), times=3), "s")


def epochs() -> Iterator[Figure]:
    """The steps of one epoch of a student and its baseline, without setup and tests."""
    fields = {"batch_size": 256, "epochs": 1}
    works = {
        "mlp-30x2 and baseline, one epoch of MNIST": {"dataset": "mnist", "student": "mlp-30x2"},
        "mlp-800x2 and baseline, one epoch of MNIST": {"dataset": "mnist", "student": "mlp-800x2"},
        "cnn-8 and baseline, one epoch of MNIST": {"dataset": "mnist", "student": "cnn-8"},
        "cnn-8 and baseline, one epoch of MNIST, hints": {"dataset": "mnist", "student": "cnn-8", "teacher": "cnn-32", "method": "hints"},
        "gpt-32x1 and baseline, one epoch of the little language": {"dataset": "little-language", "student": "gpt-32x1"},
    }
    if datasets.DATASETS["cifar10-jpeg"].is_here():
        colours = {"dataset": "cifar10-jpeg", "student": "cnn-8", "teacher": "cnn-32"}
        works["cnn-8 and baseline, one epoch of CIFAR-10 (JPEG)"] = colours
        works["cnn-8 and baseline, one epoch of CIFAR-10 (JPEG), shifts and flips"] = colours | {"augmentation": "fixed"}
    for what, choices in works.items():
        for precision in PRECISIONS:
            experiment = Experiment(**(fields | choices), precision=precision)
            yield Figure(f"{what}, {precision}", timed(steps_of(experiment)), "s")
            with step_by_step():
                yield Figure(f"{what}, {precision}, without replay", timed(steps_of(experiment), times=3), "s")


def steps_of(experiment: Experiment) -> Callable[[], None]:
    """A function that takes all steps of an epoch with one cohort, which goes on at each call."""
    own = Cohort([experiment], device="cuda")

    def epoch() -> None:
        for indices in own.data.batches(0):
            own.train_step(indices, learning_rate=0.001)

    return epoch


def growth() -> Iterator[Figure]:
    """Milliseconds per student of two epochs on 5,000 images, for sweeps of growing size."""
    for student, sizes in (("mlp-30x2", (1, 5, 20, 40, 80, 200, 400)), ("cnn-8", (1, 5, 20, 40, 80))):
        for students in sizes:
            experiments = of_size(students, student)
            seconds = timed(lambda own=experiments: whole(own), times=3)
            yield Figure(f"sweep of {students} {student}: per student", [1000 * one / students for one in seconds], "ms")
            peak = torch.cuda.max_memory_allocated() / 2**20
            torch.cuda.reset_peak_memory_stats()
            yield Figure(f"sweep of {students} {student}: memory of the GPU", [peak], "MiB")
