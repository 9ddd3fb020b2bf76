"""Training: a student with a teacher and its baseline without, step by step beside each other.

`train` is a generator of plain records. Whoever follows a run (a page, a test, a notebook) asks for the next record;
to stop a run is to stop asking.
"""

from __future__ import annotations

import functools
import math
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass

import torch
from torch import Tensor

from distill_core import analysis, datasets, models, teachers
from distill_core.datasets import Dataset, Progress, seeded
from distill_core.experiment import Experiment
from distill_core.objectives import METHODS
from distill_core.teachers import Teacher

Record = dict  # {"event": "record", "member": "student" | "baseline", "epoch": ..., ...}


def train(experiment: Experiment, *, device: str = "auto", dtype: torch.dtype = torch.float32) -> Iterator[Record]:
    """One race. Yields a record for the student and one for the baseline at every milestone, at last the result."""
    yield from _race(experiment, material(experiment, device=device, dtype=dtype))


def _race(experiment: Experiment, given: Material) -> Iterator[Record]:
    started = time.perf_counter()
    runners = {member: Runner(experiment, given, member == "baseline") for member in ("student", "baseline")}
    marks = milestones(experiment, len(given.indices), len(given.dataset.test_labels))

    def report(step: int, epoch: float) -> Iterator[Record]:
        for member, runner in runners.items():
            measured = runner.test(given) if marks[step] == "test" else {}
            yield record(member, step=step, epoch=epoch, seconds=time.perf_counter() - started, **runner.losses(), **measured)

    yield from report(0, 0.0)
    step, steps = 0, steps_per_epoch(experiment, len(given.indices))
    for epoch in range(experiment.epochs):
        for batch in order_of_images(experiment, given.indices, epoch).split(experiment.batch_size):
            images, soft = given.look(experiment, batch, step)
            for runner in runners.values():
                runner.learn(images, given.labels[batch], soft, learning_rate=learning_rate(experiment, step, steps * experiment.epochs))
            step += 1
            if step in marks:
                yield from report(step, step / steps)
    scores = {member: runner.scores(given) for member, runner in runners.items()}
    yield result(experiment, given, seconds=time.perf_counter() - started, **scores)


class Runner:
    """One network in a race: its weights, its optimizer, and the raw losses since the last record.

    The baseline learns from the labels only; the method's loss is measured for it all the same.
    """

    def __init__(self, experiment: Experiment, given: Material, labels_only: bool) -> None:
        self.experiment, self.labels_only = experiment, labels_only
        # channels_last makes convolutions on a CPU one and a half times as fast.
        self.network = initial_student(experiment, given.dataset).to(given.device, given.dtype, memory_format=torch.channels_last)
        self.optimizer = make_optimizer(experiment, self.network.parameters())
        self.sums: dict[str, Tensor] = {}
        self.examples = 0

    def learn(self, images: Tensor, labels: Tensor, teacher_logits: Tensor, *, learning_rate: float) -> None:
        """One step on one batch."""
        choices = {"alpha": self.experiment.alpha, "temperature": self.experiment.temperature}
        total, terms = METHODS[self.experiment.method](
            self.network(images.contiguous(memory_format=torch.channels_last)), teacher_logits, labels, **choices
        )
        self.optimizer.param_groups[0]["lr"] = learning_rate
        self.optimizer.zero_grad()
        (terms["hard_loss"] if self.labels_only else total).backward()
        self.optimizer.step()
        for name, term in terms.items():
            self.sums[name] = self.sums.get(name, 0.0) + term.detach() * len(labels)
        self.examples += len(labels)

    def losses(self) -> dict[str, float]:
        """Raw losses, averaged over the examples since the last record."""
        means = {name: float(total) / self.examples for name, total in self.sums.items()}
        self.sums, self.examples = {}, 0
        return means

    def test(self, given: Material) -> dict[str, float]:
        """Test accuracy and agreement with the teacher."""
        logits = teachers.logits(self.network, given.dataset, given.dataset.test_images)
        return {
            "test_accuracy": analysis.accuracy(logits, given.dataset.test_labels),
            "agreement": analysis.agreement(logits, given.teacher_test_logits),
        }

    def scores(self, given: Material) -> dict:
        """All that a result says of it."""
        return given.scores(self.experiment, teachers.logits(self.network, given.dataset, given.dataset.test_images))


