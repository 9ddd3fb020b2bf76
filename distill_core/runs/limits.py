"""Limits of what the lab takes, and estimates of what a run needs: work, time, memory, and the size of its saved state.

Widgets have limits of their own, but a link or a hand-made message can name any number: `check_limits` is for those.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from distill_core.runs import workers
from distill_core.runs.queue import SECONDS_A_TASK

if TYPE_CHECKING:
    from distill_core.experiment import Experiment
    from distill_core.runs.schema import Count
    from distill_core.runs.store import Store

MAX_EXPERIMENTS = {"race": 64, "sweep": 400, "puzzle": 64}
MAX_ACTIVE = 4  # queued or running, of one owner
MAX_ACTIVE_OF_ADDRESS = 60  # the same, of one address: a class may share one; DISTILL_PER_ADDRESS
MAX_QUEUED = 200
PAUSED_FACTOR = 3  # of each of these, so many times as many may be queued, running or paused
PAUSED_SECONDS = 86400.0  # after which a paused run is stopped
MAX_STORED = 2e9  # bytes of all runs with their files; DISTILL_STORED_GB
MAX_WORK = 1e15  # multiplications of a weight with a pixel; two cores do some 1e13 in a quarter of an hour
MAX_STATE = 512e6  # bytes of a paused run's state: it passes through the scheduler and the server
MAX_SNAPSHOT = 64e6  # bytes of a state that is saved while training; after a crash a larger run begins again
MAX_SECONDS = 900.0  # of a run; DISTILL_CAP
NETWORKS_SHARE = 0.75  # of a worker's memory; the rest is for torch, the data set and the teacher
TENSORS_OF_TRIPLES = 6  # cosines of all triples of a batch, and what their gradient needs
RATES = {
    "linear": 2e10,
    "mlp": 2e10,
    "cnn": 1e10,
    "resnet": 1e10,
    "gpt": 1e10,
    "gru": 3e9,
}  # multiplications a second in training, of no machine in particular
SECONDS_A_STEP = 5e-4  # that a step takes beside its multiplications


# --- limits ---------------------------------------------------------------------------------------------------------


def check_limits(experiments: Sequence[Experiment], *, kind: str = "race") -> None:
    """Raise `ValueError` if the experiments are more than one run may hold, or name a file that is not a data set."""
    if kind not in MAX_EXPERIMENTS:
        raise ValueError(f"kind '{kind}' is not known; choose one of: {', '.join(MAX_EXPERIMENTS)}")
    most = MAX_EXPERIMENTS[kind]
    if not 1 <= len(experiments) <= most:
        noun = "sweep" if kind == "sweep" else "race"
        raise ValueError(f"{len(experiments)} experiments cannot be one {noun}; give from 1 to {most}, for example fewer seeds")
    for one in experiments:
        _check_dataset(one.dataset)
    sizes = [_size(one) for one in experiments]
    work = sum(work for work, _ in sizes)
    if work > MAX_WORK:
        raise ValueError(
            f"the run would take {work:.1e} multiplications (images x epochs x weights x networks), the most is {MAX_WORK:.0e}; "
            "choose fewer images, epochs or seeds, or a smaller student"
        )
    memory, most = sum(memory for _, memory in sizes), max_memory()
    if memory > most:
        raise ValueError(
            f"the networks would need about {memory / 1e9:.0f} GB of memory, the most is {most / 1e9:.3g} GB on this machine; "
            "choose fewer seeds, a smaller student or a smaller batch"
        )


def check_precisions(experiments: Sequence[Experiment]) -> None:
    """Raise `ValueError` if this machine cannot train in the precision of one of the experiments."""
    if lower := {one.precision for one in experiments} - {"float32"}:
        from distill_core.precision import check_precision
        from distill_core.training.run_data import pick_device

        for precision in sorted(lower):
            check_precision(precision, pick_device("auto"))


def check_time(seconds: float) -> None:
    """Raise `ValueError` if a sweep that takes about so long would be stopped before its end."""
    most = max_seconds()
    if seconds > most:
        raise ValueError(
            f"the sweep would take about {seconds / 60:.0f} minutes, and {most / 60:.3g} is the most a run may take here; "
            "choose fewer cells, seeds, images or epochs, or set DISTILL_CAP to more seconds"
        )


def check_pausable(experiments: Sequence[Experiment]) -> None:
    """Raise `ValueError` if the state of these experiments is too large to be kept while the run is paused."""
    size = state_bytes(experiments)
    if size > MAX_STATE:
        raise ValueError(
            f"the state of this run has {size / 1e9:.1f} GB, and a run can be paused or stepped up to {MAX_STATE / 1e9:.3g} GB; "
            "train it without a pause, or choose fewer seeds or a smaller student"
        )


def check_queue(own: Count, of_address: Count, everyone: Count) -> None:
    """Raise `ValueError` if this owner, this address or everybody together has as many runs as the lab takes.

    A browser can change its token, but not its address.
    """
    if own.active >= MAX_ACTIVE:
        raise ValueError(f"you have {own.active} runs queued or running, and {MAX_ACTIVE} is the most; stop one or wait for its end")
    if own.unfinished >= PAUSED_FACTOR * MAX_ACTIVE:
        raise ValueError(
            f"you have {own.unfinished} runs queued, running or paused, and {PAUSED_FACTOR * MAX_ACTIVE} is the most; "
            "delete a paused one on the Runs page, or resume it"
        )
    most = max_of_address()
    if of_address.active >= most or of_address.unfinished >= PAUSED_FACTOR * most:
        raise ValueError(
            f"{of_address.unfinished} runs from the address of this computer are queued, running or paused, and "
            f"{most} active ones are the most; wait for the end of one, or let the server's owner set DISTILL_PER_ADDRESS to more"
        )
    if everyone.active >= MAX_QUEUED or everyone.unfinished >= PAUSED_FACTOR * MAX_QUEUED:
        raise ValueError(
            f"the queue is full: {everyone.active} runs wait or train and {everyone.unfinished - everyone.active} are paused, "
            f"{MAX_QUEUED} is the most, and {PAUSED_FACTOR * MAX_QUEUED} with the paused ones; try again later"
        )


def max_of_address() -> int:
    """How many runs of one address may be queued or running: `DISTILL_PER_ADDRESS`, or the limit of this file."""
    return int(os.environ.get("DISTILL_PER_ADDRESS") or MAX_ACTIVE_OF_ADDRESS)


def max_stored() -> float:
    """Bytes that all runs may take on the disk: `DISTILL_STORED_GB`, or the limit of this file."""
    return float(os.environ.get("DISTILL_STORED_GB") or MAX_STORED / 1e9) * 1e9


def max_seconds() -> float:
    """How long a run may train: `DISTILL_CAP`, or a quarter of an hour."""
    return float(os.environ.get("DISTILL_CAP") or MAX_SECONDS)


def max_memory() -> float:
    """Bytes that the networks of one run may take: a share of this machine's, or container's, memory for each worker."""
    from distributed.system import MEMORY_LIMIT  # the least of the machine's memory, cgroups and ulimit

    return NETWORKS_SHARE * MEMORY_LIMIT / workers.shape()[0]


def _check_dataset(dataset: str) -> None:
    """A browser may name a zip that was uploaded to the lab, and no other file of this machine."""
    from distill_core.data import datasets

    if dataset not in datasets.SOURCES and dataset not in (*datasets.kept_zips(), *datasets.kept_texts()):
        raise ValueError(f"the data set '{Path(dataset).name}' is not in this lab; upload the file again, or choose another data set")


# --- estimates ------------------------------------------------------------------------------------------------------


def estimate_seconds(experiments: Sequence[Experiment], *, factor: Callable[[Experiment], float] = lambda experiment: 1.0) -> float:
    """How long the experiments train and are tested, roughly: at the rates of RATES, times the `factor` of each on this machine."""
    return sum(_nominal_seconds(one, of=len(experiments)) * factor(one) for one in experiments)


def measured_factor(store: Store) -> Callable[[Experiment], float]:
    """The ratio of measured to nominal training time on this machine, of experiments with the same student and precision.

    It is the smallest of the last finished runs, because other programs slowed the others; 1 if there is none. A nominal time below
    SECONDS_A_TASK counts as that much: such a run takes most of its time for what the rates leave out.
    """

    @functools.cache
    def of(student: str, precision: str) -> float:
        finished = [run for run in store.list(text=student, status="finished", limit=5) if run.seconds > 1]
        nominal = [(run.seconds, _nominal_seconds_of_run(student, precision, run.experiments)) for run in finished]
        return min((took / max(SECONDS_A_TASK, seconds) for took, seconds in nominal if seconds), default=1.0)

    return lambda experiment: of(experiment.student, experiment.precision)


def _nominal_seconds(experiment: Experiment, *, of: int) -> float:
    """The time of one experiment at the rates of RATES; the `of` experiments of its run share the fixed cost of a step."""
    rate = RATES.get(experiment.student.split("-")[0], 1e10)
    return _steps(experiment) * SECONDS_A_STEP / of + (_size(experiment)[0] + _work_of_tests(experiment)) / rate


def _work_of_tests(experiment: Experiment) -> float:
    """Multiplications of all tests of student and baseline, a third of those of as many training images."""
    from distill_core.data import datasets
    from distill_core.training.schedule import Schedule

    source = datasets.SOURCES.get(experiment.dataset)
    test_images = source.test if source else 1000
    tests = list(Schedule(experiment, _images(experiment), test_images).log_steps.values()).count("test")
    return tests * test_images * sum(cost.multiplications for cost in _costs(experiment)[:2]) / 3


def state_bytes(experiments: Sequence[Experiment]) -> float:
    """The size of the largest state that the run saves: float32 weights, and what the optimizer keeps for each.

    Experiments that differ in alpha, temperature and seed only are in training at the same time, and those of a seed
    share a baseline; any others train before or after them.
    """
    networks: dict[Experiment, float] = {}  # parameters, by what trains together
    baselines: dict[Experiment, set[Experiment]] = {}
    for one in experiments:
        common = dataclasses.replace(one, alpha=1.0, temperature=1.0, seed=0)
        student, baseline, *others = (cost.parameters for cost in _costs(one))
        *between_others, between = _layers_between(one)
        shared = baselines.setdefault(common, set())
        new = dataclasses.replace(one.baseline, temperature=1.0) not in shared
        shared.add(dataclasses.replace(one.baseline, temperature=1.0))
        networks[common] = networks.get(common, 0.0) + student + between + new * (baseline + between) + sum(others + between_others)
    tensors = {"sgd": 2, "adam": 3}  # weights and momentum, or weights and two moments
    return max((4 * tensors[common.optimizer] * parameters for common, parameters in networks.items()), default=0.0)


@functools.lru_cache(maxsize=256)
def _nominal_seconds_of_run(student: str, precision: str, texts: tuple[str, ...]) -> float:
    """The nominal time of a run, whose experiments are JSON; 0 if one of them has another student or precision."""
    from distill_core.experiment import Experiment

    experiments = [Experiment.from_json(text) for text in texts]
    return estimate_seconds(experiments) if {(one.student, one.precision) for one in experiments} == {(student, precision)} else 0.0


def _steps(experiment: Experiment) -> int:
    return experiment.all_epochs * -(-_images(experiment) // experiment.batch_size)


def _images(experiment: Experiment) -> int:
    from distill_core.data import datasets

    source = datasets.SOURCES.get(experiment.dataset)
    return experiment.images or (source.train - experiment.validation if source else 1000)


def _costs(experiment: Experiment) -> list:
    """`models.Cost` of every network that trains: student, baseline, peers, then those that teach."""
    from distill_core import models
    from distill_core.text_objectives import method_of

    shape, classes = _shape(experiment)
    student, *earlier = (models.cost(name, image_shape=shape, classes=classes) for name in (experiment.student, *experiment.earlier))
    return [student] * (2 + method_of(experiment.method).peers) + earlier


def _layers_between(experiment: Experiment) -> list[int]:
    """Parameters of the layers that the method trains beside each earlier network and, last, the student, such as a regressor."""
    from distill_core import teachers
    from distill_core.text_objectives import method_of

    if method_of(experiment.method).make_regressor is None:
        return [0] * (1 + len(experiment.earlier))
    own_teacher = experiment.teacher == teachers.SELF  # which learns from labels only, without such a layer
    chain = [experiment.student if own_teacher else teachers.single(experiment.teacher).model, *experiment.assistants, experiment.student]
    return [0] * own_teacher + [
        _parameters_between(experiment.method, below, above, *_shape(experiment)) for above, below in itertools.pairwise(chain)
    ]


@functools.lru_cache(maxsize=64)
def _parameters_between(method: str, student: str, teacher: str, shape: tuple[int, int, int], classes: int) -> int:
    import torch

    from distill_core import models
    from distill_core.text_objectives import method_of

    networks = [models.build(name, image_shape=shape, classes=classes, seed=0) for name in (student, teacher)]
    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        layers = method_of(method).make_regressor(*(network(torch.zeros(1, *shape), features=True)[1] for network in networks))
    return sum(parameter.numel() for parameter in layers.parameters())


def _shape(experiment: Experiment) -> tuple[tuple[int, int, int], int]:
    """Shape of the images and number of classes; of an upload, the usual ones."""
    from distill_core.data import datasets
    from distill_core.data.texts import CHARACTER_WINDOW

    source = datasets.SOURCES.get(experiment.dataset)
    if source is None and datasets.is_text(experiment.dataset):
        return (CHARACTER_WINDOW,), 100
    return (source.image_shape, len(source.class_names)) if source else ((3, 32, 32), 10)


def _size(experiment: Experiment) -> tuple[float, float]:
    """Multiplications and bytes of one experiment, with its baseline, peers and assistants, rather too few than too many."""
    from distill_core.text_objectives import method_of

    method, costs, images = method_of(experiment.method), _costs(experiment), _images(experiment)
    steps = -(-images // experiment.batch_size)  # of an epoch, over which the images without labels are spread
    batch = min(experiment.batch_size, images) + experiment.unlabelled // steps
    work = (images + experiment.unlabelled) * experiment.epochs * sum(cost.multiplications for cost in costs)
    memory = sum(16 * cost.parameters + 4 * batch * cost.outputs for cost in costs)  # with gradients and moments
    memory += 2 * 16 * _layers_between(experiment)[-1]
    triples = 4 * (2 + method.peers) * TENSORS_OF_TRIPLES * batch**3 if method.max_batch else 0
    return work, memory + triples
