"""One HTML file that runs a network in the browser: weights inside, no server, no library, works offline on a phone."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import numpy as np
from torch import nn

from distill_core import analysis, models
from distill_core.compression import cost_of
from distill_core.compression.pruning import AROUND, is_chain
from distill_core.data.drawing import NORMALISERS
from distill_core.export.trained import Trained
from distill_core.statistics import format_interval, format_percent

HERE = Path(__file__).parent
MAX_PARAMETERS = 3_000_000  # of a file of 8 MB, which a phone still opens at once
EXAMPLES = 12  # test images in the file
DIGITS = ("digits", "mnist")


def page(trained: Trained) -> str:
    """The file as text. Raises `ValueError` for a network that its JavaScript cannot run."""
    layers, weights = _layers(trained)
    dataset = trained.dataset
    mean, deviation = dataset.pixel_mean_std
    logits = trained.logits(dataset.test_images)
    correct, total = int((logits.argmax(dim=1) == dataset.test_labels).sum()), len(dataset.test_labels)
    low, high = analysis.accuracy_interval(correct, total)
    chosen = dataset.test_images[:: max(1, total // EXAMPLES)][:EXAMPLES]
    data = {
        "title": trained.title,
        "shape": list(dataset.image_shape),
        "classes": list(dataset.class_names),
        "mean": mean.flatten().tolist(),
        "std": deviation.flatten().tolist(),
        "layers": layers,
        "weights": base64.b64encode(weights.astype("<f2").tobytes()).decode(),
        "drawing": dataset.name in DIGITS and dataset.image_shape[1] in NORMALISERS,
        "examples": base64.b64encode(chosen.cpu().numpy().tobytes()).decode(),
        "facts": f"{models.parameters(trained.network):,} parameters, "
        f"{cost_of(trained.network, image_shape=dataset.image_shape).flops / 1e6:.3g} MFLOP an image, "
        f"test accuracy {format_percent(correct / total)} (95 % interval {format_interval(low, high)}) on {total:,} images",
    }
    text = (HERE / "page.html").read_text()
    for place, part in (("/*STYLE*/", "page.css"), ("/*NETWORK*/", "network.js"), ("/*PAGE*/", "page.js")):
        text = text.replace(place, (HERE / part).read_text())
    return text.replace("/*DATA*/", json.dumps(data).replace("<", "\\u003c"))  # no class name ends the script


def _layers(trained: Trained) -> tuple[list[dict], np.ndarray]:
    """The layers for `network.js`, and all their weights in one row."""
    network = trained.network
    if not is_chain(network) or isinstance(network, models.FlipAveraged):
        raise ValueError(f"{trained.name} cannot run in the HTML file, whose JavaScript has chains of layers only; choose an mlp or a cnn")
    if (size := models.parameters(network)) > MAX_PARAMETERS:
        raise ValueError(
            f"{trained.name} has {size:,} parameters, the HTML file takes {MAX_PARAMETERS:,} at most; choose a smaller network"
        )
    layers, weights = [], []
    for part in network.modules():
        if isinstance(part, (*AROUND, nn.Flatten, nn.Identity, nn.Dropout)):
            continue
        layers.append(_layer(part))
        weights += [
            value.detach().cpu().flatten().numpy()
            for value in (getattr(part, "weight", None), getattr(part, "bias", None))
            if value is not None
        ]
    return layers, np.concatenate(weights)


def _layer(part: nn.Module) -> dict:
    if isinstance(part, nn.Linear):
        return {"kind": "linear", "inputs": part.in_features, "outputs": part.out_features, "bias": part.bias is not None}
    if isinstance(part, nn.Conv2d):
        sizes = {"inputs": part.in_channels, "outputs": part.out_channels, "size": part.kernel_size[0], "stride": part.stride[0]}
        return {"kind": "conv", **sizes, "padding": part.padding[0], "bias": part.bias is not None}
    if isinstance(part, nn.MaxPool2d):
        return {"kind": "pool", "size": part.kernel_size}
    if isinstance(part, models.Scale):
        return {"kind": "scale", "factor": part.factor}
    return {"kind": {nn.ReLU: "relu", nn.GELU: "gelu"}[type(part)]}
