"""A Jupyter notebook that repeats a run's number: with its weights in plain PyTorch, and by training it again, without the app."""

from __future__ import annotations

import base64
import inspect
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict

import torch
from safetensors.torch import save
from torch import nn

from distill_core import analysis, language_models, models, writing
from distill_core.compression.pruning import AROUND, is_chain
from distill_core.export.card import plain
from distill_core.export.trained import Trained
from distill_core.statistics import BITS, format_bits, format_percent

MAX_WEIGHTS = 4_000_000  # bytes in the notebook

PACKAGES = {"sklearn": "scikit-learn"}  # whose names are not those of their modules
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
_WINDOWS = """import base64

from safetensors.torch import load

data = load(base64.b64decode("{blob}"))
windows, labels = data.pop("windows").long(), data.pop("labels").long()  # tokens of the test text, and the token after each
vocabulary, separator = {vocabulary!r}, {separator!r}
network = {network}.eval()
network.load_state_dict(data)"""
_BITS = """characters = torch.tensor([len(token) + len(separator) for token in vocabulary])[labels].double().mean().item()  # of a token
with torch.no_grad():
    parts = zip(windows.split(100), labels.split(100))
    nats = sum(F.cross_entropy(network(part).flatten(0, 1), after.flatten(), reduction="sum").item() for part, after in parts)
bits = nats / labels.numel() / math.log(2) / characters
print(f"{{bits:.4f}} bits a character, the run's {number:.4f}")
assert abs(bits - {number!r}) < 0.0005  # rounding"""
_WRITE = """prompt = torch.tensor([[vocabulary.index(token) for token in {prompt!r}]])
text = write(network, prompt, 100, length=windows.shape[1], temperature=0.8, generator=torch.Generator().manual_seed(0))
print(separator.join(vocabulary[token] for token in text[0, 1:].tolist()))"""
_KINDS = {"mnist": "MNIST", "fashion-mnist": "FashionMNIST", "cifar10": "CIFAR10"}


def notebook(trained: Trained) -> str:
    """The notebook as JSON. Raises `ValueError` for a network that does not fit into one, or is more than a chain of layers."""
    is_text = trained.dataset.is_text
    if not is_text and (not is_chain(trained.network) or isinstance(trained.network, models.FlipAveraged)):
        raise ValueError(f"{trained.name} is more than a chain of layers; the notebook is there for an mlp or a cnn")
    if models.parameters(trained.network) * 4 > MAX_WEIGHTS:
        raise ValueError(
            f"{trained.name} has more than {MAX_WEIGHTS // 4:,} parameters, which is too large for a notebook; export safetensors"
        )
    cells = _cells_of_text(trained) if is_text else _cells_of_images(trained)
    about = {"kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"}, "language_info": {"name": "python"}}
    numbered = [{**cell, "id": f"cell-{number}"} for number, cell in enumerate(cells)]
    return json.dumps({"cells": numbered, "metadata": about, "nbformat": 4, "nbformat_minor": 5}, indent=1)


def _needs(codes: Sequence[str]) -> str:
    """What must be installed for these cells, as a sentence without its end."""
    lines = [line for code in codes for line in code.splitlines() if line.startswith(("import ", "from "))]
    modules = {line.split()[1].partition(".")[0] for line in lines} - sys.stdlib_module_names - {"distill_core"}
    return f"Its first part needs `pip install {' '.join(sorted(PACKAGES.get(name, name) for name in modules | {'numpy'}))}`"


def _cells_of_images(trained: Trained) -> list[dict]:
    logits = trained.logits(trained.dataset.test_images)
    correct = int((logits.argmax(dim=1) == trained.dataset.test_labels).sum())
    number = trained.results[0]["student"]["test_accuracy"] if trained.results else correct / len(trained.dataset.test_labels)
    codes = [_network_code(trained), f"import torch\n\n{_data_code(trained.dataset.name)}", _accuracy_code(trained, number)]
    return [
        _text(
            f"# {plain(trained.title)}\n\nThis notebook repeats the number of a run of Distill Lab without its pages: "
            f"test accuracy **{format_percent(number)}**. {_needs(codes)} and the data set; the weights are in this file."
        ),
        *map(_code, codes),
        *_training_cells(trained, number, field="test_accuracy"),
    ]


def _cells_of_text(trained: Trained) -> list[dict]:
    """A language model: the file that defines it, its weights and test windows, its bits a character, and what it writes."""
    dataset, network = trained.dataset, trained.network
    if not isinstance(network, language_models.LanguageModel):
        raise ValueError(f"{trained.name} is more than one language model; the notebook is there for a gpt or a gru")
    computed = analysis.score(trained.logits(dataset.test_images), dataset)[BITS.field]
    number = trained.results[0]["student"][BITS.field] if trained.results else computed
    if number is None:
        raise ValueError(f"{trained.name} diverged, so a notebook has no number to repeat; train it with a smaller learning rate")
    sizes = [dataset.length, dataset.classes, network.stem.embedding_dim, *([len(network.blocks)] if hasattr(network, "blocks") else [])]
    windows = {"windows": dataset.test_images.cpu(), "labels": dataset.test_labels.to(torch.uint8).cpu()}
    weights = {name: value.detach().cpu().contiguous() for name, value in network.state_dict().items()}
    parts = {
        "blob": base64.b64encode(save(weights | windows)).decode(),
        "vocabulary": list(dataset.class_names),
        "separator": dataset.separator,
        "network": f"{type(network).__name__}({', '.join(map(str, sizes))})",
    }
    prompt = writing.prompt_tokens(dataset, writing.PROMPTS.get(dataset.name, ""))
    codes = [inspect.getsource(language_models), _WINDOWS.format(**parts), _BITS.format(number=number)]
    codes.append(_WRITE.format(prompt=[dataset.class_names[token] for token in prompt]))
    return [
        _text(
            f"# {plain(trained.title)}\n\nThis notebook repeats the number of a run of Distill Lab without its pages: "
            f"**{format_bits(number)} bits a character** on the test text. {_needs(codes)}; the weights and the windows of the test text "
            "are in this file."
        ),
        *map(_code, codes),
        *_training_cells(trained, number, field=BITS.field),
    ]


def _training_cells(trained: Trained, number: float, *, field: str) -> list[dict]:
    if trained.experiment is None:
        return []
    return [
        _text(
            "## Training it again\n\nThe same experiment, trained by `distill_core`, the part of Distill Lab without pages. On "
            "the same machine with the same versions the numbers are the same to the last digit; elsewhere rounding differs."
        ),
        _code(_training_code(trained, number, field=field)),
    ]


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


def _training_code(trained: Trained, number: float, *, field: str) -> str:
    fields = {name: value for name, value in asdict(trained.experiment).items() if value != getattr(type(trained.experiment), name, None)}
    return (
        "from distill_core.cohort import train_cohort\nfrom distill_core.experiment import Experiment\n\n"
        f"experiment = Experiment(**{fields!r})\n"
        "*records, result = train_cohort([experiment])\n"
        f"print(f\"student {{result['student']['{field}']:.4f}}, baseline {{result['baseline']['{field}']:.4f}}, \"\n"
        f'      "the run\'s student {number:.4f}")'
    )


def _text(text: str) -> dict:
    return {"cell_type": "markdown", "metadata": {}, "source": text}


def _code(text: str) -> dict:
    return {"cell_type": "code", "execution_count": None, "metadata": {}, "outputs": [], "source": text}
