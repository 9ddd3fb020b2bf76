"""Trained teachers from their files: read once per device, checked against the hash on the card."""

from __future__ import annotations

import functools
import hashlib
import itertools
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import load
from torch import Tensor, nn

from distill_core import models, paths
from distill_core.data.dataset import Dataset, exact_device
from distill_core.teachers.cards import Card, find_weights
from distill_core.teachers.recipes import TEACHERS, parse_ensemble, single, teacher_network

MAX_FILE = 4_900_000  # bytes of weights in one file: the repository accepts no file above 5 MB


@dataclass(frozen=True, eq=False)
class Teacher:
    """A trained network in evaluation mode, without gradients. Its network is shared: never change it."""

    network: nn.Module
    parameters: int
    fingerprint: str  # of its weights; its logits are cached under it
    card: Card | None = None  # of a single entry of TEACHERS


def load_teacher(dataset: Dataset, name: str, *, combine: str = "probabilities", device: torch.device | str = "cpu") -> Teacher:
    """The trained teacher `name` of this set, or an ensemble: the weighted mean of `probabilities` or `logits`.

    Raises `ValueError` if the name is not known, or if a file is missing, cut or altered.
    """
    weights = parse_ensemble(name)
    if not weights:
        raise ValueError(f"teacher '{name}' exists only within a run, which trains it first; choose one of: {', '.join(TEACHERS)}")
    if len(weights) == 1:
        return _load_one(dataset, *weights, device=device)
    members = [_load_one(dataset, member, device=device) for member in weights]
    network = models.Ensemble([member.network for member in members], weights=list(weights.values()), combine=combine)
    identity = json.dumps([combine, *((member.fingerprint, weight) for member, weight in zip(members, weights.values(), strict=True))])
    return Teacher(network.eval(), sum(member.parameters for member in members), hashlib.sha256(identity.encode()).hexdigest())


def _load_one(dataset: Dataset, name: str, *, device: torch.device | str) -> Teacher:
    path, card = find_weights(dataset, name)
    remedy = "restore it from the repository" if path.parent == paths.WEIGHTS else "delete it and the next run trains it again"
    if card is None:
        raise ValueError(f"there is no teacher '{name}' for {dataset.title} yet; the next run with it trains one")
    try:
        stamps = tuple((file.st_ino, file.st_size, file.st_mtime_ns) for file in (part.stat() for part in _parts(path)))
        network = _load_network(path, stamps, card.sha256, name, dataset.image_shape, dataset.classes, exact_device(device))
    except OSError as error:
        raise ValueError(f"the teacher '{name}' of {dataset.title} is missing at {path}; {remedy}") from error
    if network is None:
        raise ValueError(f"the teacher '{name}' of {dataset.title} in {path} is cut or altered; {remedy}")
    return Teacher(network, card.parameters, card.sha256, card)


@functools.lru_cache(maxsize=8)
def _load_network(
    path: Path,
    stamps: tuple,  # of the files: a changed file is read again
    sha256: str,
    name: str,
    image_shape: tuple[int, int, int],
    classes: int,
    device: torch.device,
) -> nn.Module | None:
    """The network in these files, or None if they do not have this hash."""
    blobs = [part.read_bytes() for part in _parts(path)]
    if hashlib.sha256(b"".join(blobs)).hexdigest() != sha256:
        return None
    network = teacher_network(TEACHERS[name], image_shape=image_shape, classes=classes)
    network.load_state_dict({key: value.float() for blob in blobs for key, value in load(blob).items()})
    return network.eval().requires_grad_(False).to(device, memory_format=torch.channels_last)


def in_training_mode(teacher: Teacher, dataset: Dataset, name: str) -> nn.Module:
    """A copy of a single teacher with its dropout active, as during its training."""
    recipe = single(name)
    network = models.build(recipe.model, image_shape=dataset.image_shape, classes=dataset.classes, seed=0, dropout=recipe.dropout)
    copy_weights(teacher.network, network)
    device = next(teacher.network.parameters()).device
    return network.train().requires_grad_(False).to(device, memory_format=torch.channels_last)


def copy_weights(source: nn.Module, target: nn.Module) -> None:
    """Copy by position: dropout layers change the names of the weights, but not their order."""
    target.load_state_dict(dict(zip(target.state_dict(), source.state_dict().values(), strict=True)))


# --- weights in several files ---------------------------------------------------------------------------------------


def split_weights(weights: dict[str, Tensor]) -> list[list[str]]:
    """The names of the weights for each file, in order: as many as fit into `MAX_FILE` bytes."""
    files: list[list[str]] = [[]]
    room = MAX_FILE
    for name, value in weights.items():
        if files[-1] and value.nbytes > room:
            files.append([])
            room = MAX_FILE
        files[-1].append(name)
        room -= value.nbytes
    return files


def write_parts(path: Path, blobs: list[bytes]) -> None:
    """Write the files of one teacher, and delete further ones of an earlier teacher."""
    for number, blob in enumerate(blobs):
        paths.write_atomically(_part(path, number), blob)
    for number in itertools.takewhile(lambda n: _part(path, n).exists(), itertools.count(len(blobs))):
        _part(path, number).unlink()


def _parts(path: Path) -> Iterator[Path]:
    """The existing files of one teacher; the first in any case."""
    yield path
    yield from itertools.takewhile(Path.exists, (_part(path, number) for number in itertools.count(1)))


def _part(path: Path, number: int) -> Path:
    """`x.safetensors`, `x.part2.safetensors` ..."""
    return path.with_suffix(f".part{number + 1}.safetensors") if number else path
