"""Training: a student with a teacher and its baseline without, step by step beside each other.

`train` is a generator of plain records. Whoever follows a run (a page, a test, a notebook) asks for the next record;
to stop a run is to stop asking.
"""

from __future__ import annotations

import functools
import math
import threading
import time
from collections.abc import Generator, Iterator, Sequence
from dataclasses import asdict, dataclass, replace

import torch
from torch import Tensor, nn

from distill_core import analysis, models, teachers
from distill_core.data import datasets
from distill_core.data.datasets import Dataset, Progress, seeded
from distill_core.experiment import Experiment
from distill_core.objectives import METHODS, Method
from distill_core.teachers import Teacher

Record = dict  # {"event": "record", "member": "student" | "baseline" | "assistant-1" ..., "epoch": ..., ...}
MEMBERS = ("student", "baseline")


def train(experiment: Experiment, *, device: str = "auto", dtype: torch.dtype = torch.float32) -> Iterator[Record]:
    """One race. Yields a record for the student and one for the baseline at every milestone, at last the result.

    Assistants are trained first, one after another; each then is the teacher of the next, and tells records of its own.
    """
    started = time.perf_counter()
    given = original = material(experiment, device=device, dtype=dtype)
    assistants = []
    for number, model in enumerate(experiment.assistants, start=1):
        stage = replace(experiment, student=model, assistants=())
        (runner,) = yield from _race(stage, given, (f"assistant-{number}",), started)
        assistants.append({"name": model, **runner.scores(given)})
        given = given.handed_on(runner.network)
    members = dict(zip(MEMBERS, (yield from _race(experiment, given, MEMBERS, started)), strict=True))
    scores = {member: runner.scores(given) for member, runner in members.items()}
    yield result(experiment, original, seconds=time.perf_counter() - started, scores=scores, assistants=assistants)


def _race(experiment: Experiment, given: Material, members: Sequence[str], started: float) -> Generator[Record, None, list[Runner]]:
    """Train the members beside each other; yields their records and returns them trained."""
    runners = [Runner(experiment, given, member) for member in members]
    peers = [Runner(experiment, given, f"peer-{number + 1}") for number in range(METHODS[experiment.method].peers)]
    marks = milestones(experiment, len(given.indices), len(given.dataset.test_labels))

    def report(step: int, epoch: float) -> Iterator[Record]:
        for runner in runners:
            measured = runner.test(given) if marks[step] == "test" else {}
            seconds = time.perf_counter() - started
            yield record(runner.member, step=step, epoch=epoch, seconds=seconds, **runner.losses(), **measured)

    yield from report(0, 0.0)
    step, steps = 0, steps_per_epoch(experiment, len(given.indices))
    for epoch in range(experiment.epochs):
        for batch in order_of_images(experiment, given.indices, epoch).split(experiment.batch_size):
            images, labels, *taught = given.look(experiment, batch, step)
            for runner in (*runners, *peers):
                runner.look(images)  # all of them before any of them changes
            for runner in (*runners, *peers):
                heard = [other.logits.detach() for other in ((runners[0], *peers) if runner in peers else peers) if other is not runner]
                pace = {
                    "learning_rate": learning_rate(experiment, step, steps * experiment.epochs),
                    "progress": step / (steps * experiment.epochs),
                }
                runner.learn(labels, *taught, heard, **pace)
            step += 1
            if step in marks:
                yield from report(step, step / steps)
    return runners


