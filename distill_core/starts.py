"""Trained networks that a run starts from, each in a file named by a hash of its weights: equal names mean equal weights."""

from __future__ import annotations

import hashlib
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import nn

from distill_core import models, paths
from distill_core.data.dataset import Dataset


def keep_start(network: nn.Module) -> str:
    """Write the weights of a network to `DISTILL_HOME`; returns the name for `Experiment.start_from`."""
    blob = save({name: value.detach().cpu().float().contiguous() for name, value in network.state_dict().items()})
    name = hashlib.sha256(blob).hexdigest()[:16]
    path = _path(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists():
        paths.write_atomically(path, blob)
    return name


def load_start(name: str, model: str, dataset: Dataset) -> models.Network:
    """The network of this name, which has the layers of `model`. Raises `ValueError` if its file is missing, altered or another's."""
    try:
        blob = _path(name).read_bytes()
    except OSError as error:
        raise ValueError(
            f"the network '{name}' that this run starts from is not on this machine; open the page Compress and press Recover there"
        ) from error
    network = models.build(model, image_shape=dataset.image_shape, classes=dataset.classes, seed=0)
    try:
        if hashlib.sha256(blob).hexdigest()[:16] != name:
            raise ValueError("another hash")
        network.load_state_dict(load(blob))
    except (SafetensorError, RuntimeError, ValueError) as error:
        raise ValueError(f"the network '{name}' is cut, altered, or no {model} for {dataset.title}; press Recover again") from error
    return network


def _path(name: str) -> Path:
    return paths.home() / "starts" / f"{name}.safetensors"
