"""A teacher's logits by example index, computed once and kept on disk."""

from __future__ import annotations

import contextlib
from collections.abc import Generator
from pathlib import Path

import filelock
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor, nn

from distill_core import paths
from distill_core.data.dataset import Dataset
from distill_core.teachers.weights import Teacher

ROWS = 64  # of a batch; see `_compute`
CHUNK = 16 * ROWS  # test images between two reports of the progress
VERSION, TEXT_VERSION = 2, 3  # raised, as those of experiment.py then are, when the same network's logits are rounded differently


@torch.no_grad()
def logits(network: nn.Module, dataset: Dataset, images: Tensor, *, batch_size: int = 250) -> Tensor:
    """The network's logits `(N, C)` for uint8 images `(N, D, H, W)`; of a text `(N, L, V)` for tokens `(N, L)`."""
    dtype = next(network.parameters()).dtype
    order = memory_format(network)
    batches = [network(dataset.inputs(batch, dtype).to(memory_format=order)) for batch in images.split(batch_size)]
    return torch.cat(batches) if batches else torch.empty(0, *logit_shape(dataset), device=images.device)


def memory_format(network: nn.Module) -> torch.memory_format:
    """The order of memory in which a network's inputs are fastest on a CPU: `images.to(memory_format=...)`.

    Convolutions want the channels last; `to`, because `contiguous` changes nothing for one channel, which counts as either order:
    pooling then takes three times as long. Without convolutions a copy would only cost time.
    """
    return torch.channels_last if any(weight.dim() == 4 for weight in network.parameters()) else torch.preserve_format


def logit_shape(dataset: Dataset) -> tuple[int, ...]:
    """The shape of a network's output for one example: `(C,)`, of a window of text `(L, V)`."""
    return (*(dataset.image_shape if dataset.is_text else ()), dataset.classes)


def teacher_logits(teacher: Teacher, dataset: Dataset, *, part: str, indices: Tensor) -> Tensor:
    """The teacher's logits `(N, C)`, of a text `(N, L, V)` in float16, for a part of the set, `"train"` or `"test"`, on the set's device.

    Row i belongs to example i; it is set for all of `indices`, and NaN for examples that no run has needed yet. The
    cache is keyed by data, weights, device and dtype, and a row never depends on which others are computed with it.
    """
    images, path = getattr(dataset, f"{part}_images"), _path(teacher, dataset, part)
    cached = _read(path, (len(images), *logit_shape(dataset)))
    wanted = indices.cpu()
    missing = wanted[cached.flatten(1)[wanted, 0].isnan()].unique()
    if len(missing):
        cached[missing] = _compute(teacher.network, dataset, images, missing).to(cached.dtype)
        _merge(cached, path)
    return cached.to(images.device)


def prepare_test_logits(teacher: Teacher, dataset: Dataset, name: str) -> Generator[tuple[str, float], None, None]:
    """Compute the logits of all test images that are not in the cache; yields the progress, nothing if all are there.

    Where the cache cannot be written, the run computes them itself.
    """
    n, path = len(dataset.test_labels), _path(teacher, dataset, "test")
    shape, indices = (n, *logit_shape(dataset)), torch.arange(n)
    missing = indices[_read(path, shape).flatten(1)[:, 0].isnan()]
    for start in range(0, len(missing), CHUNK):
        if start and _read(path, shape).flatten(1)[missing[0], 0].isnan():  # the first chunk was not kept
            return
        yield f"computing the logits of the teacher {name} for {dataset.title}", start / len(missing)
        teacher_logits(teacher, dataset, part="test", indices=missing[start : start + CHUNK])


def _path(teacher: Teacher, dataset: Dataset, part: str) -> Path:
    weight = next(teacher.network.parameters())
    dtype = str(weight.dtype).removeprefix("torch.")
    version = TEXT_VERSION if dataset.is_text else VERSION
    key = f"{dataset.fingerprint}-{teacher.fingerprint[:16]}-{weight.device.type}-{dtype}-{part}-{version}"
    return paths.cache("logits") / f"{key}.safetensors"


def _compute(network: nn.Module, dataset: Dataset, images: Tensor, indices: Tensor) -> Tensor:
    """Logits `(n, C)` of `images[indices]` on the CPU, each image in row `index % ROWS` of a batch of `ROWS`.

    The rounding of a row can depend on the size of the batch and on its place in it (the last rows often leave the
    vectorised loop), so both are fixed. Rows without an image of their own are filled with any other.
    """
    rows = indices % ROWS
    order = rows.argsort(stable=True)
    counts = rows.bincount(minlength=ROWS)
    batch = torch.empty_like(indices)
    batch[order] = torch.arange(len(indices)) - (counts.cumsum(0) - counts)[rows[order]]  # the b-th image of its row
    table = indices[0].repeat(int(counts.max()), ROWS)
    table[batch, rows] = indices
    found = logits(network, dataset, images[table.flatten().to(images.device)], batch_size=ROWS)
    return found.cpu().float().unflatten(0, tuple(table.shape))[batch, rows]


def _merge(computed: Tensor, path: Path) -> None:
    """Add computed rows to the cache file. On a full or read-only disk they are computed again next time."""
    with contextlib.suppress(OSError, NotImplementedError), filelock.FileLock(path.with_suffix(".lock")):
        cached = _read(path, tuple(computed.shape))  # another thread or process may have written since
        paths.write_atomically(path, save({"logits": torch.where(computed.isnan(), cached, computed)}))


def _read(path: Path, shape: tuple[int, ...]) -> Tensor:
    try:
        cached = load_file(path)["logits"]
        if cached.shape == shape:
            return cached
    except (OSError, SafetensorError, KeyError):  # no file yet, or a cut one
        pass
    return torch.full(shape, torch.nan, dtype=torch.float16 if len(shape) == 3 else torch.float32)
