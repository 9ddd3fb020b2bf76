"""Shards: one large cohort split over the cores of a machine.

Threads inside a product of matrices gain little where the matrices are small, and they wait for each other between any
two products. Whole students do not depend on each other: each core gets a part of them as a cohort of its own, a
*shard*. On two cores a step of 41 students of `mlp-30x2` took 9.9 ms as one cohort on one thread, 9.4 ms on two
threads, and 5.7 ms as two shards.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import torch

from distill_core.data.datasets import load
from distill_core.experiment import Experiment
from distill_core.machine import available_cores
from distill_core.models import cost
from distill_core.training.cohort import Cohort, cohorts
from distill_core.training.records import Record
from distill_core.training.run_data import pick_device

MIN_WORK = 1e8  # multiplications in a step of one shard; with less it would mostly wait for Python


def train_sharded(experiments: Sequence[Experiment], *, device: str = "auto") -> Iterator[Record]:
    """`cohort.train_cohort` on all cores."""
    for group in cohorts(experiments):
        for records in Shards([experiments[index] for index in group], device=device).steps():
            yield from ({**one, "experiment": group[one["experiment"]]} for one in records)


class Shards:
    """A cohort's experiments in training, as `Cohort` trains them, on several cores.

    The number of shards depends on the experiments and the machine, so that the numbers are the same each time; `threads`
    is how many of its cores train at once, fewer where other runs use the rest.
    """

    def __init__(
        self,
        experiments: Sequence[Experiment],
        *,
        device: str = "auto",
        count: int | None = None,
        threads: int | None = None,
        **options: object,
    ) -> None:
        self.experiments = tuple(experiments)
        self.groups = split_cohort(experiments, shards=count_shards(experiments, device=device) if count is None else count)
        self.shards = [Cohort([experiments[index] for index in group], device=device, **options) for group in self.groups]
        self.threads = max(1, min(threads or len(self.shards), len(self.shards)))

    @property
    def first(self) -> Experiment:
        """Any of the experiments: they have the same schedule."""
        return self.experiments[0]

    @property
    def done(self) -> int:
        """Epochs that every shard has finished, those of the networks before included."""
        return min(shard.done for shard in self.shards)

    @property
    def seconds(self) -> float:
        """How long they have trained."""
        return max(shard.seconds for shard in self.shards)

    @property
    def at_epoch_end(self) -> bool:
        """Whether every shard has used every image equally often."""
        return all(shard.at_epoch_end for shard in self.shards)

    def steps(self) -> Iterator[list[Record]]:
        """Train to the end; yields the records after each step of one shard, after each record of several.

        All shards have their records at the same steps, so they meet there, and at the end of each epoch.
        """
        if len(self.shards) == 1:
            yield from (self._indexed(0, records) for records in self.shards[0].steps())
            return
        running = [shard.steps() for shard in self.shards]
        with ThreadPoolExecutor(self.threads, initializer=_one_thread) as pool:
            while True:
                parts = list(pool.map(_next_records, running, self.shards))
                if parts[0] is None:
                    return
                yield [one for number, records in enumerate(parts) for one in self._indexed(number, records)]

    def validate(self) -> list[float]:
        """Train to the end without reading the test images; the accuracy of each experiment's student on the validation images.

        Of a text it is the bits a character on its held-out stretch.
        """
        for _ in self.steps():
            if self.done == self.first.all_epochs:  # the step after the last is the results
                break
        found: dict[int, float] = {}
        for shard, group in zip(self.shards, self.groups, strict=True):
            accuracies = shard.validate()
            found |= {index: accuracies[shard.pair(one)[0]] for index, one in zip(group, shard.experiments, strict=True)}
        return [found[index] for index in range(len(self.experiments))]

    def _indexed(self, number: int, records: list[Record]) -> list[Record]:
        return [{**one, "experiment": self.groups[number][one["experiment"]]} for one in records]

    def state(self) -> bytes:
        """What `restored` needs to go on with the same numbers; after a finished epoch."""
        states = [shard.state() for shard in self.shards]
        return json.dumps([len(state) for state in states]).encode() + b"\n" + b"".join(states)

    @property
    def state_bytes(self) -> int:
        """The size of `state()`, roughly: weights, and the optimizer's state of each."""
        own = sum(shard.optimizer.weights.nbytes * len(shard.optimizer.state) for shard in self.shards)
        return own * (1 + len(self.first.earlier))

    @classmethod
    def restored(cls, experiments: Sequence[Experiment], state: bytes, **options: object) -> Shards:
        """The shards whose `state()` it is, as many as there were then."""
        head, states = state.split(b"\n", 1)
        sizes = json.loads(head)
        shards = cls(experiments, count=len(sizes), **options)
        for shard, size in zip(shards.shards, sizes, strict=True):
            shard.restore(states[:size])
            states = states[size:]
        return shards

    def artefacts(self) -> dict[str, bytes]:
        """Those of the first experiment."""
        return self._of_first.artefacts()

    def texts(self) -> dict[str, bytes]:
        """The same of the texts that its networks have written so far."""
        return self._of_first.texts()

    @property
    def _of_first(self) -> Cohort:
        return next(shard for shard, group in zip(self.shards, self.groups, strict=True) if 0 in group)


def _one_thread() -> None:
    """A shard has its core to itself. Both settings belong to the thread."""
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)


def _next_records(steps: Iterator[list[Record]], shard: Cohort) -> list[Record] | None:
    """The next records of a shard; none at the end of an epoch without a record; None after the last."""
    for records in steps:
        if records or shard.at_epoch_end:
            return records
    return None


def split_cohort(experiments: Sequence[Experiment], *, shards: int) -> list[list[int]]:
    """The indices of experiments that can be one cohort, in up to `shards` cohorts of nearly the same size.

    Whole seeds where they divide evenly, for students of a seed share their images and their baseline; otherwise each
    shard gets a part of every seed's students, or there are as many shards as a seed has students.
    """
    by_seed: dict[int, list[int]] = defaultdict(list)
    for index, experiment in enumerate(experiments):
        by_seed[experiment.seed].append(index)
    groups, smallest = list(by_seed.values()), min(map(len, by_seed.values()))
    if len(groups) % shards == 0 or smallest < shards:
        parts = [[index for group in groups[number::shards] for index in group] for number in range(min(shards, len(groups)))]
    else:
        parts = [[index for group in groups for index in group[number::shards]] for number in range(shards)]
    return [[part[i] for i in indices] for part in parts for indices in cohorts([experiments[index] for index in part])]


def count_shards(experiments: Sequence[Experiment], *, device: str = "auto") -> int:
    """How many shards these experiments are worth on this machine."""
    if pick_device(device).type != "cpu":
        return 1
    first = experiments[0]
    dataset = load(first.dataset)
    batch = min(first.batch_size, first.images or len(dataset.train_labels))
    of_one = cost(first.student, image_shape=dataset.image_shape, classes=dataset.classes).multiplications
    return max(1, min(available_cores(), int(3 * len(experiments) * batch * of_one / MIN_WORK)))