# --- what a race is given, before its first step --------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Material:
    """Images, labels and soft targets of a run, on its device. Everything is found by example index."""

    dataset: Dataset
    indices: Tensor  # (n,) the transfer set
    labels: Tensor  # (N,) of the training images, with label noise
    teacher: Teacher
    teacher_logits: Tensor  # (N, C); NaN for images that this run never sees
    teacher_test_logits: Tensor  # (N_test, C)
    dtype: torch.dtype = torch.float32

    def scores(self, experiment: Experiment, logits: Tensor) -> dict:
        """What a result says of a student with these test logits `(N_test, C)`."""
        size = models.count_parameters(experiment.student, image_shape=self.dataset.image_shape, classes=self.dataset.classes)
        return self._scores(logits, parameters=size)

    @functools.cached_property
    def teacher_scores(self) -> dict:
        """The same of the teacher."""
        return self._scores(self.teacher_test_logits, parameters=self.teacher.card.parameters)

    def _scores(self, logits: Tensor, *, parameters: int) -> dict:
        common = {"labels": self.dataset.test_labels, "teacher_logits": self.teacher_test_logits, "classes": self.dataset.classes}
        return analysis.scores(logits, parameters=parameters, **common)

    @property
    def device(self) -> torch.device:
        """Where the run happens."""
        return self.indices.device

    def pixels(self, indices: Tensor) -> Tensor:
        """The training images at `indices`, of any shape, as a network sees them: `(*indices, D, H, W)`."""
        images = self.dataset.train_images.index_select(0, indices.flatten())  # for bytes, 15 times as fast as indexing
        pixels = self.dataset.pixels(images).view(*indices.shape, *images.shape[1:])
        return pixels if pixels.dtype == self.dtype else pixels.to(self.dtype)

    def look(self, experiment: Experiment, indices: Tensor, step: int) -> tuple[Tensor, Tensor]:
        """The images at `indices` `(B,)` as the student sees them in this step, and the teacher's logits `(B, C)` for them."""
        if experiment.augmentation == "none":
            return self.pixels(indices), self.teacher_logits[indices]
        seen = augment(self.dataset.train_images[indices], generator=seeded(experiment.seed, "augmentation", step))
        pixels = self.dataset.pixels(seen).to(self.dtype)
        if experiment.augmentation == "fixed":
            return pixels, self.teacher_logits[indices]
        return pixels, teachers.logits(self.teacher.network, self.dataset, seen).to(self.dtype)


def augment(images: Tensor, *, generator: torch.Generator) -> Tensor:
    """Each image `(N, D, H, W)` moved by up to two pixels (one where it is small); coloured ones are mirrored half the time."""
    moved = datasets.jitter(images, 2 if images.shape[-1] >= 16 else 1, generator)
    return datasets.mirror(moved, generator) if images.shape[1] == 3 else moved


def prepare(experiment: Experiment, *, device: str = "auto") -> Progress:
    """Bring the data and the teacher to this machine where they are missing; yields what is being done."""
    yield from datasets.fetch(experiment.dataset)
    yield from teachers.prepare_teacher(datasets.load(experiment.dataset), experiment.teacher, device=pick_device(device))


def material(experiment: Experiment, *, device: str = "auto", dtype: torch.dtype = torch.float32) -> Material:
    """What the experiment's choices give: the transfer set, its labels, and the teacher's logits for it, computed once."""
    # What Adam remembers of a unit that died falls below the smallest normal number, where a CPU takes a hundred times as
    # long: epochs of mlp-800x2 came to take 13 s instead of 6.5 s. Such numbers are 0 from here on.
    torch.set_flush_denormal(True)
    for _ in prepare(experiment, device=device):
        pass
    place = pick_device(device)
    dataset = datasets.load(experiment.dataset).to(place)
    choice = {"images": experiment.images, "hide_classes": experiment.hide_classes, "seed": experiment.seed}
    indices = datasets.choose_images(dataset.train_labels, **choice)
    noise = {"label_noise": experiment.label_noise, "classes": dataset.classes, "seed": experiment.seed}
    labels = datasets.flip_labels(dataset.train_labels, **noise)
    teacher = teachers.load_teacher(dataset, experiment.teacher, device=place)
    soft = teachers.teacher_logits(teacher, dataset, part="train", indices=indices).to(dtype)
    every_test_image = torch.arange(len(dataset.test_labels), device=place)
    test = teachers.teacher_logits(teacher, dataset, part="test", indices=every_test_image)
    return Material(dataset, indices, labels, teacher, soft, test, dtype)


