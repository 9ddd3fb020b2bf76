"""Training a teacher by its recipe, measuring it, and writing its weights and card."""

from __future__ import annotations

import hashlib
import json
import math
import time
from collections.abc import Generator, Iterator
from dataclasses import asdict, replace
from pathlib import Path

import filelock
import torch
from safetensors.torch import save
from torch import Tensor, nn

from distill_core import models, paths
from distill_core.data.dataset import Dataset, add_label_noise, choose_images, random_flip, random_shift, seeded
from distill_core.data.text import Text
from distill_core.losses import bits_per_character
from distill_core.teachers import airbench
from distill_core.teachers.cards import Card, find_weights, shipped
from distill_core.teachers.logit_cache import logits
from distill_core.teachers.recipes import Recipe, parse_ensemble, recipe_for, teacher_network
from distill_core.teachers.weights import copy_weights, load_teacher, split_weights, write_parts

REPORT_EVERY = 10  # training steps
Steps = Generator[tuple[str, float], None, None]  # a description of the current step, and the fraction of it that is done


def prepare_teacher(dataset: Dataset, name: str, *, device: torch.device | str = "cpu") -> Steps:
    """Train the teacher, or each member of an ensemble, that is neither shipped nor on this machine; yields the progress.

    Raises `ValueError` if the name is not known or if the weights cannot be stored.
    """
    for member in parse_ensemble(name):
        yield from _prepare_one(dataset, member, device=device)


def _prepare_one(dataset: Dataset, name: str, *, device: torch.device | str) -> Steps:
    if find_weights(dataset, name)[1] is not None:
        return
    folder = paths.home() / "teachers"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = filelock.FileLock(folder / f"{dataset.fingerprint}-{name}.lock")
        while not lock.is_locked:  # a run that was stopped must not wait here: it is left at a `yield`
            try:
                lock.acquire(timeout=0.2)
            except filelock.Timeout:
                yield f"waiting for another run that trains the teacher {name} on {dataset.title}", 0.0
    except OSError as error:
        raise ValueError(
            f"the teacher '{name}' cannot be stored in {folder} ({error.strerror}); set DISTILL_HOME to a folder that can be written"
        ) from error
    with lock:
        if find_weights(dataset, name)[1] is None:
            yield from make_teacher(dataset, name, folder=folder, stem=f"{dataset.fingerprint}-{name}", device=device)


def make_teacher(
    dataset: Dataset, name: str, *, folder: Path, stem: str, device: torch.device | str = "cpu"
) -> Generator[tuple[str, float], None, Card]:
    """Train the teacher, write `stem.safetensors` in float16 and its card beside it; returns the card.

    The test errors on the card are those of the float16 weights, not of the trained float32 ones.
    """
    recipe, threads, started = recipe_for(dataset, name), torch.get_num_threads(), time.perf_counter()
    dataset = dataset.to(device)
    trained = yield from train_weights(dataset, recipe, f"training the teacher {name} on {dataset.title}")
    weights = {key: value.half() for key, value in trained.items()}
    network = teacher_network(recipe, image_shape=dataset.image_shape, classes=dataset.classes)
    network = network.to(device, memory_format=torch.channels_last)
    network.load_state_dict({key: value.float() for key, value in weights.items()})
    test_logits = logits(network.eval(), dataset, dataset.test_images)
    blobs = [save({key: weights[key].cpu().contiguous() for key in keys}) for keys in split_weights(weights)]
    card = Card(
        name=name,
        dataset=dataset.name,
        title=dataset.title,
        data_fingerprint=dataset.fingerprint,
        recipe=asdict(recipe),
        parameters=models.parameters(network),
        test_images=dataset.test_labels.numel(),
        test_errors=int((test_logits.argmax(dim=-1) != dataset.test_labels).sum()),
        seconds=round(time.perf_counter() - started, 1),
        made_with=f"torch {torch.__version__}, {threads} thread{'' if threads == 1 else 's'}, {torch.device(device).type}",
        sha256=hashlib.sha256(b"".join(blobs)).hexdigest(),
        test_bits_per_character=_bits(test_logits, dataset) if dataset.is_text else None,
    )
    write_parts(folder / f"{stem}.safetensors", blobs)
    # The card comes last: where it is, the weights are complete.
    paths.write_atomically(folder / f"{stem}.json", json.dumps(asdict(card), indent=1).encode())
    return card


