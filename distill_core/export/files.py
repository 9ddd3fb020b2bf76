"""Weights as safetensors, which run no code when they are loaded, and the network as a program of torch.export."""

from __future__ import annotations

import io
import json
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from distill_core.compression import pack, parse_compression, unpack
from distill_core.data import datasets
from distill_core.export.trained import Trained, empty_network

FORMAT = "distill-lab 1"


def safetensors(trained: Trained) -> bytes:
    """The weights, in float32 or in as many bits as they have, with what is needed to use them in the header."""
    dataset, pixels = trained.dataset, {}
    if not dataset.is_text:
        mean, deviation = dataset.pixel_mean_std
        pixels = {"pixel_mean": json.dumps(mean.flatten().tolist()), "pixel_std": json.dumps(deviation.flatten().tolist())}
    header = {
        "format": FORMAT,
        "network": trained.description,
        "name": trained.name,
        "dataset": dataset.name,
        **(pixels or {"separator": dataset.separator}),  # between two tokens of a text
        **({"experiment": trained.experiment.to_json()} if trained.experiment else {}),
    }
    return save(pack(trained.network, bits=trained.compression.bits), metadata=header)


def read_safetensors(path: Path) -> Trained:
    """The network in a file that `safetensors` wrote. Raises `ValueError` with one sentence for any other file, and a cut one."""
    try:
        with safe_open(path, framework="pt") as file:
            header = file.metadata() or {}
            packed = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (it is no dictionary)
        if header.get("format") != FORMAT:
            raise ValueError("it has another format")
        description = json.loads(header["network"])
        network = empty_network(description)
        network.load_state_dict(unpack(packed, {name: value.shape for name, value in network.state_dict().items()}))
    except OSError as error:
        raise ValueError(f"{path.name} cannot be read; give a file that `export --format safetensors` wrote") from error
    except (SafetensorError, ValueError, KeyError, TypeError, RuntimeError, IndexError) as error:
        raise ValueError(f"{path.name} is cut, or no export of this lab; give a file that `export --format safetensors` wrote") from error
    compression = parse_compression(description["compression"])
    return Trained(header["name"], description["model"], description["role"], network, datasets.load(header["dataset"]), compression)


def torch_program(trained: Trained) -> bytes:
    """A program of `torch.export`, for batches of any size; its input is images `(N, D, H, W)` uint8, its output logits."""
    example = torch.zeros(2, *trained.dataset.image_shape, dtype=torch.uint8)
    program = torch.export.export(trained.deployable(), (example,), dynamic_shapes=({0: torch.export.Dim.DYNAMIC},))
    file = io.BytesIO()
    torch.export.save(program, file)
    return file.getvalue()
