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

from distill_core import analysis, models, teachers
from distill_core.data import datasets
from distill_core.data.datasets import Dataset, Progress, seeded
from distill_core.experiment import Experiment
from distill_core.objectives import METHODS
from distill_core.teachers import Teacher


class Inputs(NamedTuple):
    """One batch of B images for each of S seeds, before any student sees it."""

    images: Tensor  # (S, B, D, H, W), normalised, as the student sees them
    labels: Tensor  # (S, B)
    teacher_logits: Tensor  # (S, B, C)
    teacher_features: list[Tensor]  # (S, B, ...) block by block; empty unless the method compares features


@dataclass(frozen=True, eq=False)
class RunData:
    """The data of experiments that share everything but seed, alpha and temperature: one experiment for each of S seeds."""

    experiments: tuple[Experiment, ...]
    dataset: Dataset
    indices: Tensor  # (S, n) the transfer sets
    labels: Tensor  # (S, N) of all training images, with label noise
    teachers: tuple[Teacher, ...]  # one for all seeds, or one for each
    teacher_logits: Tensor  # (1 or S, N, C); NaN for images that no transfer set contains
    teacher_test_logits: Tensor  # (N_test, C), of the teacher that the experiment names
    teacher_parameters: int  # of the same
    dtype: torch.dtype = torch.float32
    teacher_in_train_mode: nn.Module | None = None  # for the method that leaves dropout on

    # --- batches ----------------------------------------------------------------------------------------------------

    def batches(self, epoch: int) -> Iterator[Tensor]:
        """Example indices `(S, B)` of one epoch, batch by batch; the seed sets the order, so the baseline has the same."""
        orders = [order_of_images(one, own, epoch) for one, own in zip(self.experiments, self.indices, strict=True)]
        return iter(torch.stack(orders).split(self.experiments[0].batch_size, dim=1))

    def get_batch(self, indices: Tensor, step: int) -> Inputs:
        """The batch of example indices `(S, B)` in this step: images, labels, and the teacher's outputs for them."""
        augmentation = self.experiments[0].augmentation
        views = None if augmentation == "none" else self._augmented(indices, step)  # (S, B, D, H, W) uint8
        images = self.pixels(indices) if views is None else self.dataset.pixels(views).to(self.dtype)
        # With fixed targets the teacher's outputs are those of the images as they are in the data set.
        teacher_images = self.pixels(indices) if augmentation == "fixed" and self._teacher_runs else images
        if self.teacher_in_train_mode is not None:
            logits = self._logits_in_train_mode(teacher_images, step)
        elif augmentation == "consistent":
            logits = [teachers.logits(self._teacher_of(s).network, self.dataset, views[s]).to(self.dtype) for s in range(len(indices))]
        else:
            logits = [self.teacher_logits[s % len(self.teacher_logits)].index_select(0, own) for s, own in enumerate(indices)]
        if change := METHODS[self.experiments[0].method].change_targets:
            logits = [change(own, seeded(one.seed, "targets", step)) for one, own in zip(self.experiments, logits, strict=True)]
        features = self._teacher_features(teacher_images) if METHODS[self.experiments[0].method].compares != "logits" else []
        logits = logits[0].unsqueeze(0) if len(logits) == 1 else torch.stack(logits)  # a copy less for a run of one seed
        return Inputs(images, self.labels.gather(1, indices), logits, features)

    def pixels(self, indices: Tensor) -> Tensor:
        """The training images at `indices`, of any shape, normalised: `(*indices, D, H, W)`."""
        images = self.dataset.train_images.index_select(0, indices.flatten())  # for bytes, 15 times as fast as indexing
        pixels = self.dataset.pixels(images).view(*indices.shape, *images.shape[1:])
        return pixels if pixels.dtype == self.dtype else pixels.to(self.dtype)

    def _augmented(self, indices: Tensor, step: int) -> Tensor:
        views = [
            augment(self.dataset.train_images[own], generator=seeded(one.seed, "augmentation", step))
            for one, own in zip(self.experiments, indices, strict=True)
        ]
        return torch.stack(views)

    # --- the teacher ------------------------------------------------------------------------------------------------

    @property
    def _teacher_runs(self) -> bool:
        """Whether the teacher runs in every step, because its outputs are too many to be stored, or change."""
        return self.teacher_in_train_mode is not None or METHODS[self.experiments[0].method].compares != "logits"

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
        """The same images with other teachers: assistants that have just been trained, one for each seed.

        Agreement is still measured with the teacher that the experiment names.
        """
        found, logits = [], []
        for network, own in zip(networks, self.indices, strict=True):
            network = network.eval().requires_grad_(False).to(memory_format=torch.channels_last)
            found.append(Teacher(network, models.parameters(network), fingerprint=""))
            logits.append(torch.full_like(self.teacher_logits[0], torch.nan))
            logits[-1][own] = teachers.logits(network, self.dataset, self.dataset.train_images[own]).to(self.dtype)
        return replace(self, teachers=tuple(found), teacher_logits=torch.stack(logits))

    # --- scores -----------------------------------------------------------------------------------------------------

    def scores(self, student: str, logits: Tensor) -> dict:
        """What a result contains of a student with these test logits `(N_test, C)`."""
        size = models.count_parameters(student, image_shape=self.dataset.image_shape, classes=self.dataset.classes)
        return self._scores(logits, parameters=size)

    @functools.cached_property
    def teacher_scores(self) -> dict:
        """The same of the teacher."""
        return self._scores(self.teacher_test_logits, parameters=self.teacher_parameters)

    def _scores(self, logits: Tensor, *, parameters: int) -> dict:
        common = {"labels": self.dataset.test_labels, "teacher_logits": self.teacher_test_logits, "classes": self.dataset.classes}
        return analysis.scores(logits, parameters=parameters, **common)

    @property
    def device(self) -> torch.device:
        """Where the run trains."""
        return self.indices.device