class Runner:
    """One network in a race: its weights, its optimizer, and the raw losses since the last record.

    The baseline learns from the labels only; the method's loss is measured for it all the same, where that has a meaning.
    """

    def __init__(self, experiment: Experiment, given: Material, member: str) -> None:
        self.experiment, self.member, self.method = experiment, member, METHODS[experiment.method]
        # channels_last makes convolutions on a CPU one and a half times as fast.
        network = initial_student(experiment, given.dataset, member=member)
        self.network = network.to(given.device, given.dtype, memory_format=torch.channels_last)
        self.regressor = initial_regressor(experiment, given, self.network)
        self.optimizer = make_optimizer(experiment, [*self.network.parameters(), *(self.regressor.parameters() if self.regressor else ())])
        self.sums: dict[str, Tensor] = {}
        self.examples = 0

    def look(self, images: Tensor) -> None:
        """Answer a batch `(B, D, H, W)`: the logits `(B, C)`, and what each block gives."""
        self.logits, self.features = self.network(images.contiguous(memory_format=torch.channels_last), features=True)

    def learn(
        self,
        labels: Tensor,
        teacher_logits: Tensor,
        teacher_features: list[Tensor] | None,
        heard: list[Tensor],
        *,
        learning_rate: float,
        progress: float,
    ) -> None:
        """One step on the batch that was looked at. `heard`: the logits of the peers."""
        choices = {"alpha": self.experiment.alpha, "temperature": self.experiment.temperature, "progress": progress}
        if teacher_features is not None:
            choices |= {"student_features": self.features, "teacher_features": teacher_features, "regressor": self.regressor}
        if heard:
            choices["peer_logits"] = torch.stack(heard)
        total, terms = self.method(self.logits, teacher_logits, labels, **choices)
        self.optimizer.param_groups[0]["lr"] = learning_rate
        self.optimizer.zero_grad()
        (terms["hard_loss"] if self.member == "baseline" else total).backward()
        self.optimizer.step()
        for name, term in terms.items():
            self.sums[name] = self.sums.get(name, 0.0) + term.detach() * len(labels)
        self.examples += len(labels)

    def losses(self) -> dict[str, float]:
        """Raw losses, averaged over the examples since the last record."""
        told = told_losses(self.method, self.member)
        means = {name: float(total) / self.examples for name, total in self.sums.items() if name in told}
        self.sums, self.examples = {}, 0
        return means

    def test(self, given: Material) -> dict[str, float]:
        """Test accuracy and agreement with the teacher."""
        self.test_logits = teachers.logits(self.network, given.dataset, given.dataset.test_images)
        return {
            "test_accuracy": analysis.accuracy(self.test_logits, given.dataset.test_labels),
            "agreement": analysis.agreement(self.test_logits, given.teacher_test_logits),
        }

    def scores(self, given: Material) -> dict:
        """All that a result says of it, from its last test: the last record of a race is one."""
        return given.scores(self.experiment, self.test_logits)


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
    teacher_in_train_mode: nn.Module | None = None  # the teacher with its dropout, for the method that leaves it on

    def scores(self, experiment: Experiment, logits: Tensor) -> dict:
        """What a result says of a student with these test logits `(N_test, C)`."""
        size = models.count_parameters(experiment.student, image_shape=self.dataset.image_shape, classes=self.dataset.classes)
        return self._scores(logits, parameters=size)

    @functools.cached_property
    def teacher_scores(self) -> dict:
        """The same of the teacher."""
        return self._scores(self.teacher_test_logits, parameters=self.teacher.parameters)

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

    def look(self, experiment: Experiment, indices: Tensor, step: int) -> tuple[Tensor, Tensor, Tensor, list[Tensor] | None]:
        """A batch, by its `indices` `(B,)`, in this step: the images as the student sees them, and their labels `(B,)`;
        the teacher's logits `(B, C)` for them, and its features, block by block, if the method looks at features.
        """
        seen = None
        if experiment.augmentation == "none":
            pixels = self.pixels(indices)
        else:
            seen = augment(self.dataset.train_images[indices], generator=seeded(experiment.seed, "augmentation", step))
            pixels = self.dataset.pixels(seen).to(self.dtype)
        if self.teacher_in_train_mode is not None:
            logits = self._ask_restless(pixels, experiment.seed, step)
        elif experiment.augmentation == "consistent":
            logits = teachers.logits(self.teacher.network, self.dataset, seen).to(self.dtype)
        else:
            logits = self.teacher_logits[indices]
        features = self.teacher_features(pixels) if METHODS[experiment.method].compares != "logits" else None
        return pixels, self.labels[indices], logits, features

    @torch.no_grad()
    def teacher_features(self, pixels: Tensor) -> list[Tensor]:
        """What each block of the teacher gives for a batch `(B, D, H, W)`: too much to keep for a whole data set."""
        dtype = next(self.teacher.network.parameters()).dtype
        _, features = self.teacher.network(pixels.to(dtype, memory_format=torch.channels_last), features=True)
        return [feature.to(self.dtype) for feature in features]

    @torch.no_grad()
    def _ask_restless(self, pixels: Tensor, seed: int, step: int) -> Tensor:
        """What the teacher says with its dropout on, which draws from the one generator that all shards share."""
        with _DROPOUT, torch.random.fork_rng():
            torch.manual_seed(_drawn(seed, "dropout", step))
            return self.teacher_in_train_mode(pixels.float()).to(self.dtype)

    def handed_on(self, network: nn.Module) -> Material:
        """The same images with another teacher: `network`, a student that was trained just before."""
        network = network.eval().requires_grad_(False).to(memory_format=torch.channels_last)
        teacher = Teacher(network, models.parameters(network), fingerprint="")
        soft = torch.full_like(self.teacher_logits, torch.nan)
        soft[self.indices] = teachers.logits(network, self.dataset, self.dataset.train_images[self.indices]).to(self.dtype)
        return replace(
            self, teacher=teacher, teacher_logits=soft, teacher_test_logits=teachers.logits(network, self.dataset, self.dataset.test_images)
        )