def _bits(logits: Tensor, dataset: Text) -> float:
    return round(bits_per_character(logits, dataset.test_labels, characters=dataset.characters_per_token).item(), 4)


# --- training -------------------------------------------------------------------------------------------------------


def train_weights(dataset: Dataset, recipe: Recipe, step: str) -> Generator[tuple[str, float], None, dict[str, Tensor]]:
    """Train all members; yields `step` and the fraction done, returns the weights, named as in `teacher_network`."""
    network = teacher_network(recipe, image_shape=dataset.image_shape, classes=dataset.classes)
    yield step, 0.0
    for member in range(recipe.members):
        for done, trained in _train_member(dataset, replace(recipe, seed=recipe.seed + member)):  # noqa: B007
            yield step, (member + done) / recipe.members
        copy_weights(trained, network if recipe.members == 1 else network.networks[member])
    return network.state_dict()


def _train_member(dataset: Dataset, recipe: Recipe) -> Iterator[tuple[float, nn.Module]]:
    """Train one network; yields the fraction done and the network, the last time as it is to be kept."""
    if recipe.model.startswith("airbench"):
        choices = {"width": int(recipe.model.split("-")[1]), "epochs": recipe.epochs, "finetune_epochs": recipe.finetune_epochs}
        yield from airbench.train(dataset, **choices, seed=recipe.seed)
        return
    options = {"image_shape": dataset.image_shape, "classes": dataset.classes, "dropout": recipe.dropout}
    network = models.build(recipe.model, seed=recipe.seed, **options)
    network.to(dataset.train_images.device, memory_format=torch.channels_last)
    for done in _fit(network, dataset, recipe):
        yield done, network


def _fit(network: nn.Module, dataset: Dataset, recipe: Recipe) -> Iterator[float]:
    """Train in place; yields the fraction done. The seed sets the order of images, the shifts, the flips and the dropout.

    `airbench.finetune` is a loop of its own: it runs in bfloat16, drops the last incomplete batch and draws its random
    numbers for other purposes. One loop for both would change the shipped weights.
    """
    if dataset.is_text:
        yield from _fit_text(network, dataset, recipe)
        return
    images, labels = dataset.train_images, dataset.train_labels
    chosen = choose_images(labels, images=recipe.images, hide_classes=(), seed=recipe.seed)
    # Negative, as no student's seed is: the wrong labels of teacher and student are drawn independently.
    labels = add_label_noise(labels, label_noise=recipe.label_noise, classes=dataset.classes, seed=-1 - recipe.seed)
    steps = math.ceil(len(chosen) / recipe.batch_size)
    optimizer = torch.optim.AdamW(network.parameters(), weight_decay=recipe.weight_decay, fused=True)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, recipe.learning_rate, total_steps=recipe.epochs * steps)
    with torch.random.fork_rng():
        torch.manual_seed(recipe.seed)  # dropout draws from the global generator
        network.train()
        for epoch in range(recipe.epochs):
            generator = seeded(recipe.seed, "teacher", epoch)
            order = chosen[torch.randperm(len(chosen), generator=generator).to(labels.device)]
            for number, batch in enumerate(order.split(recipe.batch_size), start=1):
                augmented = random_shift(images[batch], recipe.random_shift, generator)
                if recipe.random_flip:
                    augmented = random_flip(augmented, generator)
                batch_logits = network(dataset.pixels(augmented).contiguous(memory_format=torch.channels_last))
                loss = nn.functional.cross_entropy(batch_logits, labels[batch], label_smoothing=recipe.smoothing)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                schedule.step()
                if number == steps or number % REPORT_EVERY == 0:
                    yield (epoch + number / steps) / recipe.epochs
        network.eval()


