"""Side by side: one large cohort divided among the cores of a machine.

Threads inside a product of matrices gain little where the matrices are small, and wait for each other between any two.
Whole students have nothing to wait for: each core gets a share of them as a cohort of its own, a *shard*, and all shards
tell together. On two cores a step of 41 students of `mlp-30x2` took 9.9 ms as one cohort on one thread, 9.4 ms on two
threads, and 5.7 ms as two shards.
"""

from __future__ import annotations

import json
import os
from collections import defaultdict
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import torch

from distill_core.data.datasets import load
from distill_core.experiment import Experiment
from distill_core.models import cost
from distill_core.training.cohort import Cohort, cohorts
from distill_core.training.trainer import Record, pick_device

WORTH = 1e8  # multiplications in a step of one shard, below which a shard would mostly wait for Python


def train_sharded(experiments: Sequence[Experiment], *, device: str = "auto") -> Iterator[Record]:
    """`cohort.train_cohort` on all cores."""
    for places in cohorts(experiments):
        for records in Shards([experiments[place] for place in places], device=device).steps():
            yield from ({**told, "experiment": places[told["experiment"]]} for told in records)


class Shards:
    """A cohort's experiments in training, as `Cohort` trains them, on as many cores as are worth it."""

    def __init__(self, experiments: Sequence[Experiment], *, device: str = "auto", most: int | None = None, **options: object) -> None:
        self.experiments = tuple(experiments)
        most = count_shards(experiments, device=device) if most is None else most
        self.places = split_cohort(experiments, shards=most)
        self.shards = [Cohort([experiments[place] for place in places], device=device, **options) for places in self.places]

    @property
    def first(self) -> Experiment:
        """Any of the experiments: they share all that matters to the pace."""
        return self.experiments[0]

    @property
    def done(self) -> int:
        """Epochs that every shard has finished, those of assistants included."""
        return min(shard.done for shard in self.shards)

    @property
    def seconds(self) -> float:
        """How long they have trained."""
        return max(shard.seconds for shard in self.shards)

    @property
    def at_epoch_end(self) -> bool:
        """Whether every shard has seen every image equally often."""
        return all(shard.at_epoch_end for shard in self.shards)

    def steps(self) -> Iterator[list[Record]]:
        """Train to the end; yields what there is to tell, after each step of one shard, after each record of several.

        All shards have their records at the same steps, so they meet there, and at the end of each epoch.
        """
        if len(self.shards) == 1:
            yield from (self._told(0, records) for records in self.shards[0].steps())
            return
        running = [shard.steps() for shard in self.shards]
        with ThreadPoolExecutor(len(self.shards), initializer=_one_thread) as pool:
            while True:
                parts = list(pool.map(_to_the_next_record, running, self.shards))
                if parts[0] is None:
                    return
                yield [one for shard, records in enumerate(parts) for one in self._told(shard, records)]

    def _told(self, shard: int, records: list[Record]) -> list[Record]:
        return [{**one, "experiment": self.places[shard][one["experiment"]]} for one in records]

    def state(self) -> bytes:
        """What `restore` needs to go on with the same numbers; after a finished epoch."""
        states = [shard.state() for shard in self.shards]
        return json.dumps([len(state) for state in states]).encode() + b"\n" + b"".join(states)

    @property
    def state_bytes(self) -> int:
        """How long `state()` is, roughly: weights, and what the optimizer remembers of each."""
        own = sum(shard.optimizer.weights.nbytes * len(shard.optimizer.state) for shard in self.shards)
        return own * (1 + len(self.first.assistants))

    @classmethod
    def restored(cls, experiments: Sequence[Experiment], state: bytes, **options: object) -> Shards:
        """The shards that `state()` was asked of, as many as there were then."""
        head, states = state.split(b"\n", 1)
        sizes = json.loads(head)
        found = cls(experiments, most=len(sizes), **options)
        for shard, size in zip(found.shards, sizes, strict=True):
            shard.restore(states[:size])
            states = states[size:]
        return found

    def artefacts(self) -> dict[str, bytes]:
        """Those of the first experiment."""
        return next(shard for shard, places in zip(self.shards, self.places, strict=True) if 0 in places).artefacts()


def _one_thread() -> None:
    """A shard has its core to itself. Both settings belong to the thread."""
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)


def _to_the_next_record(steps: Iterator[list[Record]], shard: Cohort) -> list[Record] | None:
    """What the shard next has to tell; nothing at the end of an epoch without a record; None after the last."""
    for records in steps:
        if records or shard.at_epoch_end:
            return records
    return None


def split_cohort(experiments: Sequence[Experiment], *, shards: int) -> list[list[int]]:
    """The places of experiments that can be one cohort, in up to `shards` cohorts of nearly the same size.

    Whole seeds where they come out even, for students of a seed share their images and their baseline; else each
    shard gets a share of every seed's students, or as many seeds as there are where a seed has too few.
    """
    of_seed: dict[int, list[int]] = defaultdict(list)
    for place, experiment in enumerate(experiments):
        of_seed[experiment.seed].append(place)
    groups, least = list(of_seed.values()), min(map(len, of_seed.values()))
    if len(groups) % shards == 0 or least < shards:
        parts = [[place for group in groups[shard::shards] for place in group] for shard in range(min(shards, len(groups)))]
    else:
        parts = [[place for group in groups for place in group[shard::shards]] for shard in range(shards)]
    return [[part[i] for i in places] for part in parts for places in cohorts([experiments[place] for place in part])]


def count_shards(experiments: Sequence[Experiment], *, device: str = "auto") -> int:
    """How many shards these experiments are worth on this machine."""
    if pick_device(device).type != "cpu":
        return 1
    first = experiments[0]
    dataset = load(first.dataset)
    batch = min(first.batch_size, first.images or len(dataset.train_labels))
    of_one = cost(first.student, image_shape=dataset.image_shape, classes=dataset.classes).multiplications
    return max(1, min(os.cpu_count() or 1, int(3 * len(experiments) * batch * of_one / WORTH)))
