"""Training one student with its teacher, and its baseline without, step by step beside each other.

This is the loop to read. A cohort (`cohort.py`) trains many students at once and is tested against it, number by number.

`train` is a generator of plain records. A page, a test or a notebook follows a run by asking for the next record; to
stop a run is to stop asking.
"""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from distill_core import analysis, students, teachers
from distill_core.batch import Batch
from distill_core.experiment import Experiment
from distill_core.objectives import objective, peers_of
from distill_core.precision import products
from distill_core.text_objectives import method_of
from distill_core.training.initial import MEMBERS, first_layer, initial_regressor, initial_student
from distill_core.training.own_text import is_own, written_by_students
from distill_core.training.records import TEACHER, Record, logged_measures, record, result
from distill_core.training.run_data import Inputs, RunData, load_run_data
from distill_core.training.schedule import Schedule, make_optimizer


def train(experiment: Experiment, *, device: str = "auto", dtype: torch.dtype = torch.float32) -> Iterator[Record]:
    """One race. Yields a record for the student and one for the baseline at each of `Schedule.log_steps`, then the result.

    A teacher `self` is trained before them, with labels only. Assistants follow, one after another: each is then the teacher
    of the next. All of them have records of their own.
    """
    started = time.perf_counter()
    data = load_run_data([experiment], device=device, dtype=dtype)
    if experiment.teacher == teachers.SELF:
        stage = replace(experiment, assistants=()).before
        own = load_run_data([stage], device=device, dtype=dtype)
        (teacher,) = yield from train_members(stage, own, [TEACHER], started)
        data = replace(data.with_teachers([teacher.network]), teacher_test_logits=teacher.test_logits.unsqueeze(0))
    assistants = []
    for number, model in enumerate(experiment.assistants, start=1):
        stage = replace(experiment, student=model, assistants=())
        (assistant,) = yield from train_members(stage, data, [f"assistant-{number}"], started)
        assistants.append({"name": model, **assistant.scores(data)})
        data = data.with_teachers([assistant.network])
    learners = yield from train_members(experiment, data, MEMBERS, started)
    scores = {learner.member: learner.scores(data) for learner in learners}
    correct = {learner.member: data.correct(learner.test_logits) for learner in learners}
    yield result(experiment, data, seconds=time.perf_counter() - started, scores=scores, correct=correct, assistants=assistants)


def train_members(experiment: Experiment, data: RunData, members: Sequence[str], started: float) -> Generator[Record, None, list[Learner]]:
    """Train the members side by side, with peers if the method has any; yields their records, returns them trained."""
    learners = make_learners(experiment, data, members)
    data = replace(data, whole_pixels=any(learner.first_layer for learner in learners.values()))
    schedule, method = Schedule(experiment, data.indices.shape[1], len(data.dataset.test_labels)), experiment.configured_method
    logged = [learners[member] for member in members]
    step = 0
    yield from log(logged, data, schedule, step, started)
    for epoch in range(experiment.epochs):
        for indices in data.batches(epoch):
            inputs = data.get_batch(indices, step)
            own = (
                {name: one.write(data, inputs, step) for name, one in learners.items() if name != "baseline"}
                if is_own(method, step)
                else {}
            )
            train_step(learners, inputs, own, learning_rate=schedule.learning_rate(step), progress=schedule.progress(step))
            step += 1
            if step in schedule.log_steps:
                yield from log(logged, data, schedule, step, started)
    return logged


def train_step(
    learners: dict[str, Learner], inputs: Inputs, own: dict[str, Inputs] | None = None, *, learning_rate: float, progress: float
) -> None:
    """One step of all networks on one batch, or on the `own` text of those that have written one."""
    own = own or {}
    for name, learner in learners.items():
        learner.forward(own.get(name, inputs).images[0])  # all of them before any of them changes
    for name, learner in learners.items():
        peers = [learners[peer].logits.detach() for peer in learner.peers]
        learner.update(own.get(name, inputs), peers, learning_rate=learning_rate, progress=progress, counts=not own)


def log(learners: Sequence[Learner], data: RunData, schedule: Schedule, step: int, started: float) -> Iterator[Record]:
    """A record of each learner after `step` steps."""
    for learner in learners:
        measured = learner.test(data) if schedule.log_steps[step] == "test" else {}
        seconds, epoch = time.perf_counter() - started, step / schedule.steps_per_epoch
        measured = {name: value for name, value in measured.items() if name in logged_measures(learner.method, learner.member)}
        place = {"step": step, "epoch": epoch, "seconds": seconds, "of_text": data.dataset.is_text}
        yield record(learner.member, **place, **learner.mean_losses(), **measured)