def pick_device(device: str) -> torch.device:
    """`auto` is the GPU where there is one."""
    if device not in ("auto", "cpu", "cuda"):
        raise ValueError(f"device '{device}' is not known; choose one of: auto, cpu, cuda")
    if device == "cuda" and not torch.cuda.is_available():
        raise ValueError("device 'cuda' is not on this machine; choose auto or cpu")
    return torch.device("cuda" if torch.cuda.is_available() and device != "cpu" else "cpu")


def initial_student(experiment: Experiment, dataset: Dataset) -> models.Network:
    """The untrained student: the seed alone sets its weights, so the baseline starts from the same."""
    return models.build(experiment.student, image_shape=dataset.image_shape, classes=dataset.classes, seed=experiment.seed)


def order_of_images(experiment: Experiment, indices: Tensor, epoch: int) -> Tensor:
    """The transfer set `(n,)` as it is seen in one epoch: set by the seed, so the baseline sees the same."""
    shuffle = torch.randperm(len(indices), generator=seeded(experiment.seed, "order", epoch))
    return indices[shuffle.to(indices.device)]


# --- the pace -------------------------------------------------------------------------------------------------------


def steps_per_epoch(experiment: Experiment, images: int) -> int:
    """Steps in which each image is seen once; the last batch may be smaller."""
    return math.ceil(images / experiment.batch_size)


def make_optimizer(experiment: Experiment, parameters) -> torch.optim.Optimizer:  # noqa: ANN001
    """Adam, or SGD with momentum 0.9; neither decays the weights."""
    if experiment.optimizer == "sgd":
        return torch.optim.SGD(parameters, lr=experiment.learning_rate, momentum=0.9, fused=True)
    return torch.optim.Adam(parameters, lr=experiment.learning_rate, fused=True)


def learning_rate(experiment: Experiment, step: int, steps: int) -> float:
    """The learning rate of one step. One-cycle rises in a line over the first 30 %, then falls in a line to nothing."""
    if experiment.schedule == "constant":
        return experiment.learning_rate
    done = (step + 1) / (steps + 1)
    return experiment.learning_rate * min(done / 0.3, (1 - done) / 0.7)


def milestones(experiment: Experiment, images: int, test_images: int) -> dict[int, str]:
    """At which steps there is a record: `"test"` measures on the test set, `"losses"` only tells the losses so far.

    Set by the experiment and never by the clock, so that the same run always tells the same. Long epochs are told in
    eighths, and the first of them is tested early: a curve should form at once. Where the transfer set is small, not
    every epoch is tested: testing takes no longer than training, except that there are ten tests at least.
    """
    steps, epochs = steps_per_epoch(experiment, images), experiment.epochs
    marks: dict[int, str] = {}
    if steps >= 64:
        marks |= {round(steps * eighth / 8): "losses" for eighth in range(1, 8 * epochs)}
        marks |= {round(steps * eighth / 8): "test" for eighth in (1, 2, 4)}
    marks |= {steps * epoch: "losses" for epoch in range(1, epochs)}
    tests = min(epochs, max(10, 3 * images * epochs // test_images))  # a training step costs three times a test's
    return marks | {steps * round(epochs * test / tests): "test" for test in range(tests + 1)}


# --- what is told ---------------------------------------------------------------------------------------------------


def record(member: str, *, step: int, epoch: float, seconds: float, **measured: float) -> Record:
    """One record; what was not measured at this step is None, and so is the loss of a run that diverged: NaN is no JSON."""
    finite = {name: value for name, value in measured.items() if math.isfinite(value)}
    told = {name: finite.get(name) for name in ("hard_loss", "soft_loss", "test_accuracy", "agreement")}
    return {"event": "record", "member": member, "epoch": round(epoch, 4), "step": step, "seconds": round(seconds, 4), **told}


def result(experiment: Experiment, given: Material, *, seconds: float, student: dict, baseline: dict) -> Record:
    """The last record of a race, from the `scores` of student and baseline."""
    return {
        "event": "result",
        "key": experiment.key,
        "experiment": asdict(experiment),
        "seconds": round(seconds, 4),
        "student": student,
        "baseline": baseline,
        "teacher": given.teacher_scores,
    }
