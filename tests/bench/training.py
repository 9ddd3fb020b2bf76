"""One epoch of MNIST with its baseline, compared with the usual loop for the student alone; and the share of the machine's rate."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

from torch import nn

from distill_core.data.datasets import load
from distill_core.experiment import Experiment
from distill_core.training import loop
from distill_core.training.cohort import Cohort
from distill_core.training.initial import initial_student
from tests.bench.measure import Figure, alternate, product, ratios, thread_counts, threads
from tests.bench.usual_loop import usual_loop

GOALS = {"mlp-30x2": "at least 30", "mlp-800x2": "at least 5"}
TIMES = 3


def run() -> Iterator[Figure]:
    """Seconds, speed-ups, and the share of the rate of matrix products."""
    for student, goal in GOALS.items():
        experiment = Experiment(dataset="mnist", student=student, batch_size=256, epochs=1)
        usual, steps = usual_loop(student), steps_of(experiment)
        steps()  # warm
        for count in thread_counts():
            with threads(count):
                # The product is measured next to our steps, so that the machine's rate is that of the same moment.
                works = {"the usual loop": usual, "ours": steps, "product": product(), "ours again": steps}
                seconds = alternate(works, times=TIMES)
            on = f"{student}, {count} thread{'s' * (count > 1)}"
            yield Figure(f"{on}: the usual loop, one epoch", seconds["the usual loop"], "s")
            yield Figure(f"{on}: ours with baseline, one epoch", seconds["ours"], "s")
            yield Figure(f"{on}: speed-up over the usual loop", ratios(seconds, "the usual loop", "ours"), "x", goal)
            rates = [2 * 2048**3 / s for s in seconds["product"]]
            shares = [operations(experiment) / s / rate for s, rate in zip(seconds["ours again"], rates, strict=True)]
            yield Figure(f"{on}: share of the machine's rate", shares, "", "at least 0.5" if student == "mlp-800x2" else "")
        with threads(1):
            yield from whole_runs(experiment)


def steps_of(experiment: Experiment) -> Callable[[], None]:
    """The training steps of one epoch of student and baseline, without setup and tests."""
    cohort = Cohort([experiment], device="cpu")
    epochs = iter(range(1000))

    def epoch() -> None:
        for indices in cohort.data.batches(next(epochs)):
            cohort.train_step(indices, learning_rate=experiment.learning_rate)

    return epoch


def operations(experiment: Experiment) -> int:
    """Floating-point operations of one epoch of student and baseline, counting matrix products only.

    Two per weight and image in the forward pass, four in the backward pass; the first layer needs no gradient of the images.
    """
    network, dataset = initial_student(experiment, load(experiment.dataset)), load(experiment.dataset)
    sizes = [layer.weight.numel() for layer in network.modules() if isinstance(layer, nn.Linear)]
    return 2 * len(dataset.train_labels) * (6 * sum(sizes) - 2 * sizes[0])


def whole_runs(experiment: Experiment) -> Iterator[Figure]:
    """The same epoch as a whole run: with setup, six tests and the result."""
    student = experiment.student
    parts: dict[str, list[float]] = {"setup": [], "steps and tests": [], "alone": []}
    for _ in range(TIMES):
        started = time.perf_counter()
        cohort = Cohort([experiment], device="cpu")
        parts["setup"].append(time.perf_counter() - started)
        parts["steps and tests"].append(timed(lambda cohort=cohort: list(cohort.steps())))
        parts["alone"].append(timed(lambda: list(loop.train(experiment, device="cpu"))))
    yield Figure(f"{student}, 1 thread: setup, data read and logits cached", parts["setup"], "s")
    yield Figure(f"{student}, 1 thread: steps, six tests, result", parts["steps and tests"], "s")
    yield Figure(f"{student}, 1 thread: the same by `train`, with setup", parts["alone"], "s")


def timed(work: Callable[[], object]) -> float:
    """Seconds of one call."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started
