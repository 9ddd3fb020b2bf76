"""Teachers and students: small networks, named by family and size.

Each is a *stem* (the first layer, on pixels), *blocks*, and a *head* that outputs logits. The stem is separate because
students that train on the same images can compute it as one product: see `training/cohort.py`.
"""

from __future__ import annotations

import functools
import itertools
import math
import re
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.func import functional_call

from distill_core.language_models import GPT, GRU, HEADS


class Network(nn.Module):
    """Images `(N, D, H, W)` to logits `(N, C)`; with `features=True` also the output of each block, in order."""

    def __init__(self, stem: nn.Linear | nn.Conv2d, blocks: list[nn.Module], head: nn.Module) -> None:
        super().__init__()
        self.stem = stem
        self.blocks = nn.ModuleList(blocks)
        self.head = head

    def forward(self, images: Tensor, *, features: bool = False) -> Tensor | tuple[Tensor, list[Tensor]]:
        if isinstance(self.stem, nn.Linear):
            images = images.flatten(1)  # (N, D * H * W)
        return self.after_stem(self.stem(images), features=features)

    def after_stem(self, hidden: Tensor, *, features: bool = False) -> Tensor | tuple[Tensor, list[Tensor]]:
        """The rest of the network, from the output of the stem."""
        outputs = []
        for block in self.blocks:
            hidden = block(hidden)
            outputs.append(hidden)
        logits = self.head(hidden)
        return (logits, outputs) if features else logits


def linear(image_shape: tuple[int, int, int], classes: int) -> Network:
    """One weight per pixel and class: softmax regression, the smallest student."""
    return Network(nn.Linear(math.prod(image_shape), classes), [], nn.Identity())


def mlp(image_shape: tuple[int, int, int], classes: int, width: int, depth: int, *, dropout: float = 0.0) -> Network:
    """`depth` hidden layers of `width` units, as in Hinton, Vinyals and Dean 2015, section 3."""
    blocks = [nn.Sequential(nn.ReLU(), *_dropout(dropout))]
    blocks += [nn.Sequential(nn.Linear(width, width), nn.ReLU(), *_dropout(dropout)) for _ in range(depth - 1)]
    return Network(nn.Linear(math.prod(image_shape), width), blocks, nn.Linear(width, classes))


