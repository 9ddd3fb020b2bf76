"""Language models: a distilled step against a plain one, ten students at once, on-policy steps, and the default race."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace

from distill_core.data.datasets import TEXTS
from distill_core.experiment import Experiment, usual_of_text
from distill_core.training.cohort import Cohort
from distill_core.training.run_data import load_run_data
from distill_core.training.shards import train_sharded
from tests.bench.measure import Figure, alternate, ratios

TIMES, STEPS = 5, 8


def run() -> Iterator[Figure]:
    """Ratios and rates on each text that is on this machine."""
    for name in (name for name, source in TEXTS.items() if source.is_here()):
        usual = Experiment(**{"dataset": name, **usual_of_text(name), "images": 256})
        plain, distilled = steps_of([usual], role="baseline"), steps_of([usual], role="student")
        seconds = alternate({"plain": plain, "distilled": distilled}, times=TIMES)
        yield Figure(f"{name}: a distilled step over a plain one", ratios(seconds, "distilled", "plain"), "x", "at most 1.3")
        ten = [replace(usual, seed=seed) for seed in range(10)]
        alone, together = [steps_of([one], role="student") for one in ten], steps_of(ten, role="student")
        seconds = alternate({"alone": lambda steps=alone: [one() for one in steps], "together": together}, times=TIMES)
        yield Figure(f"{name}: ten students at once over one after another", ratios(seconds, "alone", "together"), "x", "at least 2")
        yield _texts_written([Experiment(**{"dataset": name, **usual_of_text(name)})])
        own = steps_of([replace(usual, method="on-policy")], role="student", own=True)
        rates = [STEPS / one for one in alternate({"own": own}, times=TIMES)["own"]]
        yield Figure(f"{name}: on-policy steps a second, writing included", rates, "", "at least 8")
    usual = Experiment(**{"dataset": "little-language", **usual_of_text("little-language")})
    list(load_run_data([replace(usual, seed=seed) for seed in range(5)]).batches(0))  # the teacher's logits are in the cache
    five = [replace(usual, seed=seed) for seed in range(5)]
    for _ in train_sharded([replace(one, images=20, epochs=1) for one in five], device="cpu"):
        """As in the lab, whose workers run already when somebody presses Train."""
    yield from _default_race(five)


def steps_of(experiments: list[Experiment], *, role: str, own: bool = False) -> Callable[[], None]:
    """Some training steps of one member of each experiment; with `own` those in which the student writes."""
    cohort = Cohort(experiments, roles=(role,), device="cpu")
    indices = next(cohort.data.batches(0))

    def steps() -> None:
        for _ in range(STEPS):
            cohort.step = 0 if not own else next(step for step in range(100) if _writes(cohort, step))
            cohort.train_step(indices, learning_rate=1e-4)

    return steps


def _texts_written(experiments: list[Experiment]) -> Figure:
    """What student and baseline write while they train, as a share of the time of their steps; more seeds make it smaller."""
    cohort = Cohort(experiments, device="cpu")
    indices = next(cohort.data.batches(0))

    def steps() -> None:
        for _ in range(STEPS):
            cohort.train_step(indices, learning_rate=1e-4)

    seconds = alternate({"text": cohort.write_samples, "steps": steps}, times=TIMES)
    texts_per_step = len(cohort.schedule.sampled_epochs(len(cohort.members))) / cohort.schedule.steps
    shares = [100 * texts_per_step * STEPS * ratio for ratio in ratios(seconds, "text", "steps")]
    return Figure(f"{cohort.first.dataset}: texts written while one seed trains, share of its time", shares, "%", "at most 2")


def _writes(cohort: Cohort, step: int) -> bool:
    from distill_core.training.own_text import is_own

    return is_own(cohort.method, step)


def _default_race(experiments: list[Experiment]) -> Iterator[Figure]:
    started, first = time.perf_counter(), None
    for record in train_sharded(experiments, device="cpu"):
        if first is None and record.get("test_bits_per_character") is not None:
            first = time.perf_counter() - started
    yield Figure("little-language: first point of the default race", [first], "s", "at most 1")
    yield Figure("little-language: the default race, five seeds", [time.perf_counter() - started], "s", "at most 20")
