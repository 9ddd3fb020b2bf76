"""How the strong teacher for CIFAR-10 is trained: 94 % on the original pictures in ten epochs.

The recipe is Keller Jordan's airbench (*94% on CIFAR-10 in 3.29 Seconds on a Single GPU*, 2024): a first layer that
whitens patches, identity-like initial convolutions, SGD with a triangular learning rate, flips, shifts and hidden squares
(as in his longer runs), and a slowly following average of the weights. Batch normalisation is used in training only;
`fold` writes it into the convolutions. What is not his: at the end the folded network learns on from whole pictures.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from distill_core.data.dataset import Dataset, random_flip, random_shift, seeded
from distill_core.models import Network, airbench

BATCH = 1024
LEARNING_RATE, MOMENTUM, WEIGHT_DECAY, SMOOTHING = 11.5, 0.85, 0.0153, 0.2  # per 1024 examples, decoupled
SHIFT, CUT = 4, 12  # pixels by which a picture is moved at most, and the side of the square that is hidden in it
BIAS_FASTER = 64  # biases of the normalisations learn so many times faster
WHITENING_EPOCHS = 3  # the first layer's bias is trained only so long
FINETUNE_BATCH, FINETUNE_RATE, FINETUNE_SHIFT = 512, 3e-4, 2  # of AdamW, at the end


def train(dataset: Dataset, *, width: int, epochs: int, finetune_epochs: int, seed: int) -> Iterator[tuple[float, Network]]:
    """Train, fold and finetune; yields the fraction done and the network after each epoch, at last the one to keep."""
    whole = epochs + finetune_epochs
    for done, network in fit(dataset, width=width, epochs=epochs, seed=seed):
        if done < 1:
            yield done * epochs / whole, network
    folded = fold(network)
    yield epochs / whole, folded
    for done in finetune(folded, dataset, epochs=finetune_epochs, seed=seed):
        yield (epochs + done * finetune_epochs) / whole, folded


def fit(dataset: Dataset, *, width: int, epochs: int, seed: int) -> Iterator[tuple[float, Network]]:
    """Train from the beginning; yields the fraction done and the network (still with its normalisations) after each epoch."""
    images, labels = dataset.train_images, dataset.train_labels
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = airbench(dataset.image_shape, dataset.classes, width, normalised=True)
        network.to(images.device, memory_format=torch.channels_last)
    _begin(network, dataset.pixels(images[:5000]))
    steps = epochs * (len(labels) // BATCH)
    optimizer = _optimizer(network)
    highest = [group["lr"] for group in optimizer.param_groups]
    average = {name: value.clone() for name, value in network.state_dict().items()}
    step = 0
    for epoch in range(epochs):
        network.train()
        generator = seeded(seed, "airbench", epoch)
        order = torch.randperm(len(labels), generator=generator)[: len(labels) // BATCH * BATCH].to(labels.device)
        network.stem.bias.requires_grad_(epoch < WHITENING_EPOCHS)
        # Every picture is seen mirrored in every second epoch, rather than at random.
        mirrored = (torch.rand(len(labels), generator=seeded(seed, "mirror")) < 0.5).to(labels.device) ^ bool(epoch % 2)
        for batch in order.split(BATCH):
            seen = random_shift(torch.where(mirrored[batch].view(-1, 1, 1, 1), images[batch].flip(-1), images[batch]), SHIFT, generator)
            pixels = hide_squares(dataset.pixels(seen), CUT, generator).contiguous(memory_format=torch.channels_last)
            with torch.autocast(images.device.type, dtype=torch.bfloat16):
                logits = network(pixels)
            loss = nn.functional.cross_entropy(logits.float(), labels[batch], label_smoothing=SMOOTHING, reduction="sum")
            for group, top in zip(optimizer.param_groups, highest, strict=True):
                group["lr"] = top * _triangle(step / steps)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            step += 1
            if step % 5 == 0:
                _follow(average, network, decay=0.95**5 * (step / steps) ** 3)
        if epoch + 1 == epochs:
            _follow(average, network, decay=1.0)
        yield (epoch + 1) / epochs, network.eval()


def hide_squares(pixels: Tensor, side: int, generator: torch.Generator) -> Tensor:
    """In each image `(N, D, H, W)` a square anywhere inside becomes 0, the mean colour (DeVries and Taylor 2017). In place."""
    n, _, *sizes = pixels.shape
    inside = []
    for size in sizes:
        first = torch.randint(0, size - side + 1, (n, 1), generator=generator).to(pixels.device)
        place = torch.arange(size, device=pixels.device)
        inside.append((place >= first) & (place < first + side))  # (N, H) and (N, W)
    return pixels.masked_fill_((inside[0][:, :, None] & inside[1][:, None, :]).unsqueeze(1), 0)


@torch.no_grad()
def _begin(network: Network, pixels: Tensor) -> None:
    """The first layer whitens 2 x 2 patches, each component with both signs; the other convolutions begin as identities."""
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
    groups += [{"params": biases, "lr": rate * BIAS_FASTER, "weight_decay": decay / (rate * BIAS_FASTER)}]
    return torch.optim.SGD(groups, momentum=MOMENTUM, nesterov=True)


def _triangle(done: float, *, start: float = 0.2, peak: float = 0.23, end: float = 0.07) -> float:
    return start + (1 - start) * done / peak if done < peak else 1 - (1 - end) * (done - peak) / (1 - peak)


@torch.no_grad()
def _follow(average: dict[str, Tensor], network: Network, *, decay: float) -> None:
    """The average moves towards the weights, and the weights go on from the average."""
    for name, value in network.state_dict().items():
        if value.is_floating_point():
            average[name].lerp_(value, 1 - decay)
            value.copy_(average[name])


@torch.no_grad()
def fold(network: Network) -> Network:
    """The same network without normalisations: each is written into the convolution before it.

    Between them may stand a max pooling, which lets a positive factor through.
    """
    plain = airbench((network.stem.in_channels, 32, 32), network.head[1].out_features, network.head[1].in_features, normalised=False)
    ours = [layer for layer in network.blocks.modules() if isinstance(layer, nn.Conv2d | nn.BatchNorm2d)]
    folded = [layer for layer in plain.blocks.modules() if isinstance(layer, nn.Conv2d)]
    for convolution, normalisation, layer in zip(ours[::2], ours[1::2], folded, strict=True):
        factor = (normalisation.running_var + normalisation.eps).rsqrt()
        layer.weight.copy_(convolution.weight * factor.view(-1, 1, 1, 1))
        layer.bias.copy_(normalisation.bias - normalisation.running_mean * factor)
    plain.stem.load_state_dict(network.stem.state_dict())
    plain.head.load_state_dict(network.head.state_dict())
    plain.stem.weight.requires_grad_(False)
    return plain.to(network.stem.weight.device, memory_format=torch.channels_last)


def finetune(network: Network, dataset: Dataset, *, epochs: int, seed: int) -> Iterator[float]:
    """Train the folded network further, in place, on pictures without hidden squares; yields the fraction done.

    A network that is to name whole pictures ends its training with whole pictures, as detectors do that are trained on
    heavily altered ones (Ge et al. 2021, *YOLOX: Exceeding YOLO Series in 2021*, section 2.1).
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
            seen = random_flip(random_shift(images[batch], FINETUNE_SHIFT, generator), generator)
            pixels = dataset.pixels(seen).contiguous(memory_format=torch.channels_last)
            with torch.autocast(images.device.type, dtype=torch.bfloat16):
                logits = network(pixels)
            loss = nn.functional.cross_entropy(logits.float(), labels[batch], label_smoothing=SMOOTHING)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            scheduler.step()
        yield (epoch + 1) / epochs
    network.eval()
