"""Trained: a network with all that its use elsewhere needs: how its input is made, its classes, where it comes from."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor, nn

from distill_core import models, students, teachers
from distill_core.compression import NONE, Compression, compress
from distill_core.data import datasets
from distill_core.data.dataset import Dataset
from distill_core.experiment import Experiment
from distill_core.teachers.recipes import teacher_network


@dataclass(frozen=True, eq=False)
class Trained:
    """A student of a run, or a shipped teacher, as it is exported. Its network is in evaluation mode and shared: never change it.

    `model`: its layers, a model's or a teacher's name. `compression`: what was done to it since. `experiment`, `results` and
    `records`: of the run, none for a teacher; `results` has one of each seed, and the network is that of the first.
    """

    name: str
    model: str
    role: str  # student or teacher
    network: nn.Module
    dataset: Dataset
    compression: Compression = NONE
    experiment: Experiment | None = None
    results: Sequence[dict] = ()
    records: Sequence[dict] = field(default=(), repr=False)
    about: str = ""

    @property
    def title(self) -> str:
        """What it is, in a few words."""
        return f"{self.name}, {self.dataset.title}{f', {self.compression.in_words}' if self.compression != NONE else ''}"

    def check_images(self, what: str) -> None:
        """Raise `ValueError` for a language model, which cannot be `what`, such as "served"."""
        if self.dataset.is_text:
            raise ValueError(f"{self.title}, is a language model, and only networks for images can be {what}; choose one of these")

    def compressed(self, compression: Compression) -> Trained:
        """The same network, compressed further. What a run measured of it is no longer its own."""
        if compression == NONE:
            return self
        self.check_images("compressed")
        if self.compression != NONE:
            raise ValueError(f"{self.name} is compressed already ({self.compression}); start from the network that it was made of")
        return replace(self, network=compress(self.network, compression), compression=compression, results=(), records=())

    def logits(self, images: Tensor) -> Tensor:
        """Logits `(N, C)` of images `(N, D, H, W)` uint8, or `(N, L, V)` of tokens `(N, L)` uint8."""
        return teachers.logits(self.network, self.dataset, images)

    def deployable(self) -> nn.Module:
        """Images as they are stored, uint8, to logits: the network with the standardisation of its pixels in front. Tokens likewise."""
        whole = FromBytes(self.network) if self.dataset.is_text else Standardised(self.network, self.dataset)
        return whole.eval().requires_grad_(False)

    @property
    def description(self) -> str:
        """What `empty_network` needs, as JSON."""
        shape = list(self.dataset.image_shape)
        fields = {"model": self.model, "role": self.role, "compression": str(self.compression), "image_shape": shape}
        return json.dumps({**fields, "classes": list(self.dataset.class_names)})


class Standardised(nn.Module):
    """A network whose input is pixels from 0 to 255."""

    def __init__(self, network: nn.Module, dataset: Dataset) -> None:
        super().__init__()
        mean, deviation = dataset.pixel_mean_std
        self.network = network
        self.register_buffer("mean", mean)
        self.register_buffer("inverse_std", 1 / deviation)

    def forward(self, images: Tensor) -> Tensor:
        return self.network((images.float() - self.mean) * self.inverse_std)


class FromBytes(nn.Module):
    """A language model whose input is tokens in one byte each."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, tokens: Tensor) -> Tensor:
        return self.network(tokens.long())


def of_teacher(dataset: Dataset, name: str) -> Trained:
    """A trained teacher of this set. Raises `ValueError` if there is none of this name."""
    teacher = teachers.load_teacher(dataset, name)
    about = teachers.describe(teacher.card) if teacher.card else f"an ensemble of {name}"
    return Trained(name, name, "teacher", teacher.network, dataset, about=about)


def of_run(
    experiment: Experiment, weights: dict[str, Tensor], *, results: Sequence[dict] = (), records: Sequence[dict] = (), role: str = "student"
) -> Trained:
    """The student of a finished run, from the weights that the run kept. Raises `ValueError` if they are not its student's."""
    dataset = datasets.load(experiment.dataset)
    network = students.empty(experiment, dataset)
    own = {name.removeprefix(f"{role}."): value.float() for name, value in weights.items() if name.startswith(f"{role}.")}
    try:
        network.load_state_dict(own)
    except RuntimeError as error:
        raise ValueError(f"these are not the weights of a {experiment.student} for {dataset.title}; train the run again") from error
    found = students.parse_compression(experiment.compression)
    network = network.eval().requires_grad_(False)
    return Trained(experiment.student, experiment.student, "student", network, dataset, found, experiment, results, records)


def empty_network(description: dict) -> nn.Module:
    """A network of the layers of a description. Raises `ValueError`, `KeyError` or `TypeError` for one that is no description."""
    shape, classes = tuple(description["image_shape"]), len(description["classes"])
    if description["role"] == "teacher" and description["model"] in teachers.TEACHERS:
        network = teacher_network(teachers.TEACHERS[description["model"]], image_shape=shape, classes=classes)
    else:
        network = models.build(description["model"], image_shape=shape, classes=classes, seed=0)
    compression = students.parse_compression(description["compression"])
    with torch.no_grad():
        return compress(network, compression).eval().requires_grad_(False)
