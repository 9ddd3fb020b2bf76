"""What a run trains on: images, labels and teacher logits by example index, on one device.

The data of one experiment and of many that differ in seed, alpha and temperature have the same form: S seeds, each with
its own transfer set and label noise. The images, the teacher and its logits are there once.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from torch import Tensor, nn

from distill_core import analysis, models, students, teachers
from distill_core.data import datasets
from distill_core.data.dataset import to_device
from distill_core.data.datasets import Dataset, Progress, seeded
from distill_core.data.unlabelled import NO_LABEL, NOISE, SAME, choose_unlabelled, images_from
from distill_core.experiment import Experiment
from distill_core.language_models import LanguageModel
from distill_core.precision import check_precision
from distill_core.teachers import Teacher
from distill_core.text_objectives import method_of
from distill_core.training.own_text import written_by_teacher


class Inputs(NamedTuple):
    """One batch of B images for each of S seeds, before any student gets it; of a text B windows of L tokens."""

    images: Tensor  # (S, B, D, H, W), normalised or as whole pixels, as the student gets them; (S, B, L) tokens
    labels: Tensor  # (S, B); (S, B, L)
    teacher_logits: Tensor  # (S, B, C); (S, B, L, V)
    teacher_features: list[Tensor]  # (S, B, ...) block by block; empty unless the method compares features
    unlabelled: int = 0  # of the B images, the last: their labels are -1; or windows that the teacher wrote
    is_own = False

    def rows(self, examples: int) -> int:
        """So many images are as many examples of a loss; so many windows are L times as many."""
        return examples * (self.labels.shape[2] if self.labels.dim() == 3 else 1)

    def examples(self, loss: str) -> int:
        """The number of images over which a loss is averaged: the hard loss over those with a label."""
        return self.labels.shape[1] - (self.unlabelled if loss == "hard_loss" else 0)


class OwnText(Inputs):
    """Windows that the students wrote: they have no hard loss."""

    is_own = True


@dataclass(frozen=True, eq=False)
class RunData:
    """The data of experiments that share everything but seed, alpha and temperature: one experiment for each of S seeds."""

    experiments: tuple[Experiment, ...]
    dataset: Dataset
    images: Tensor  # (N, D, H, W) uint8: the set's training images, and behind them those without labels that are not among them
    indices: Tensor  # (S, n) the transfer sets: images with labels
    unlabelled: Tensor  # (S, U) the images without labels
    validation: Tensor  # (S, v) the training images of the set that are held out; v may be 0
    labels: Tensor  # (S, N) with label noise; -1 for an image without a label
    teachers: tuple[Teacher, ...]  # one for all seeds, or one for each; none while the run has to train it
    teacher_logits: Tensor  # (1 or S, N, C); NaN for images that no transfer set contains
    teacher_test_logits: Tensor  # (1 or S, N_test, C), of the teacher that the experiment names
    teacher_parameters: int  # of the same
    dtype: torch.dtype = torch.float32
    teacher_in_train_mode: nn.Module | None = None  # for the method that leaves dropout on
    whole_pixels: bool = False  # whether students get whole numbers, see `precision.FirstLayer`

    # --- batches ----------------------------------------------------------------------------------------------------

    def batches(self, epoch: int) -> Iterator[Tensor]:
        """Example indices `(S, B)` of one epoch, batch by batch; the seed sets the order, so the baseline has the same.

        The images without labels are spread evenly over these batches, behind the labelled images of each: an epoch uses all
        of both once, and its labelled batches are those of a run without the others.
        """
        labelled = self._orders(self.indices, "order", epoch).split(self.experiments[0].batch_size, dim=1)
        if not self.unlabelled.shape[1]:
            return iter(labelled)
        others = self._orders(self.unlabelled, "unlabelled order", epoch).tensor_split(len(labelled), dim=1)
        return (torch.cat(parts, dim=1) for parts in zip(labelled, others, strict=True))

    def _orders(self, indices: Tensor, purpose: str, epoch: int) -> Tensor:
        """`(S, n)`: the indices of each seed in the order of one epoch."""
        orders = [order_of_images(one, own, epoch, purpose=purpose) for one, own in zip(self.experiments, indices, strict=True)]
        return torch.stack(orders)

    def get_batch(self, indices: Tensor, step: int) -> Inputs:
        """The batch of example indices `(S, B)` in this step: images, labels, and the teacher's outputs for them."""
        augmentation, unlabelled = self.experiments[0].augmentation, self._count_unlabelled(indices.shape[1])
        views = None if augmentation == "none" else self._augmented(indices, step, unlabelled)  # (S, B, D, H, W) uint8
        seen = self._raw(indices) if views is None else views
        images = teacher_images = self.dataset.whole_pixels(seen) if self.whole_pixels else self.dataset.inputs(seen, self.dtype)
        if self._teacher_runs and (augmentation == "fixed" or self.whole_pixels):
            # With fixed targets the teacher's outputs are those of the images as they are in the data set.
            teacher_images = self.dataset.inputs(self._raw(indices) if augmentation == "fixed" else seen, self.dtype)
        if self.teacher_in_train_mode is not None:
            logits = self._logits_in_train_mode(teacher_images, step)
        elif augmentation == "consistent" and self.teachers:
            logits = [teachers.logits(self._teacher_of(s).network, self.dataset, views[s]).to(self.dtype) for s in range(len(indices))]
        else:
            logits = [self.teacher_logits[s % len(self.teacher_logits)].index_select(0, own) for s, own in enumerate(indices)]
        if change := method_of(self.experiments[0].method).change_targets:
            logits = [change(own, seeded(one.seed, "targets", step)) for one, own in zip(self.experiments, logits, strict=True)]
        features = self._teacher_features(teacher_images) if method_of(self.experiments[0].method).compares != "logits" else []
        logits = logits[0].unsqueeze(0) if len(logits) == 1 else torch.stack(logits)  # a copy less for a run of one seed
        return Inputs(images, take(self.labels, indices), logits, features, unlabelled)

    def _count_unlabelled(self, size: int) -> int:
        """How many examples of a batch of this size have no label, or were written by the teacher: the last of them, see `batches`.

        Not counted in the batch itself, which on a GPU would wait for all that it computes. The last batch of an epoch, of fewer
        labelled examples than the others, has the fewest of these too.
        """
        if not self.unlabelled.shape[1]:
            return 0
        labelled, batch_size = self.indices.shape[1], self.experiments[0].batch_size
        batches = -(-labelled // batch_size)
        fewest, of_last = self.unlabelled.shape[1] // batches, labelled - (batches - 1) * batch_size
        return fewest if size == of_last + fewest else max(0, size - batch_size)

    def graded(self, text: Tensor) -> Inputs:
        """The batch of texts `(K, B, L + 1)` that K students wrote, with the teacher's logits for each position."""
        tokens = text[..., :-1]
        teachers_of = [self._teacher_of(number * len(self.experiments) // len(text)).network for number in range(len(text))]
        logits = [teachers.logits(network, self.dataset, own) for network, own in zip(teachers_of, tokens, strict=True)]
        return OwnText(tokens, text[..., 1:], torch.stack(logits).to(self.dtype), [])

    @property
    def same_at_every_step(self) -> bool:
        """Whether the batch of the same indices is the same at each step: nothing in it is drawn anew."""
        method = method_of(self.experiments[0].method)
        return self.experiments[0].augmentation == "none" and not method.change_targets and not method.teacher_in_train_mode

    def pixels(self, indices: Tensor) -> Tensor:
        """The images at `indices`, of any shape, normalised: `(*indices, D, H, W)`."""
        return self.dataset.inputs(self._raw(indices), self.dtype)

    def _raw(self, indices: Tensor) -> Tensor:
        """The images at `indices` as they are kept, in bytes."""
        images = self.images.index_select(0, indices.flatten())  # for bytes, 15 times as fast as indexing
        return images.view(*indices.shape, *images.shape[1:])

    def _augmented(self, indices: Tensor, step: int, unlabelled: int) -> Tensor:
        """Random views of the images at `indices`; those of the labelled images come first and do not depend on the others."""
        views = []
        for one, own in zip(self.experiments, indices, strict=True):
            generator, parts = seeded(one.seed, "augmentation", step), own.split([len(own) - unlabelled, unlabelled])
            views.append(torch.cat([augment(self.images[part], generator=generator) for part in parts if len(part)]))
        return torch.stack(views)

    # --- the teacher ------------------------------------------------------------------------------------------------

    @property
    def _teacher_runs(self) -> bool:
        """Whether the teacher runs in every step, because its outputs are too many to be stored, or change."""
        return self.teacher_in_train_mode is not None or method_of(self.experiments[0].method).compares != "logits"

    def _teacher_of(self, seed_number: int) -> Teacher:
        return self.teachers[seed_number % len(self.teachers)]

    @torch.no_grad()
    def _teacher_features(self, images: Tensor) -> list[Tensor]:
        """The output of each of the teacher's blocks for images `(S, B, D, H, W)`."""
        groups = images.split(len(images) // len(self.teachers))  # the seeds of each teacher
        found = [block_outputs(teacher.network, group.flatten(0, 1)) for teacher, group in zip(self.teachers, groups, strict=True)]
        return [torch.cat(parts).unflatten(0, images.shape[:2]).to(self.dtype) for parts in zip(*found, strict=True)]

    @torch.no_grad()
    def _logits_in_train_mode(self, images: Tensor, step: int) -> list[Tensor]:
        """Teacher logits with dropout, which draws from the one generator that all threads share."""
        logits = []
        for one, own in zip(self.experiments, images, strict=True):
            with _GLOBAL_GENERATOR, torch.random.fork_rng():
                torch.manual_seed(draw_seed(one.seed, "dropout", step))
                logits.append(self.teacher_in_train_mode(own.float()).to(self.dtype))
        return logits

    def with_teachers(self, networks: Sequence[nn.Module]) -> RunData:
        """The same images with other teachers, which have just been trained, one for each seed.

        Agreement is still measured with `teacher_test_logits`: those of the teacher that the experiment names.
        """
        found, logits = [], []
        for network, own in zip(networks, torch.cat([self.indices, self.unlabelled], dim=1), strict=True):
            network = network.eval().requires_grad_(False).to(memory_format=torch.channels_last)
            found.append(Teacher(network, models.parameters(network), fingerprint=""))
            logits.append(torch.full_like(self.teacher_logits[0], torch.nan))
            logits[-1][own] = teachers.logits(network, self.dataset, self.images[own]).to(self.dtype)
        return replace(self, teachers=tuple(found), teacher_logits=torch.stack(logits))

    # --- scores -----------------------------------------------------------------------------------------------------

    @functools.cached_property
    def validation_images(self) -> Tensor:
        """The held-out images of each seed, `(S, v, D, H, W)` uint8; of a text the windows of a stretch, `(S, v, L)`."""
        return self.dataset.train_images[self.validation]

    @functools.cached_property
    def validation_labels(self) -> Tensor:
        """Their labels `(S, v)`, with label noise; of a text the next tokens `(S, v, L)`."""
        return self.dataset.train_labels[self.validation] if self.dataset.is_text else self.labels.gather(1, self.validation)

    def number_of(self, experiment: Experiment) -> int:
        """The place of an experiment's seed among the S seeds."""
        return [one.seed for one in self.experiments].index(experiment.seed)

    def scores(self, experiment: Experiment, logits: Tensor, *, validated: float | None) -> dict:
        """What a result contains of an experiment's student with these test logits `(N_test, C)`."""
        size = students.count_parameters(experiment, self.dataset)
        teacher = self.teacher_test_logits[self.number_of(experiment) % len(self.teacher_test_logits)]
        return {**self._scores(logits, teacher, parameters=size), analysis.measure_of(self.dataset).validation: validated}

    @functools.cached_property
    def teacher_scores(self) -> list[dict]:
        """The same of the teacher: one for all seeds, or one for each."""
        return [self._scores(logits, logits, parameters=self.teacher_parameters) for logits in self.teacher_test_logits]

    def _scores(self, logits: Tensor, teacher_logits: Tensor, *, parameters: int) -> dict:
        if self.dataset.is_text:
            return analysis.text_scores(logits, self.dataset, teacher_logits, parameters=parameters)
        common = {"labels": self.dataset.test_labels, "teacher_logits": teacher_logits, "classes": self.dataset.classes}
        return analysis.scores(logits, parameters=parameters, **common)

    def correct(self, logits: Tensor) -> Tensor:
        """Which test images are classified correctly: `(..., N_test)`, from logits `(..., N_test, C)`.

        Of a text: the bits a character of each test window, from logits `(..., N_test, L, V)`.
        """
        if self.dataset.is_text:
            return analysis.bits_of_windows(logits, self.dataset)
        return logits.argmax(dim=-1) == self.dataset.test_labels

    @property
    def device(self) -> torch.device:
        """Where the run trains."""
        return self.indices.device


def take(labels: Tensor, indices: Tensor) -> Tensor:
    """Of labels `(S, N)`, or of next tokens `(S, N, L)`, the examples at `indices` `(S, B)` of each seed."""
    if labels.dim() == 2:
        return labels.gather(1, indices)
    return torch.stack([of_seed.index_select(0, own) for of_seed, own in zip(labels, indices, strict=True)])


_GLOBAL_GENERATOR = threading.Lock()


def prepare(experiment: Experiment, *, device: str = "auto") -> Progress:
    """Download the data, train the teacher and compute its test logits, where they are missing; yields the step and its fraction.

    Raises `ValueError` first where the device cannot train in the experiment's precision.
    """
    found = pick_device(device)
    check_precision(experiment.precision, found)
    for name in (experiment.dataset, experiment.unlabelled_from):
        if name not in (SAME, NOISE):
            yield from datasets.fetch(name)
    if experiment.teacher == teachers.SELF:
        return
    dataset = datasets.load(experiment.dataset)
    yield from teachers.prepare_teacher(dataset, experiment.teacher, device=found)
    teacher = teachers.load_teacher(dataset, experiment.teacher, combine=experiment.combine, device=found)
    yield from teachers.prepare_test_logits(teacher, dataset.to(found), experiment.teacher)


def load_run_data(experiments: Sequence[Experiment], *, device: str = "auto", dtype: torch.dtype = torch.float32) -> RunData:
    """The data of these experiments, one for each seed: transfer sets, labels, and the teacher's logits, computed once.

    Raises `ValueError` with one sentence where the data or the teacher cannot be had.
    """
    # Adam's moments of a unit that is never active fall below the smallest normal number, where a CPU takes a hundred
    # times as long: an epoch of mlp-800x2 took 13 s instead of 6.5 s. Such numbers are 0 from here on.
    torch.set_flush_denormal(True)
    # On a GPU a convolution in float32 would otherwise round its factors to 10 bits and add up its gradient in any order.
    torch.backends.cudnn.allow_tf32, torch.backends.cudnn.deterministic = False, True
    first, device_found = experiments[0], pick_device(device)
    for _ in prepare(first, device=device):
        pass
    dataset = datasets.load(first.dataset).to(device_found)
    classes, held_out = dataset.example_labels, {"validation": first.validation, "in_order": dataset.is_text}
    choice = {"images": first.images, "hide_classes": first.hide_classes, **held_out}
    indices = torch.stack([datasets.choose_images(classes, **choice, seed=one.seed) for one in experiments])
    validation = torch.stack([datasets.choose_validation_images(classes, **held_out, seed=one.seed) for one in experiments])
    noise = {"label_noise": first.label_noise, "classes": dataset.classes, "hide_classes": first.hide_classes}
    labels = torch.stack([datasets.add_label_noise(dataset.train_labels, **noise, seed=one.seed) for one in experiments])
    images, unlabelled = dataset.train_images, indices[:, :0]
    if first.unlabelled:
        images, unlabelled = _images_without_labels(experiments, dataset, torch.cat([indices, validation], dim=1))
        labels = torch.nn.functional.pad(labels, (0, len(images) - labels.shape[1])).scatter(1, unlabelled, NO_LABEL)
    common = {"experiments": tuple(experiments), "dataset": dataset, "dtype": dtype}
    common |= {"images": images, "indices": indices, "unlabelled": unlabelled, "validation": validation, "labels": labels}
    if dataset.is_text:
        return _text_run_data(common, device_found)
    if first.teacher == teachers.SELF:
        return RunData(**common, **_no_teacher_yet(first, dataset, images, dtype))
    teacher = teachers.load_teacher(dataset, first.teacher, combine=first.combine, device=device_found)
    own = torch.cat([indices, unlabelled], dim=1).unique()
    logits = teachers.teacher_logits(teacher, dataset, part="train", indices=own[own < len(dataset.train_labels)])
    others = [teachers.logits(teacher.network, dataset, part) for part in images[len(logits) :].split(max(1, first.unlabelled))]
    test_indices = torch.arange(len(dataset.test_labels), device=device_found)
    test_logits = teachers.teacher_logits(teacher, dataset, part="test", indices=test_indices)
    in_train_mode = teachers.in_training_mode(teacher, dataset, first.teacher) if method_of(first.method).teacher_in_train_mode else None
    return RunData(
        **common,
        teachers=(teacher,),
        teacher_logits=torch.cat([logits, *others]).to(dtype).unsqueeze(0),
        teacher_test_logits=test_logits.unsqueeze(0),
        teacher_parameters=teacher.parameters,
        teacher_in_train_mode=in_train_mode,
    )


def _text_run_data(common: dict, device: torch.device) -> RunData:
    """The same of a text, of which only the windows that a seed has are kept: a window has as many teacher logits as L images."""
    first, dataset, dtype = common["experiments"][0], common["dataset"], common["dtype"]
    own = common["indices"].unique()  # (n,) of all seeds
    indices = torch.searchsorted(own, common["indices"])
    common |= {"images": dataset.train_images[own], "labels": common["labels"][:, own], "indices": indices}
    if first.teacher == teachers.SELF:
        return RunData(**common, **_no_teacher_yet(first, dataset, common["images"], dtype))
    teacher = teachers.load_teacher(dataset, first.teacher, combine=first.combine, device=device)
    logits = teachers.teacher_logits(teacher, dataset, part="train", indices=own)[own]
    if method_of(first.method).teacher_writes:
        common, written = _with_written(common, teacher.network)
        logits = torch.cat([logits.float(), written])
    test = teachers.teacher_logits(teacher, dataset, part="test", indices=torch.arange(len(dataset.test_labels), device=device))
    return RunData(
        **common,
        teachers=(teacher,),
        teacher_logits=logits.to(dtype).unsqueeze(0),
        teacher_test_logits=test.to(dtype).unsqueeze(0),
        teacher_parameters=teacher.parameters,
    )


def _with_written(common: dict, network: LanguageModel) -> tuple[dict, Tensor]:
    """The same with as many windows that the teacher writes for each seed, behind the others; and its logits for them."""
    dataset, images, indices = common["dataset"], common["images"], common["indices"]
    seeds = [one.seed for one in common["experiments"]]
    found = [written_by_teacher(network, dataset, images[own], seed=seed) for own, seed in zip(indices, seeds, strict=True)]
    tokens, labels = (torch.cat(parts) for parts in zip(*found, strict=True))  # (S * n, L) each
    places = torch.arange(len(images), len(images) + len(tokens), device=images.device).view(len(seeds), -1)
    more = labels.expand(len(seeds), -1, -1)
    new = {"images": torch.cat([images, tokens]), "labels": torch.cat([common["labels"], more], dim=1), "unlabelled": places}
    return common | new, teachers.logits(network, dataset, tokens)


def _images_without_labels(experiments: Sequence[Experiment], dataset: Dataset, taken: Tensor) -> tuple[Tensor, Tensor]:
    """All images of the run `(N, D, H, W)`, and the indices `(S, U)` of those without labels.

    None is one of `taken` `(S, n)`. Images from elsewhere are put behind the training images, each seed's own.
    """
    first, known = experiments[0], dataset.train_images
    if first.unlabelled_from == SAME:
        choice = {"images": first.unlabelled, "hide_classes": first.hide_classes}
        found = [
            choose_unlabelled(dataset.train_labels, taken=own, **choice, seed=e.seed) for e, own in zip(experiments, taken, strict=True)
        ]
        return known, torch.stack(found)
    choice = {"images": first.unlabelled, "image_shape": dataset.image_shape}
    others = [images_from(first.unlabelled_from, **choice, seed=one.seed).to(known.device) for one in experiments]
    places = torch.arange(len(known), len(known) + len(experiments) * first.unlabelled, device=known.device)
    return torch.cat([known, *others]), places.view(len(experiments), -1)


def _no_teacher_yet(experiment: Experiment, dataset: Dataset, images: Tensor, dtype: torch.dtype) -> dict:
    """What stands for the teacher `self` until the run has trained it. Logits of 0 are never learned from: alpha is 1 until then."""
    shape = teachers.logit_shape(dataset)
    train, test = (torch.zeros(1, len(rows), *shape, device=rows.device) for rows in (images, dataset.test_images))
    size = models.count_parameters(experiment.student, image_shape=dataset.image_shape, classes=dataset.classes)
    return {"teachers": (), "teacher_logits": train.to(dtype), "teacher_test_logits": test, "teacher_parameters": size}


def pick_device(device: str) -> torch.device:
    """`auto` is the GPU where there is one. Raises `ValueError` for a device that this machine does not have."""
    if device not in ("auto", "cpu", "cuda"):
        raise ValueError(f"device '{device}' is not known; choose one of: auto, cpu, cuda")
    if device == "cuda" and not torch.cuda.is_available():
        raise ValueError("device 'cuda' is not on this machine; choose auto or cpu")
    return torch.device("cuda" if torch.cuda.is_available() and device != "cpu" else "cpu")


def augment(images: Tensor, *, generator: torch.Generator) -> Tensor:
    """Random shifts of images `(N, D, H, W)` by up to two pixels (one where they are small); coloured ones are flipped half the time."""
    shifted = datasets.random_shift(images, 2 if images.shape[-1] >= 16 else 1, generator)
    return datasets.random_flip(shifted, generator) if images.shape[1] == 3 else shifted


def order_of_images(experiment: Experiment, indices: Tensor, epoch: int, *, purpose: str = "order") -> Tensor:
    """The transfer set `(n,)` in the order of one epoch, set by the seed."""
    shuffle = torch.randperm(len(indices), generator=seeded(experiment.seed, purpose, epoch))
    return indices[to_device(shuffle, indices.device)]


def block_outputs(network: nn.Module, images: Tensor) -> list[Tensor]:
    """The output of each block of a network for images `(N, D, H, W)`, first block first."""
    if images.is_floating_point():
        images = images.to(next(network.parameters()).dtype, memory_format=torch.channels_last)
    _, features = network(images, features=True)
    return features


def draw_seed(*purpose: int | str) -> int:
    """A seed of its own for one purpose of a run, such as the weights of an assistant."""
    return int(torch.randint(2**31, (), generator=seeded(*purpose)))
