"""Weights as they are stored: a code of a few bits for each, and where many are 0 only those that are not."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor, nn

from distill_core.compression.pruning import weight_layers
from distill_core.compression.quantisation import codes

STORED_BITS = (2, 4, 8)  # that fill a byte


def pack(network: nn.Module, *, bits: int = 32) -> dict[str, Tensor]:
    """The weights of a network for a file: `name` as it is, or `name.codes` with `name.scale`, and `name.mask` of those that are not 0.

    `bits`: those to which its weights were rounded; 3 bits are stored in 4. What takes fewer bytes is chosen for each layer.
    """
    layers = {f"{name}.weight" for name, _ in weight_layers(network)}
    packed: dict[str, Tensor] = {}
    for name, value in network.state_dict().items():
        packed |= _pack_one(name, value.detach().cpu(), bits) if name in layers else {name: value.detach().cpu().contiguous()}
    return packed


def unpack(packed: Mapping[str, Tensor], shapes: Mapping[str, torch.Size]) -> dict[str, Tensor]:
    """The weights that `pack` stored, by name, of these shapes. Raises `KeyError` or `ValueError` where they do not fit."""
    return {name: _unpack_one(name, packed, shape) for name, shape in shapes.items()}


def _pack_one(name: str, weight: Tensor, bits: int) -> dict[str, Tensor]:
    found: dict[str, Tensor] = {}
    values = weight.contiguous().flatten().numpy()
    stored = next((size for size in STORED_BITS if size >= bits), 32)
    if stored < 32:
        rounded, scale = codes(weight, bits=bits)
        values = rounded.contiguous().flatten().numpy()
        found[f"{name}.scale"] = scale.flatten().contiguous()
    present = values != 0
    if len(values) / 8 + present.sum() * stored / 8 < len(values) * stored / 8:
        found[f"{name}.mask"] = torch.from_numpy(np.packbits(present))
        values = values[present]
    if stored == 32:
        kept = torch.from_numpy(values.copy())
        return {**found, f"{name}.values": kept} if f"{name}.mask" in found else {name: weight.contiguous()}
    unsigned = (values + 2 ** (stored - 1)).astype(np.uint8)  # (n,)
    lanes = 8 // stored
    padded = np.pad(unsigned, (0, -len(unsigned) % lanes)).reshape(-1, lanes)
    shifts = stored * np.arange(lanes, dtype=np.uint8)
    found[f"{name}.codes{stored}"] = torch.from_numpy((padded << shifts).sum(axis=1).astype(np.uint8))
    return found


def _unpack_one(name: str, packed: Mapping[str, Tensor], shape: torch.Size) -> Tensor:
    if name in packed:
        return packed[name].float().reshape(shape)
    count = shape.numel()
    mask = packed.get(f"{name}.mask")
    present = np.ones(count, bool) if mask is None else np.unpackbits(mask.numpy())[:count].astype(bool)
    values = np.zeros(count, np.float32)
    stored = next((size for size in STORED_BITS if f"{name}.codes{size}" in packed), None)
    if stored is None:
        values[present] = packed[f"{name}.values"].numpy()
        return torch.from_numpy(values).reshape(shape)
    shifts = stored * np.arange(8 // stored, dtype=np.uint8)
    unsigned = (packed[f"{name}.codes{stored}"].numpy()[:, None] >> shifts & (2**stored - 1)).flatten()
    values[present] = unsigned[: int(present.sum())].astype(np.float32) - 2 ** (stored - 1)
    scale = packed[f"{name}.scale"].view(-1, *[1] * (len(shape) - 1))
    return torch.from_numpy(values).reshape(shape) * scale