def _fit_text(network: nn.Module, dataset: Text, recipe: Recipe) -> Iterator[float]:
    """The same for a language model. With `random_shift` the windows of a batch begin anywhere in the text."""
    windows, targets, length = dataset.train_images, dataset.train_labels, dataset.length
    stream = torch.cat([windows.flatten(), targets[-1, -1:].to(windows.dtype)]).long()  # of a text by characters: all of it
    steps = math.ceil(len(windows) / recipe.batch_size)
    optimizer = torch.optim.AdamW(network.parameters(), weight_decay=recipe.weight_decay, betas=(0.9, 0.95), fused=True)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, recipe.learning_rate, total_steps=recipe.epochs * steps, pct_start=0.1)
    with torch.random.fork_rng():
        torch.manual_seed(recipe.seed)  # dropout draws from the global generator
        network.train()
        for epoch in range(recipe.epochs):
            generator = seeded(recipe.seed, "teacher", epoch)
            order = torch.randperm(len(windows), generator=generator).to(windows.device)
            for number, batch in enumerate(order.split(recipe.batch_size), start=1):
                tokens, wanted = windows[batch].long(), targets[batch]
                if recipe.random_shift:
                    begin = torch.randint(len(stream) - length, (len(batch), 1), generator=generator).to(windows.device)
                    places = begin + torch.arange(length, device=windows.device)  # (B, L)
                    tokens, wanted = stream[places], stream[places + 1]
                loss = nn.functional.cross_entropy(network(tokens).flatten(0, 1), wanted.flatten())
                optimizer.zero_grad()
                loss.backward()
                nn.utils.clip_grad_norm_(network.parameters(), 1.0)
                optimizer.step()
                schedule.step()
                if number == steps or number % REPORT_EVERY == 0:
                    yield (epoch + number / steps) / recipe.epochs
        network.eval()


# --- shipping -------------------------------------------------------------------------------------------------------

FIRST_TEACHER = "digits-mlp-1200x2"  # of the first page


def ship_teacher(dataset: Dataset, name: str) -> Generator[tuple[str, float], None, Card]:
    """Train one of the shipped teachers again and replace its files in `weights/`; yields the progress, returns the card."""
    stem = f"{dataset.name}-{name}"
    card = yield from make_teacher(dataset, name, folder=paths.WEIGHTS, stem=stem)
    (paths.WEIGHTS / f"{stem}.json").unlink()
    file = paths.WEIGHTS / "cards.json"
    cards = json.loads(file.read_text()) if file.exists() else []
    cards = [c for c in cards if (c["name"], c["dataset"]) != (card.name, card.dataset)] + [asdict(card)]
    cards = json.dumps(sorted(cards, key=lambda c: (c["dataset"], c["name"])), indent=1) + "\n"
    paths.write_atomically(file, cards.encode())
    shipped.cache_clear()
    if stem == FIRST_TEACHER:
        paths.write_atomically(paths.WEIGHTS / "first_digit.json", json.dumps(choose_first_digit(dataset)).encode())
    return card


def choose_first_digit(dataset: Dataset) -> dict:
    """The digit of the first page: the correctly classified test image whose soft targets at T = 4 have the highest entropy.

    It is stored as plain numbers, so that the first page needs no torch.
    """
    teacher = load_teacher(dataset, "mlp-1200x2")
    test_logits = logits(teacher.network, dataset, dataset.test_images)
    soft = torch.softmax(test_logits / 4, dim=1)
    entropy = -(soft * soft.log()).sum(dim=1)
    entropy[test_logits.argmax(dim=1) != dataset.test_labels] = 0
    index = int(entropy.argmax())
    return {
        "index": index,
        "pixels": dataset.test_images[index].flatten().tolist(),
        "image_shape": list(dataset.image_shape),
        "label": int(dataset.test_labels[index]),
        "class_names": list(dataset.class_names),
        "logits": [round(z, 4) for z in test_logits[index].tolist()],
    }