class Learner:
    """One network in training: its weights, its optimizer, and its raw losses since the last record."""

    def __init__(self, experiment: Experiment, data: RunData, member: str) -> None:
        self.experiment, self.member, self.method = experiment, member, experiment.configured_method
        # channels_last makes convolutions on a CPU one and a half times as fast.
        network = initial_student(experiment, data.dataset, member=member)
        self.network = network.to(data.device, data.dtype, memory_format=torch.channels_last)
        teacher = data.teachers[0].network if data.teachers else None
        self.memory_format = teachers.memory_format(network)
        self.constraint = students.Constraint(experiment, dict(self.network.named_parameters()))
        self.products, self.first_layer = products(experiment.precision), first_layer(experiment, data, self.network)
        self.regressor = initial_regressor(experiment, data, self.network, teacher)
        self.optimizer = make_optimizer(experiment, [*self.network.parameters(), *(self.regressor.parameters() if self.regressor else ())])
        self.peers = peers_of(member, self.method.peers)
        self.sums: dict[str, Tensor] = {}
        self.examples: dict[str, int] = {}
        self.validated: float | None = None

    def forward(self, images: Tensor) -> None:
        """Compute the logits `(B, C)` and the output of each block for a batch `(B, D, H, W)`.

        Of windows `(B, L)` every position is an example: their logits `(B, L, V)` become `(B * L, V)`.
        """
        first_layer = self.first_layer if images.dtype == torch.bfloat16 else None  # of whole pixels
        with self.products:
            logits, self.features = self.constraint.forward(self.network, images.to(memory_format=self.memory_format), first_layer)
        self.logits = logits.flatten(0, -2)

    def write(self, data: RunData, inputs: Inputs, step: int) -> Inputs:
        """The batch that this network writes itself, graded by the teacher."""
        stacked = {name: weight.detach().unsqueeze(0) for name, weight in self.network.named_parameters()}
        with torch.no_grad():
            text = written_by_students(self.network, stacked, inputs.images, seeds=[self.experiment.seed], step=step)
        return data.graded(text)

    def update(self, inputs: Inputs, peer_logits: list[Tensor], *, learning_rate: float, progress: float, counts: bool = True) -> None:
        """One step of the optimizer on the batch of the last `forward`; `counts`: whether its losses are recorded."""
        batch = Batch(
            student_logits=self.logits,
            teacher_logits=inputs.teacher_logits[0].flatten(0, -2),
            labels=inputs.labels[0].flatten(),
            alpha=0.0 if inputs.is_own else self.experiment.alpha,
            temperature=self.experiment.temperature,
            labels_only=self.member == "baseline",
            unlabelled=inputs.rows(inputs.unlabelled),
            progress=progress,
            student_features=self.features,
            teacher_features=[feature[0] for feature in inputs.teacher_features],
            regressor=self.regressor,
            peer_logits=torch.stack(peer_logits) if peer_logits else None,
        )
        total, terms = objective(self.method, batch)
        self.optimizer.param_groups[0]["lr"] = learning_rate
        self.optimizer.zero_grad()
        total.backward()
        if self.constraint.masks:
            self.constraint.keep_zeros({name: weight.grad for name, weight in self.network.named_parameters()})
        self.optimizer.step()
        for name, term in terms.items() if counts else ():
            self.sums[name] = self.sums.get(name, 0.0) + term.detach() * inputs.examples(name)
            self.examples[name] = self.examples.get(name, 0) + inputs.examples(name)

    def mean_losses(self) -> dict[str, float]:
        """Raw losses, averaged over the examples since the last call."""
        logged = logged_measures(self.method, self.member)
        means = {name: float(total) / self.examples[name] for name, total in self.sums.items() if name in logged}
        self.sums, self.examples = {}, {}
        return means

    def test(self, data: RunData) -> dict[str, float]:
        """Test accuracy, agreement with the teacher, and the accuracy on the validation images if there are any; of a text bits."""
        network = self.constraint.applied(self.network)
        self.test_logits = teachers.logits(network, data.dataset, data.dataset.test_images)
        measured = {
            **analysis.score(self.test_logits, data.dataset),
            "agreement": analysis.agreement(self.test_logits, data.teacher_test_logits[0]),
        }
        if self.experiment.validation:
            logits = teachers.logits(network, data.dataset, data.validation_images[0])
            self.validated = analysis.score_on(logits, data.validation_labels[0], data.dataset)
            measured[analysis.measure_of(data.dataset).validation] = self.validated
        return measured

    def scores(self, data: RunData) -> dict:
        """What a result contains of it, from its last test: the last record of a race is one."""
        return data.scores(self.experiment, self.test_logits, validated=self.validated)


def make_learners(experiment: Experiment, data: RunData, members: Sequence[str]) -> dict[str, Learner]:
    """The members and the student's peers, each with its initial weights, by their names."""
    names = [*members, *peers_of("student", method_of(experiment.method).peers)]
    return {name: Learner(experiment, data, name) for name in names}
