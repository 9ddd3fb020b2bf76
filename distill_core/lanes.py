"""Side by side: one large cohort divided among the cores of a machine.

Threads inside a product of matrices gain little where the matrices are small, and wait for each other between any two.
Whole students have nothing to wait for: each core gets a share of them as a cohort of its own, a *lane*, and all lanes
tell together. On two cores a step of 41 students of `mlp-30x2` took 9.9 ms as one cohort on one thread, 9.4 ms on two
threads, and 5.7 ms as two lanes.
"""

from __future__ import annotations

import json
import os
from collections import defaultdict
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import torch

from distill_core.cohort import Cohort, cohorts
from distill_core.datasets import load
from distill_core.experiment import Experiment
from distill_core.models import cost
from distill_core.trainer import Record, pick_device

WORTH = 1e8  # multiplications in a step of one lane, below which a lane would mostly wait for Python


def train_side_by_side(experiments: Sequence[Experiment], *, device: str = "auto") -> Iterator[Record]:
    """`cohort.train_cohort` on all cores."""
    for places in cohorts(experiments):
        for records in Lanes([experiments[place] for place in places], device=device).steps():
            yield from ({**told, "experiment": places[told["experiment"]]} for told in records)


class Lanes:
    """A cohort's experiments in training, as `Cohort` trains them, on as many cores as are worth it."""

    def __init__(self, experiments: Sequence[Experiment], *, device: str = "auto", most: int | None = None, **options: object) -> None:
        self.experiments = tuple(experiments)
        most = lanes_worth(experiments, device=device) if most is None else most
        self.places = divide(experiments, lanes=most)
        self.lanes = [Cohort([experiments[place] for place in places], device=device, **options) for places in self.places]

    @property
    def first(self) -> Experiment:
        """Any of the experiments: they share all that matters to the pace."""
        return self.experiments[0]

    @property
    def done(self) -> int:
        """Epochs that every lane has finished, those of assistants included."""
        return min(lane.done for lane in self.lanes)

    @property
    def seconds(self) -> float:
        """How long they have trained."""
        return max(lane.seconds for lane in self.lanes)

    @property
    def at_epoch_end(self) -> bool:
        """Whether every lane has seen every image equally often."""
        return all(lane.at_epoch_end for lane in self.lanes)

    def steps(self) -> Iterator[list[Record]]:
        """Train to the end; yields what there is to tell, after each step of one lane, after each record of several.

        All lanes have their records at the same steps, so they meet there, and at the end of each epoch.
        """
        if len(self.lanes) == 1:
            yield from (self._told(0, records) for records in self.lanes[0].steps())
            return
        running = [lane.steps() for lane in self.lanes]
        with ThreadPoolExecutor(len(self.lanes), initializer=_one_thread) as pool:
            while True:
                parts = list(pool.map(_to_the_next_record, running, self.lanes))
                if parts[0] is None:
                    return
                yield [one for lane, records in enumerate(parts) for one in self._told(lane, records)]

    def _told(self, lane: int, records: list[Record]) -> list[Record]:
        return [{**one, "experiment": self.places[lane][one["experiment"]]} for one in records]

    def state(self) -> bytes:
        """What `restore` needs to go on with the same numbers; after a finished epoch."""
        states = [lane.state() for lane in self.lanes]
        return json.dumps([len(state) for state in states]).encode() + b"\n" + b"".join(states)

    @property
    def state_bytes(self) -> int:
        """How long `state()` is, roughly: weights, and what the optimizer remembers of each."""
        own = sum(lane.optimizer.weights.nbytes * len(lane.optimizer.state) for lane in self.lanes)
        return own * (1 + len(self.first.assistants))

    @classmethod
    def restored(cls, experiments: Sequence[Experiment], state: bytes, **options: object) -> Lanes:
        """The lanes that `state()` was asked of, as many as there were then."""
        head, states = state.split(b"\n", 1)
        sizes = json.loads(head)
        found = cls(experiments, most=len(sizes), **options)
        for lane, size in zip(found.lanes, sizes, strict=True):
            lane.restore(states[:size])
            states = states[size:]
        return found

    def artefacts(self) -> dict[str, bytes]:
        """Those of the first experiment."""
        return next(lane for lane, places in zip(self.lanes, self.places, strict=True) if 0 in places).artefacts()


def _one_thread() -> None:
    """A lane has its core to itself. Both settings belong to the thread."""
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)


def _to_the_next_record(steps: Iterator[list[Record]], lane: Cohort) -> list[Record] | None:
    """What the lane next has to tell; nothing at the end of an epoch without a record; None after the last."""
    for records in steps:
        if records or lane.at_epoch_end:
            return records
    return None


def divide(experiments: Sequence[Experiment], *, lanes: int) -> list[list[int]]:
    """The places of experiments that can be one cohort, in up to `lanes` cohorts of nearly the same size.

    Whole seeds where they come out even, for students of a seed share their images and their baseline; else each
    lane gets a share of every seed's students, or as many seeds as there are where a seed has too few.
    """
    of_seed: dict[int, list[int]] = defaultdict(list)
    for place, experiment in enumerate(experiments):
        of_seed[experiment.seed].append(place)
    groups, least = list(of_seed.values()), min(map(len, of_seed.values()))
    if len(groups) % lanes == 0 or least < lanes:
        parts = [[place for group in groups[lane::lanes] for place in group] for lane in range(min(lanes, len(groups)))]
    else:
        parts = [[place for group in groups for place in group[lane::lanes]] for lane in range(lanes)]
    return [[part[i] for i in places] for part in parts for places in cohorts([experiments[place] for place in part])]


def lanes_worth(experiments: Sequence[Experiment], *, device: str = "auto") -> int:
    """How many lanes these experiments are worth on this machine."""
    if pick_device(device).type != "cpu":
        return 1
    first = experiments[0]
    dataset = load(first.dataset)
    batch = min(first.batch_size, first.images or len(dataset.train_labels))
    of_one = cost(first.student, image_shape=dataset.image_shape, classes=dataset.classes).multiplications
    return max(1, min(os.cpu_count() or 1, int(3 * len(experiments) * batch * of_one / WORTH)))
