"""A Jupyter notebook that repeats a run's number: with its weights in plain PyTorch, and by training it again, without the app."""

from __future__ import annotations

import base64
import json
from dataclasses import asdict

from safetensors.torch import save
from torch import nn

from distill_core import models
from distill_core.compression.pruning import AROUND, is_chain
from distill_core.export.card import plain
from distill_core.export.trained import Trained
from distill_core.statistics import format_percent

MAX_WEIGHTS = 4_000_000  # bytes in the notebook

_TORCHVISION = """import torchvision

part = torchvision.datasets.{kind}("data", train=False, download=True)
images = torch.as_tensor(part.data)
images = images.unsqueeze(1) if images.ndim == 3 else images.permute(0, 3, 1, 2)
labels = torch.as_tensor(part.targets)"""
_DIGITS = """import numpy as np
from sklearn.datasets import load_digits

digits = load_digits()
test = np.arange(len(digits.target)) % 5 == 4  # every fifth image
images = torch.from_numpy(np.round(digits.images[test] * (255 / 16)).astype(np.uint8)).unsqueeze(1)
labels = torch.from_numpy(digits.target[test])"""
_LAB = """from distill_core.data import datasets

dataset = datasets.load({name!r})
images, labels = dataset.test_images, dataset.test_labels"""
_SCALE = """

class Scale(nn.Module):
    def __init__(self, factor):
        super().__init__()
        self.factor = factor

    def forward(self, values):
        return self.factor * values
"""
_KINDS = {"mnist": "MNIST", "fashion-mnist": "FashionMNIST", "cifar10": "CIFAR10"}


def notebook(trained: Trained) -> str:
    """The notebook as JSON. Raises `ValueError` for a network that does not fit into one, or is more than a chain of layers."""
    if not is_chain(trained.network) or isinstance(trained.network, models.FlipAveraged):
        raise ValueError(f"{trained.name} is more than a chain of layers; the notebook is there for an mlp or a cnn")
    if models.parameters(trained.network) * 4 > MAX_WEIGHTS:
        raise ValueError(
            f"{trained.name} has more than {MAX_WEIGHTS // 4:,} parameters, which is too large for a notebook; export safetensors"
        )
    logits = trained.logits(trained.dataset.test_images)
    correct = int((logits.argmax(dim=1) == trained.dataset.test_labels).sum())
    number = trained.results[0]["student"]["test_accuracy"] if trained.results else correct / len(trained.dataset.test_labels)
    cells = [
        _text(
            f"# {plain(trained.title)}\n\nThis notebook repeats the number of a run of Distill Lab without its pages: "
            f"test accuracy **{format_percent(number)}**. The first part needs PyTorch and the data set only; the weights are in this file."
        ),
        _code(_network_code(trained)),
        _code(f"import torch\n\n{_data_code(trained.dataset.name)}"),
        _code(_accuracy_code(trained, number)),
    ]
    if trained.experiment:
        cells += [
            _text(
                "## Training it again\n\nThe same experiment, trained by `distill_core`, the part of Distill Lab without pages. On "
                "the same machine with the same versions the numbers are the same to the last digit; elsewhere rounding differs."
            ),
            _code(_training_code(trained, number)),
        ]
    about = {"kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"}, "language_info": {"name": "python"}}
    numbered = [{**cell, "id": f"cell-{number}"} for number, cell in enumerate(cells)]
    return json.dumps({"cells": numbered, "metadata": about, "nbformat": 4, "nbformat_minor": 5}, indent=1)


def _network_code(trained: Trained) -> str:
    """The layers written out, and their weights."""
    layers = [part for part in trained.network.modules() if not isinstance(part, (*AROUND, nn.Identity, nn.Dropout, nn.Flatten))]
    lines, flat = [], False
    for layer in layers:
        if isinstance(layer, nn.Linear) and not flat:
            lines.append("nn.Flatten()")
            flat = True
        lines.append(f"Scale({layer.factor!r})" if isinstance(layer, models.Scale) else f"nn.{layer!r}")
    weights = {
        f"{number}.{name}": value.detach().cpu().contiguous()
        for number, part in enumerate(_with_flatten(layers))
        for name, value in (part.state_dict().items() if part is not None else ())
    }
    blob = base64.b64encode(save(weights)).decode()
    scale = _SCALE
    return (
        "import base64\n\nfrom safetensors.torch import load\nfrom torch import nn\n"
        + (scale if any(isinstance(layer, models.Scale) for layer in layers) else "")
        + f"\nnetwork = nn.Sequential(\n    {f',{chr(10)}    '.join(lines)},\n).eval()\n"
        + f'weights = load(base64.b64decode("{blob}"))\nnetwork.load_state_dict(weights)'
    )


def _with_flatten(layers: list[nn.Module]) -> list[nn.Module | None]:
    """The layers with None where the notebook has a layer that flattens."""
    first = next((number for number, layer in enumerate(layers) if isinstance(layer, nn.Linear)), len(layers))
    return [*layers[:first], None, *layers[first:]]


def _data_code(name: str) -> str:
    if name in _KINDS:
        return _TORCHVISION.format(kind=_KINDS[name])
    return _DIGITS if name == "digits" else _LAB.format(name=name)


def _accuracy_code(trained: Trained, number: float) -> str:
    mean, deviation = (values.flatten().tolist() for values in trained.dataset.pixel_mean_std)
    return (
        f"mean, std = (torch.tensor(values).view(-1, 1, 1) for values in ({mean}, {deviation}))\n"
        "with torch.no_grad():\n"
        "    predictions = torch.cat([network((part.float() - mean) / std).argmax(dim=1) for part in images.split(500)])\n"
        "accuracy = (predictions == labels).double().mean().item()\n"
        f'print(f"test accuracy {{accuracy:.4f}}, the run\'s {number:.4f}")\n'
        f"assert abs(accuracy - {number!r}) <= 1.5 / len(labels)  # rounding may turn one image"
    )


def _training_code(trained: Trained, number: float) -> str:
    fields = {name: value for name, value in asdict(trained.experiment).items() if value != getattr(type(trained.experiment), name, None)}
    return (
        "from distill_core.cohort import train_cohort\nfrom distill_core.experiment import Experiment\n\n"
        f"experiment = Experiment(**{fields!r})\n"
        "*records, result = train_cohort([experiment])\n"
        f"print(f\"student {{result['student']['test_accuracy']:.4f}}, baseline {{result['baseline']['test_accuracy']:.4f}}, \"\n"
        f'      "the run\'s student {number:.4f}")'
    )


def _text(text: str) -> dict:
    return {"cell_type": "markdown", "metadata": {}, "source": text}


def _code(text: str) -> dict:
    return {"cell_type": "code", "execution_count": None, "metadata": {}, "outputs": [], "source": text}