_GLOBAL_GENERATOR = threading.Lock()


def prepare(experiment: Experiment, *, device: str = "auto") -> Progress:
    """Download the data and train the teacher where they are missing; yields what is being done and its fraction."""
    yield from datasets.fetch(experiment.dataset)
    yield from teachers.prepare_teacher(datasets.load(experiment.dataset), experiment.teacher, device=pick_device(device))


def load_run_data(experiments: Sequence[Experiment], *, device: str = "auto", dtype: torch.dtype = torch.float32) -> RunData:
    """The data of these experiments, one for each seed: transfer sets, labels, and the teacher's logits, computed once.

    Raises `ValueError` with one sentence where the data or the teacher cannot be had.
    """
    # Adam's moments of a unit that is never active fall below the smallest normal number, where a CPU takes a hundred
    # times as long: an epoch of mlp-800x2 took 13 s instead of 6.5 s. Such numbers are 0 from here on.
    torch.set_flush_denormal(True)
    first, device_found = experiments[0], pick_device(device)
    for _ in prepare(first, device=device):
        pass
    dataset = datasets.load(first.dataset).to(device_found)
    choice = {"images": first.images, "hide_classes": first.hide_classes}
    indices = torch.stack([datasets.choose_images(dataset.train_labels, **choice, seed=one.seed) for one in experiments])
    noise = {"label_noise": first.label_noise, "classes": dataset.classes}
    labels = torch.stack([datasets.add_label_noise(dataset.train_labels, **noise, seed=one.seed) for one in experiments])
    teacher = teachers.load_teacher(dataset, first.teacher, combine=first.combine, device=device_found)
    logits = teachers.teacher_logits(teacher, dataset, part="train", indices=indices.unique())
    test_indices = torch.arange(len(dataset.test_labels), device=device_found)
    test_logits = teachers.teacher_logits(teacher, dataset, part="test", indices=test_indices)
    in_train_mode = teachers.in_training_mode(teacher, dataset, first.teacher) if METHODS[first.method].teacher_in_train_mode else None
    return RunData(
        experiments=tuple(experiments),
        dataset=dataset,
        indices=indices,
        labels=labels,
        teachers=(teacher,),
        teacher_logits=logits.to(dtype).unsqueeze(0),
        teacher_test_logits=test_logits,
        teacher_parameters=teacher.parameters,
        dtype=dtype,
        teacher_in_train_mode=in_train_mode,
    )


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


def order_of_images(experiment: Experiment, indices: Tensor, epoch: int) -> Tensor:
    """The transfer set `(n,)` in the order of one epoch, set by the seed."""
    shuffle = torch.randperm(len(indices), generator=seeded(experiment.seed, "order", epoch))
    return indices[shuffle.to(indices.device)]


def block_outputs(network: nn.Module, images: Tensor) -> list[Tensor]:
    """The output of each block of a network for images `(N, D, H, W)`, first block first."""
    dtype = next(network.parameters()).dtype
    _, features = network(images.to(dtype, memory_format=torch.channels_last), features=True)
    return features


def draw_seed(*purpose: int | str) -> int:
    """A seed of its own for one purpose of a run, such as the weights of an assistant."""
    return int(torch.randint(2**31, (), generator=seeded(*purpose)))
