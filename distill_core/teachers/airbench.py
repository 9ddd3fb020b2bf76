"""Training of the strongest teacher for CIFAR-10.

The recipe is airbench (Jordan 2024, the author's code): a first layer that whitens patches, convolutions initialised as
identities, SGD with a triangular learning rate, flips, shifts and cutout (as in its longest runs, `airbench96.py`), and a
lookahead average of the weights. Batch normalisation is used in training only; `fold` writes it into the convolutions. An
addition to airbench: the folded network is finetuned without cutout.

The author reports 94 % and more, on the original images (Jordan 2024, the README). The cards of the shipped weights have
what this code reached, on CIFAR-10 (JPEG).
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from distill_core.data.dataset import Dataset, random_flip, random_shift, seeded
from distill_core.models import Network, airbench

BATCH = 1024
LEARNING_RATE, MOMENTUM, WEIGHT_DECAY, SMOOTHING = 11.5, 0.85, 0.0153, 0.2  # rate and decay per 1024 examples, decoupled
SHIFT, CUTOUT = 4, 12  # pixels: the largest random shift, and the side of the square that is set to 0
BIAS_FACTOR = 64  # of the learning rate, for biases of normalisations
WHITENING_EPOCHS = 3  # in which the bias of the first layer is trained
FINETUNE_BATCH, FINETUNE_RATE, FINETUNE_SHIFT = 512, 3e-4, 2  # with AdamW


def train(dataset: Dataset, *, width: int, epochs: int, finetune_epochs: int, seed: int) -> Iterator[tuple[float, Network]]:
    """Train, fold and finetune; yields the fraction done and the network after each epoch, the last time as it is to be kept."""
    all_epochs = epochs + finetune_epochs
    for done, network in fit(dataset, width=width, epochs=epochs, seed=seed):
        if done < 1:
            yield done * epochs / all_epochs, network
    folded = fold(network)
    yield epochs / all_epochs, folded
    for done in finetune(folded, dataset, epochs=finetune_epochs, seed=seed):
        yield (epochs + done * finetune_epochs) / all_epochs, folded


def fit(dataset: Dataset, *, width: int, epochs: int, seed: int) -> Iterator[tuple[float, Network]]:
    """Train from initial weights; yields the fraction done and the network, with its normalisations, after each epoch."""
    images, labels = dataset.train_images, dataset.train_labels
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = airbench(dataset.image_shape, dataset.classes, width, normalised=True)
        network.to(images.device, memory_format=torch.channels_last)
    initialise(network, dataset.pixels(images[:5000]))
    steps = epochs * (len(labels) // BATCH)
    optimizer = _optimizer(network)
    max_rates = [group["lr"] for group in optimizer.param_groups]
    average = {name: value.clone() for name, value in network.state_dict().items()}
    step = 0
    for epoch in range(epochs):
        network.train()
        generator = seeded(seed, "airbench", epoch)
        order = torch.randperm(len(labels), generator=generator)[: len(labels) // BATCH * BATCH].to(labels.device)
        network.stem.bias.requires_grad_(epoch < WHITENING_EPOCHS)
        # Each image is flipped in every second epoch, not at random.
        flipped = (torch.rand(len(labels), generator=seeded(seed, "mirror")) < 0.5).to(labels.device) ^ bool(epoch % 2)
        for batch in order.split(BATCH):
            augmented = random_shift(torch.where(flipped[batch].view(-1, 1, 1, 1), images[batch].flip(-1), images[batch]), SHIFT, generator)
            pixels = cutout(dataset.pixels(augmented), CUTOUT, generator).contiguous(memory_format=torch.channels_last)
            with torch.autocast(images.device.type, dtype=torch.bfloat16):
                logits = network(pixels)
            loss = nn.functional.cross_entropy(logits.float(), labels[batch], label_smoothing=SMOOTHING, reduction="sum")
            for group, max_rate in zip(optimizer.param_groups, max_rates, strict=True):
                group["lr"] = max_rate * triangular_schedule(step / steps)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            step += 1
            if step % 5 == 0:
                _lookahead(average, network, decay=0.95**5 * (step / steps) ** 3)
        if epoch + 1 == epochs:
            _lookahead(average, network, decay=1.0)
        yield (epoch + 1) / epochs, network.eval()


def cutout(pixels: Tensor, side: int, generator: torch.Generator) -> Tensor:
    """Set one square at a random place of each image `(N, D, H, W)` to 0, the mean colour. In place.

    Source: DeVries and Taylor 2017, section 3.
    """
    n, _, *sizes = pixels.shape
    inside = []
    for size in sizes:
        first = torch.randint(0, size - side + 1, (n, 1), generator=generator).to(pixels.device)
        position = torch.arange(size, device=pixels.device)
        inside.append((position >= first) & (position < first + side))  # (N, H) and (N, W)
    return pixels.masked_fill_((inside[0][:, :, None] & inside[1][:, None, :]).unsqueeze(1), 0)


@torch.no_grad()
def initialise(network: Network, pixels: Tensor) -> None:
    """Set the first layer to whiten 2 x 2 patches, each component with both signs, and other convolutions to the identity."""
    patches = nn.functional.unfold(pixels, 2).transpose(1, 2).reshape(-1, network.stem.weight[0].numel())  # (n, D * 4)
    variances, components = torch.linalg.eigh(patches.T @ patches / len(patches))
    filters = (components / (variances + 5e-4).sqrt()).T.flip(0).view(-1, *network.stem.weight.shape[1:])
    network.stem.weight.copy_(torch.cat([filters, -filters]))
    network.stem.weight.requires_grad_(False)
    network.stem.bias.zero_()
    for layer in network.blocks.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.dirac_(layer.weight[: layer.in_channels])
        if isinstance(layer, nn.BatchNorm2d):
            layer.weight.requires_grad_(False)


def _optimizer(network: Network) -> torch.optim.Optimizer:
    biases = [module.bias for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    known = {id(bias) for bias in biases} | {id(network.stem.weight)}
    others = [p for p in network.parameters() if p.requires_grad and id(p) not in known]
    scale = BATCH * (1 + 1 / (1 - MOMENTUM))
    rate, decay = LEARNING_RATE / scale, WEIGHT_DECAY * BATCH / scale
    groups = [{"params": others, "lr": rate, "weight_decay": decay / rate}]
    groups += [{"params": biases, "lr": rate * BIAS_FACTOR, "weight_decay": decay / (rate * BIAS_FACTOR)}]
    return torch.optim.SGD(groups, momentum=MOMENTUM, nesterov=True)


def triangular_schedule(done: float, *, start: float = 0.2, peak: float = 0.23, end: float = 0.07) -> float:
    """The learning rate, as a share of its maximum, after a fraction `done` of the steps."""
    return start + (1 - start) * done / peak if done < peak else 1 - (1 - end) * (done - peak) / (1 - peak)


@torch.no_grad()
def _lookahead(average: dict[str, Tensor], network: Network, *, decay: float) -> None:
    """Move the average towards the weights, and set the weights to it."""
    for name, value in network.state_dict().items():
        if value.is_floating_point():
            average[name].lerp_(value, 1 - decay)
            value.copy_(average[name])


@torch.no_grad()
def fold(network: Network) -> Network:
    """The same network without normalisations: each is written into the convolution before it.

    A max pooling between the two does not matter: it commutes with a positive factor.
    """
    plain = airbench((network.stem.in_channels, 32, 32), network.head[1].out_features, network.head[1].in_features, normalised=False)
    normalised = [layer for layer in network.blocks.modules() if isinstance(layer, nn.Conv2d | nn.BatchNorm2d)]
    folded = [layer for layer in plain.blocks.modules() if isinstance(layer, nn.Conv2d)]
    for convolution, normalisation, layer in zip(normalised[::2], normalised[1::2], folded, strict=True):
        factor = (normalisation.running_var + normalisation.eps).rsqrt()
        layer.weight.copy_(convolution.weight * factor.view(-1, 1, 1, 1))
        layer.bias.copy_(normalisation.bias - normalisation.running_mean * factor)
    plain.stem.load_state_dict(network.stem.state_dict())
    plain.head.load_state_dict(network.head.state_dict())
    plain.stem.weight.requires_grad_(False)
    return plain.to(network.stem.weight.device, memory_format=torch.channels_last)


def finetune(network: Network, dataset: Dataset, *, epochs: int, seed: int) -> Iterator[float]:
    """Train the folded network further, in place, on images without cutout; yields the fraction done.

    Training ends on images like those of the test set, as in detectors that are trained with strong augmentation (Ge et
    al. 2021, section 2.1). A loop of its own beside `making.train_weights`:
    bfloat16, no incomplete batch, other random numbers; one loop for both would change the shipped weights.
    """
    images, labels = dataset.train_images, dataset.train_labels
    steps = len(labels) // FINETUNE_BATCH
    optimizer = torch.optim.AdamW([p for p in network.parameters() if p.requires_grad], weight_decay=0.01)
    schedule = {"total_steps": max(1, epochs * steps), "pct_start": 0.1, "cycle_momentum": False}
    scheduler = torch.optim.lr_scheduler.OneCycleLR(optimizer, FINETUNE_RATE, **schedule)
    network.train()
    for epoch in range(epochs):
        generator = seeded(seed, "polish", epoch)
        order = torch.randperm(len(labels), generator=generator)[: steps * FINETUNE_BATCH].to(labels.device)
        for batch in order.split(FINETUNE_BATCH):
            augmented = random_flip(random_shift(images[batch], FINETUNE_SHIFT, generator), generator)
            pixels = dataset.pixels(augmented).contiguous(memory_format=torch.channels_last)
            with torch.autocast(images.device.type, dtype=torch.bfloat16):
                logits = network(pixels)
            loss = nn.functional.cross_entropy(logits.float(), labels[batch], label_smoothing=SMOOTHING)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            scheduler.step()
        yield (epoch + 1) / epochs
    network.eval()