def cnn(image_shape: tuple[int, int, int], classes: int, channels: int, *, dropout: float = 0.0) -> Network:
    """Three 3 x 3 convolutions with `channels`, twice and four times as many; max pooling after each halves height and width."""
    depth, height, width = image_shape
    stem = nn.Conv2d(depth, channels, 3, padding=1)
    blocks = [
        nn.Sequential(nn.ReLU(), nn.MaxPool2d(2)),
        nn.Sequential(nn.Conv2d(channels, 2 * channels, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
        nn.Sequential(nn.Conv2d(2 * channels, 4 * channels, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
    ]
    head = nn.Sequential(nn.Flatten(-3), *_dropout(dropout), nn.Linear(4 * channels * (height // 8) * (width // 8), classes))
    return Network(stem, blocks, head)


def resnet(image_shape: tuple[int, int, int], classes: int, layers: int) -> Network:
    """The residual network for small images, of 6 n + 2 layers: three stages of n blocks with 16, 32 and 64 channels.

    It has group instead of batch normalisation: `torch.func.vmap` cannot batch layers with running statistics.

    Source: He et al. 2016, section 4.2.
    """
    widths = [width for width in (16, 32, 64) for _ in range((layers - 2) // 6)]
    blocks = [nn.Sequential(nn.GroupNorm(4, 16), nn.ReLU())]
    blocks += [Residual(before, after) for before, after in itertools.pairwise([16, *widths])]
    return Network(
        nn.Conv2d(image_shape[0], 16, 3, padding=1), blocks, nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(-3), nn.Linear(64, classes))
    )


class Residual(nn.Module):
    """Two convolutions and a shortcut; where the channels double, height and width are halved."""

    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        stride = after // before
        self.inner = nn.Sequential(
            nn.Conv2d(before, after, 3, stride=stride, padding=1, bias=False), nn.GroupNorm(4, after), nn.ReLU(),
            nn.Conv2d(after, after, 3, padding=1, bias=False), nn.GroupNorm(4, after),
        )  # fmt: skip
        self.shortcut = nn.Conv2d(before, after, 1, stride=stride, bias=False) if stride > 1 else nn.Identity()

    def forward(self, hidden: Tensor) -> Tensor:
        return torch.relu(self.shortcut(hidden) + self.inner(hidden))


def airbench(image_shape: tuple[int, int, int], classes: int, width: int, *, normalised: bool = False) -> Network:
    """The strongest teacher for 32 x 32 images, see `teachers/airbench.py`; `normalised` adds the batch normalisations of training."""

    def convolve(before: int, after: int, *more: nn.Module) -> list[nn.Module]:
        norm = [nn.BatchNorm2d(after, eps=1e-12, momentum=0.4)] if normalised else []
        return [nn.Conv2d(before, after, 3, padding=1, bias=not normalised), *more, *norm, nn.GELU()]

    patches = 2 * 4 * image_shape[0]  # the principal components of 2 x 2 patches, with both signs
    widths = [patches, width // 4, width, width]
    blocks = [
        nn.Sequential(*convolve(before, after, nn.MaxPool2d(2)), *convolve(after, after)) for before, after in itertools.pairwise(widths)
    ]
    stem = nn.Conv2d(image_shape[0], patches, 2)
    return Network(
        stem,
        [nn.GELU(), *blocks],
        nn.Sequential(nn.Sequential(nn.MaxPool2d(3), nn.Flatten(-3)), nn.Linear(width, classes, bias=False), Scale(1 / 9)),
    )


def gpt(window: tuple[int], classes: int, width: int, depth: int, *, dropout: float = 0.0) -> GPT:
    """A transformer for windows `(L,)` and a vocabulary of `classes` tokens."""
    return GPT(window[0], classes, width, depth, dropout=dropout)


def gru(window: tuple[int], classes: int, width: int, *, dropout: float = 0.0) -> GRU:
    """A recurrent network for the same."""
    return GRU(window[0], classes, width, dropout=dropout)


class Scale(nn.Module):
    """A constant factor."""

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, values: Tensor) -> Tensor:
        return self.factor * values


class Ensemble(nn.Module):
    """Several networks as one: the logarithm of their mean probabilities at T = 1, or their mean logits.

    `weights`: the weight of each network in the mean, equal by default; only their ratios matter.
    `combine`: `"probabilities"` or `"logits"`.

    Source: Hinton, Vinyals and Dean 2015, section 1: the arithmetic or geometric mean of the members' predictions
    (the geometric mean of probabilities is the mean of the logits).
    """

    def __init__(self, networks: list[nn.Module], *, weights: Sequence[float] = (), combine: str = "probabilities") -> None:
        super().__init__()
        self.networks, self.combine = nn.ModuleList(networks), combine
        weights = weights or [1.0] * len(networks)
        self.shares = [weight / sum(weights) for weight in weights]

    def forward(self, images: Tensor) -> Tensor:
        members = [network(images) for network in self.networks]  # (N, C) each
        if self.combine == "logits":
            return sum(share * logits for share, logits in zip(self.shares, members, strict=True))
        log_p = [math.log(share) + torch.log_softmax(logits, dim=-1) for share, logits in zip(self.shares, members, strict=True)]
        return torch.logsumexp(torch.stack(log_p), dim=0)


class FlipAveraged(nn.Module):
    """A network whose logits are averaged over each image and its mirror image (test-time augmentation).

    Its features are those of the image itself.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor, *, features: bool = False) -> Tensor | tuple[Tensor, list[Tensor]]:
        logits, outputs = self.network(images, features=True)
        logits = (logits + self.network(images.flip(-1))) / 2
        return (logits, outputs) if features else logits


def _dropout(share: float) -> list[nn.Module]:
    """A dropout layer, or none: a layer that draws random numbers cannot be batched over a cohort."""
    return [nn.Dropout(share)] if share else []


FAMILIES: dict[str, tuple[re.Pattern, Callable[..., Network], str]] = {
    "linear": (re.compile(r"linear"), linear, "linear"),
    "mlp": (re.compile(r"mlp-(\d+)x(\d+)"), mlp, "mlp-WxD (D hidden layers of W units, such as mlp-30x2)"),
    "cnn": (re.compile(r"cnn-(\d+)"), cnn, "cnn-C (C channels in the first layer, such as cnn-8)"),
    "resnet": (re.compile(r"resnet-(8|14|20)"), resnet, "resnet-L (L layers: 8, 14 or 20)"),
    "airbench": (re.compile(r"airbench-(64|128|256)"), airbench, "airbench-W (W channels in the last block, such as airbench-256)"),
    "gpt": (re.compile(r"gpt-(\d+)x(\d+)"), gpt, "gpt-DxL (for texts: a transformer of width D with L blocks, such as gpt-48x2)"),
    "gru": (re.compile(r"gru-(\d+)"), gru, "gru-D (for texts: a recurrent network of D units, such as gru-64)"),
}
LANGUAGE = ("gpt", "gru")  # families that read texts
MODELS = ("linear", "mlp-30x2", "mlp-128x2", "mlp-300x1", "mlp-800x2", "mlp-1200x2", "cnn-4", "cnn-8", "cnn-16", "cnn-32")
MAX_SIZES = {
    "mlp": (2048, 6),
    "cnn": (64,),
    "gpt": (256, 8),
    "gru": (512,),
}  # width and depth, channels: a larger student would block a class's queue for hours
MIN_SIZES = {"gpt": (HEADS, 1)}
IMAGE_SIDES = {"cnn": (8, None), "airbench": (25, 48)}  # pixels, for which the poolings leave at least one, or exactly one


def check_model(name: str, *, role: str = "student") -> str:
    """The name itself if it is a model's; otherwise `ValueError` with the names that would do."""
    family, sizes = _parse(name, role)
    if any(not 1 <= size <= most for size, most in zip(sizes, MAX_SIZES.get(family, ()), strict=False)):
        smallest, largest = (
            f"{family}-{'x'.join(map(str, sizes))}" for sizes in (MIN_SIZES.get(family, [1] * len(sizes)), MAX_SIZES[family])
        )
        raise ValueError(f"{role} '{name}' has a size that cannot be trained here; choose from {smallest} to {largest}")
    if family == "gpt" and sizes[0] % HEADS:
        raise ValueError(
            f"{role} '{name}' has a width that its {HEADS} heads do not divide evenly; choose a multiple of {HEADS}, such as 48"
        )
    return name


def check_image_shape(name: str, image_shape: tuple[int, int, int], *, role: str = "student") -> None:
    """Raise `ValueError` if the model cannot process images of this shape `(D, H, W)`. The network is not built."""
    family, _ = _parse(name, role)
    if (family in LANGUAGE) != (len(image_shape) == 1):
        reads, instead = ("texts", "mlp-30x2 or cnn-8") if family in LANGUAGE else ("images", "gpt-48x2 or gru-64")
        raise ValueError(f"{role} '{name}' reads {reads}, and the data set is none; choose {instead}")
    if family in LANGUAGE:
        return
    low, high = IMAGE_SIDES.get(family, (1, None))
    height, width = image_shape[1:]
    if min(height, width) < low or max(height, width) > (high or math.inf):
        needed = f"at least {low} x {low}" if high is None else f"{low} x {low} to {high} x {high}"
        raise ValueError(f"{role} '{name}' needs images of {needed} pixels; choose an mlp, such as mlp-30x2, for {height} x {width}")


def build(name: str, *, image_shape: tuple[int, int, int], classes: int, seed: int, **options: float) -> Network:
    """The network called `name` with initial weights drawn by `seed` (PyTorch's initialisation), in float32 on the CPU.

    `options`: arguments of its family, such as `dropout`. Raises `ValueError` as `check_model` and `check_image_shape` do.
    """
    check_model(name)
    check_image_shape(name, image_shape)
    family, sizes = _parse(name)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return FAMILIES[family][1](image_shape, classes, *sizes, **options)


def layers_in_words(name: str) -> str:
    """The layers of the model called `name` in a few words: "2 layers of 30" for the hidden layers of `mlp-30x2`."""
    family, sizes = _parse(name)
    if family == "mlp":
        width, depth = sizes
        return f"{depth} layer{'s' * (depth > 1)} of {width:,}"
    if family in LANGUAGE:
        return f"transformer, {sizes[1]} block{'s' * (sizes[1] > 1)} of {sizes[0]:,}" if family == "gpt" else "recurrent"
    return {"linear": "no hidden layer", "cnn": "3 convolutions", "resnet": "residual", "airbench": "7 convolutions"}[family]


def _parse(name: str, role: str = "student") -> tuple[str, list[int]]:
    """Family and sizes in a model's name."""
    for family, (pattern, _, _) in FAMILIES.items():
        if match := pattern.fullmatch(name):
            return family, [int(size) for size in match.groups()]
    raise ValueError(f"{role} '{name}' is not known; choose one of: {', '.join(text for _, _, text in FAMILIES.values())}")


# --- costs ----------------------------------------------------------------------------------------------------------


def parameters(network: nn.Module) -> int:
    """The number of trainable weights and biases."""
    return sum(p.numel() for p in network.parameters())


@dataclass(frozen=True)
class Cost:
    """The size of a network, and the work of one forward pass for one image."""

    parameters: int
    multiplications: int  # in linear layers and convolutions
    outputs: int  # numbers that these layers output


@functools.cache
def cost(name: str, *, image_shape: tuple[int, int, int], classes: int) -> Cost:
    """The cost of the model called `name`, without memory for its weights; of a language model for one window.

    Every weight is one zero, expanded. (A whole forward pass on PyTorch's device "meta" would import two seconds of compiler.)
    """
    multiplications = outputs = 0

    def count(layer: nn.Module, _: object, output: Tensor) -> None:
        nonlocal multiplications, outputs
        multiplications += output.numel() * layer.weight[0].numel()  # one row of weights for each output; attention is left out
        outputs += output.numel()

    with torch.device("meta"):
        network = build(name, image_shape=image_shape, classes=classes, seed=0).eval()
    for layer in network.modules():
        if isinstance(layer, nn.Linear | nn.Conv2d):
            layer.register_forward_hook(count)
    weights = {name: torch.zeros(()).expand(weight.shape) for name, weight in network.state_dict().items()}
    with torch.no_grad():
        functional_call(network, weights, example_input(image_shape))
    return Cost(parameters(network), multiplications, outputs)


def example_input(shape: tuple[int, ...]) -> Tensor:
    """One input of a network: an image `(1, D, H, W)`, or a window of tokens `(1, L)`."""
    return torch.zeros(1, *shape, dtype=torch.int64 if len(shape) == 1 else torch.float32)


def latency(name: str, *, image_shape: tuple[int, int, int], classes: int, times: int = 30) -> float:
    """Seconds of a forward pass for a single image on this machine's CPU: the median of `times` passes."""
    network, image = build(name, image_shape=image_shape, classes=classes, seed=0).eval(), example_input(image_shape)
    seconds = []
    with torch.inference_mode():
        for _ in range(times + 5):
            started = time.perf_counter()
            network(image)
            seconds.append(time.perf_counter() - started)
    return statistics.median(seconds[5:])  # the first five warm up


def count_parameters(name: str, *, image_shape: tuple[int, int, int], classes: int) -> int:
    """The number of weights and biases of the model called `name`."""
    return cost(name, image_shape=image_shape, classes=classes).parameters