def augment(images: Tensor, *, generator: torch.Generator) -> Tensor:
    """Each image `(N, D, H, W)` moved by up to two pixels (one where it is small); coloured ones are mirrored half the time."""
    moved = datasets.random_shift(images, 2 if images.shape[-1] >= 16 else 1, generator)
    return datasets.random_flip(moved, generator) if images.shape[1] == 3 else moved


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
    labels = datasets.add_label_noise(dataset.train_labels, **noise)
    teacher = teachers.load_teacher(dataset, experiment.teacher, combine=experiment.combine, device=place)
    soft = teachers.teacher_logits(teacher, dataset, part="train", indices=indices).to(dtype)
    every_test_image = torch.arange(len(dataset.test_labels), device=place)
    test = teachers.teacher_logits(teacher, dataset, part="test", indices=every_test_image)
    teacher_in_train_mode = (
        teachers.in_training_mode(teacher, dataset, experiment.teacher) if METHODS[experiment.method].teacher_in_train_mode else None
    )
    return Material(dataset, indices, labels, teacher, soft, test, dtype, teacher_in_train_mode)


def pick_device(device: str) -> torch.device:
    """`auto` is the GPU where there is one."""
    if device not in ("auto", "cpu", "cuda"):
        raise ValueError(f"device '{device}' is not known; choose one of: auto, cpu, cuda")
    if device == "cuda" and not torch.cuda.is_available():
        raise ValueError("device 'cuda' is not on this machine; choose auto or cpu")
    return torch.device("cuda" if torch.cuda.is_available() and device != "cpu" else "cpu")


_DROPOUT = threading.Lock()


def _drawn(*names: int | str) -> int:
    """A seed of its own for something that a run draws."""
    return int(torch.randint(2**31, (), generator=seeded(*names)))


def initial_student(experiment: Experiment, dataset: Dataset, *, member: str = "student") -> models.Network:
    """The untrained student: the seed alone sets its weights, so the baseline starts from the same; peers and assistants do not."""
    seed = experiment.seed if member in MEMBERS else _drawn(experiment.seed, member)
    return models.build(experiment.student, image_shape=dataset.image_shape, classes=dataset.classes, seed=seed)


def initial_regressor(experiment: Experiment, given: Material, network: models.Network) -> nn.Module | None:
    """The untrained layer that the method wants to train along, if it wants one; the seed sets its weights."""
    make = METHODS[experiment.method].regressor
    if make is None:
        return None
    one = given.pixels(given.indices[:1])
    _, features = network(one, features=True)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(experiment.seed)
        return make(features, given.teacher_features(one)).to(given.device, given.dtype)


def told_losses(method: Method, member: str) -> tuple[str, ...]:
    """Which losses of a member mean something: a baseline has no regressor of its own, and no peers."""
    return ("hard_loss",) if member == "baseline" and (method.regressor or method.peers) else ("hard_loss", "soft_loss")


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


def result(experiment: Experiment, given: Material, *, seconds: float, scores: dict[str, dict], assistants: Sequence[dict] = ()) -> Record:
    """The last record of a race, from the `scores` of its members, and of its assistants if there were any."""
    return {
        "event": "result",
        "key": experiment.key,
        "experiment": asdict(experiment),
        "seconds": round(seconds, 4),
        **scores,
        "teacher": given.teacher_scores,
        **({"assistants": list(assistants)} if assistants else {}),
    }
