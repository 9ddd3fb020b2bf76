"""The trained teachers: how each was made, how good it is, and its logits by example index.

Those in `weights/` come with the lab. For any other set of images a teacher is made on this machine, once, by the same
recipes, and kept in `DISTILL_HOME`.
"""

from __future__ import annotations

import functools
import hashlib
import itertools
import json
import math
import os
import time
from collections.abc import Generator, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import filelock
import torch
from safetensors import SafetensorError
from safetensors.torch import load, load_file, save
from torch import Tensor, nn

from distill_core import models, paths
from distill_core.data.datasets import Dataset, choose_images, keep, random_flip, random_shift, seeded
from distill_core.paths import WEIGHTS
from distill_core.teachers import airbench


@dataclass(frozen=True)
class Recipe:
    """How a teacher is made: AdamW with a one-cycle learning rate, on all training images unless `images` says fewer."""

    model: str
    about: str
    epochs: int  # on 28 x 28 grey images; `recipe_for` says what other sets get
    batch_size: int = 256
    learning_rate: float = 1e-3  # at its highest
    dropout: float = 0.0  # share of units left out in each hidden layer
    random_shift: int = 0  # each image is moved by up to this many pixels, both ways
    random_flip: bool = False  # half of the images are seen mirrored
    smoothing: float = 0.0  # label smoothing
    weight_decay: float = 0.01
    images: int = 0  # 0 for all
    members: int = 1  # of an ensemble
    finetune_epochs: int = 0  # of an airbench, at the end: no squares are hidden, and the learning rate is small
    seed: int = 0


_HINTON = Recipe("mlp-1200x2", "Hinton's net: two hidden layers of 1200 units", epochs=60, dropout=0.5, random_shift=2)
_AIRBENCH = Recipe(
    "airbench-256", "Keller Jordan's airbench, seven convolutions of up to 256 channels; looks at each picture and its mirror image",
    epochs=30, batch_size=1024, random_shift=airbench.SHIFT, random_flip=True, smoothing=0.2, finetune_epochs=4,
)  # fmt: skip

TEACHERS = {
    "mlp-1200x2": _HINTON,
    "mlp-1200x2-smoothed": replace(_HINTON, about="Hinton's net, trained on smoothed labels", smoothing=0.1),
    "mlp-1200x2-overfit": replace(
        _HINTON, about="Hinton's net, overfit to a thousand images", epochs=100, dropout=0.0, random_shift=0, weight_decay=0.0, images=1000
    ),
    "cnn-32": Recipe("cnn-32", "three convolutions of 32, 64 and 128 channels", epochs=16, learning_rate=2e-3, dropout=0.3, random_shift=2),
    "ensemble-5": Recipe(
        "cnn-16", "five nets of 16, 32 and 64 channels, their probabilities averaged",
        epochs=8, learning_rate=3e-3, dropout=0.2, random_shift=2, members=5,
    ),
    "airbench-256": _AIRBENCH,
    "airbench-pair": replace(
        _AIRBENCH, about="two of Keller Jordan's airbench with averaged probabilities, each as airbench-256", members=2
    ),
}  # fmt: skip
LARGEST_FILE = 4_900_000  # bytes of weights: the repository takes no file above 5 MB
EVERYWHERE = ("mlp-1200x2", "cnn-32")  # made on any set of images, on first use
SAME_IMAGES = {"cifar10": "cifar10-jpeg"}  # the same pictures, encoded otherwise: one's teachers can teach the other


def offered(dataset: str) -> list[str]:
    """The teachers for a data set: those that come with the lab, and those that are made on first use."""
    names = {card.name for card in shipped() if card.dataset == SAME_IMAGES.get(dataset, dataset)}
    return [name for name in TEACHERS if name in names or name in EVERYWHERE]


def recipe_for(dataset: Dataset, name: str) -> Recipe:
    """How the teacher `name` is made on this set: few images are seen more often; coloured ones are mirrored, too."""
    recipe = TEACHERS[check_teacher(name)]
    if len(dataset.train_labels) < 10_000:
        return replace(recipe, epochs=120, batch_size=64, random_shift=min(recipe.random_shift, 1))
    if dataset.image_shape[0] == 3 and not recipe.random_flip:  # one that is not made for coloured images
        return replace(recipe, random_flip=True, epochs=min(recipe.epochs, 12))
    return recipe


def teacher_network(dataset: Dataset, recipe: Recipe) -> nn.Module:
    """The network of a recipe as it answers, its weights not yet set."""
    members = [
        models.build(recipe.model, image_shape=dataset.image_shape, classes=dataset.classes, seed=recipe.seed)
        for _ in range(recipe.members)
    ]
    if recipe.model.startswith("airbench"):  # which is scored so by its author, too
        members = [models.Mirrored(member) for member in members]
    return members[0] if recipe.members == 1 else models.Ensemble(members)


def check_teacher(name: str) -> str:
    """The name itself if a teacher is called so; otherwise `ValueError` with the names that would do."""
    if name not in TEACHERS:
        raise ValueError(f"teacher '{name}' is not known; choose one of: {', '.join(TEACHERS)}, or several of them joined by +")
    return name


def parse_ensemble(name: str) -> dict[str, float]:
    """The teachers that answer under this name, each with the weight of its voice: `2*cnn-32+mlp-1200x2` is two.

    Raises `ValueError` if one of them is not known, is named twice, or has a weight that is no number above 0.
    """
    found: dict[str, float] = {}
    for part in name.split("+"):
        weight, _, one = part.rpartition("*")
        try:
            found_weight = float(weight or 1)
        except ValueError:
            found_weight = math.nan
        if not 0 < found_weight <= 1000:
            raise ValueError(f"the weight '{weight}' of teacher '{one}' is no number from above 0 to 1000; write it as 2*{one}")
        if check_teacher(one) in found:
            raise ValueError(f"teacher '{one}' is named twice in '{name}'; name it once, with a weight as in 2*{one}")
        found[one] = found_weight
    return found


def single(name: str) -> Recipe | None:
    """The recipe of a teacher that is one network; None for several."""
    recipe = TEACHERS.get(name)
    return recipe if recipe is not None and recipe.members == 1 else None


@dataclass(frozen=True)
class Card:
    """What is known of a trained teacher: on what it was trained, how, how good it is, and the hash of its file."""

    name: str
    dataset: str
    title: str
    data_fingerprint: str
    recipe: dict
    parameters: int
    test_images: int
    test_errors: int
    seconds: float
    made_with: str
    sha256: str

    @property
    def test_accuracy(self) -> float:
        """The fraction of test images that it names correctly."""
        return 1 - self.test_errors / self.test_images


@dataclass(frozen=True, eq=False)
class Teacher:
    """A trained network, never trained further."""

    network: nn.Module
    parameters: int
    fingerprint: str  # of its weights: what it said of an image is kept under it
    card: Card | None = None  # of one teacher that was made by a recipe


# --- shipped and home-made ------------------------------------------------------------------------------------------


@functools.cache
def shipped() -> tuple[Card, ...]:
    """The cards of the teachers that come with the lab."""
    return tuple(Card(**card) for card in json.loads((WEIGHTS / "cards.json").read_text()))


def _files(dataset: Dataset, name: str) -> tuple[Path, Card | None]:
    """Where the teacher's weights are (or will be), and its card if it was made."""
    for card in shipped():
        if card.name == name and (card.data_fingerprint == dataset.fingerprint or card.dataset == SAME_IMAGES.get(dataset.name)):
            return WEIGHTS / f"{card.dataset}-{name}.safetensors", card
    path = paths.home() / "teachers" / f"{dataset.fingerprint}-{name}.safetensors"
    try:
        card = Card(**json.loads(path.with_suffix(".json").read_text())) if path.exists() else None
    except (OSError, ValueError, TypeError):  # not there, cut, or of another edition: made again
        card = None
    return path, card


def load_teacher(dataset: Dataset, name: str, *, combine: str = "probabilities", device: torch.device | str = "cpu") -> Teacher:
    """The trained teacher `name` of this data set, or several that answer as one by their mean `probabilities` or `logits`.

    Raises `ValueError` if a file is missing, cut or altered.
    """
    weights = parse_ensemble(name)
    if len(weights) == 1:
        return _load_one(dataset, *weights, device=device)
    members = [_load_one(dataset, one, device=device) for one in weights]
    network = models.Ensemble([member.network for member in members], weights=list(weights.values()), combine=combine)
    said = json.dumps([combine, *((member.fingerprint, weight) for member, weight in zip(members, weights.values(), strict=True))])
    return Teacher(network.eval(), sum(member.parameters for member in members), hashlib.sha256(said.encode()).hexdigest())


def _load_one(dataset: Dataset, name: str, *, device: torch.device | str) -> Teacher:
    path, card = _files(dataset, name)
    remedy = "restore it from the repository" if path.parent == WEIGHTS else "delete it and it is made again"
    if card is None:
        raise ValueError(f"there is no teacher '{name}' for {dataset.title} yet; the next run with it makes one")
    try:
        blobs = _read_parts(path)
    except OSError as error:
        raise ValueError(f"the teacher '{name}' of {dataset.title} is missing at {path}; {remedy}") from error
    if hashlib.sha256(b"".join(blobs)).hexdigest() != card.sha256:
        raise ValueError(f"the teacher '{name}' of {dataset.title} in {path} is cut or altered; {remedy}")
    network = teacher_network(dataset, TEACHERS[name])
    network.load_state_dict({key: value.float() for blob in blobs for key, value in load(blob).items()})
    network = network.eval().requires_grad_(False).to(device, memory_format=torch.channels_last)
    return Teacher(network, card.parameters, card.sha256, card)


def in_training_mode(teacher: Teacher, dataset: Dataset, name: str) -> nn.Module:
    """A single teacher as it was while it learnt: with dropout, so that it answers differently each time."""
    recipe = single(name)
    network = models.build(recipe.model, image_shape=dataset.image_shape, classes=dataset.classes, seed=0, dropout=recipe.dropout)
    _copy_weights(teacher.network, network)
    device = next(teacher.network.parameters()).device
    return network.train().requires_grad_(False).to(device, memory_format=torch.channels_last)


def _copy_weights(source: nn.Module, target: nn.Module) -> None:
    """Without its dropout layers a network has other names for the same weights, in the same order."""
    target.load_state_dict(dict(zip(target.state_dict(), source.state_dict().values(), strict=True)))


def prepare_teacher(dataset: Dataset, name: str, *, device: torch.device | str = "cpu") -> Generator[tuple[str, float], None, None]:
    """Make the teacher, or each of several, if neither the lab nor this machine has it.

    Yields what is done and which fraction of it.
    """
    for one in parse_ensemble(name):
        yield from _prepare_one(dataset, one, device=device)


def _prepare_one(dataset: Dataset, name: str, *, device: torch.device | str) -> Generator[tuple[str, float], None, None]:
    if _files(dataset, name)[1] is not None:
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
            f"the teacher '{name}' cannot be kept in {folder} ({error.strerror}); set DISTILL_HOME to a folder that can be written"
        ) from error
    with lock:
        if _files(dataset, name)[1] is None:
            yield from make_teacher(dataset, name, folder=folder, stem=f"{dataset.fingerprint}-{name}", device=device)


def make_teacher(
    dataset: Dataset, name: str, *, folder: Path, stem: str, device: torch.device | str = "cpu"
) -> Generator[tuple[str, float], None, Card]:
    """Train the teacher, write `stem.safetensors` in half precision and its card beside it; returns the card.

    The card's figures are measured on the weights as they were written, not as they were trained.
    """
    recipe, started = recipe_for(dataset, name), time.perf_counter()
    dataset = dataset.to(device)
    trained = yield from _train(dataset, recipe, f"training the teacher {name} on {dataset.title}")
    weights = {key: value.half() for key, value in trained.items()}
    plain = teacher_network(dataset, recipe).to(device, memory_format=torch.channels_last)
    plain.load_state_dict({key: value.float() for key, value in weights.items()})
    test_logits = logits(plain.eval(), dataset, dataset.test_images)
    blobs = [save({key: weights[key].cpu().contiguous() for key in keys}) for keys in _cut(weights)]
    card = Card(
        name=name,
        dataset=dataset.name,
        title=dataset.title,
        data_fingerprint=dataset.fingerprint,
        recipe=asdict(recipe),
        parameters=models.parameters(plain),
        test_images=len(dataset.test_labels),
        test_errors=int((test_logits.argmax(dim=1) != dataset.test_labels).sum()),
        seconds=round(time.perf_counter() - started, 1),
        made_with=f"torch {torch.__version__}, {torch.get_num_threads()} threads, {torch.device(device).type}",
        sha256=hashlib.sha256(b"".join(blobs)).hexdigest(),
    )
    _write_parts(folder / f"{stem}.safetensors", blobs)
    _write(folder / f"{stem}.json", json.dumps(asdict(card), indent=1).encode())  # last: a card says that the weights are whole
    return card


def ship_teacher(dataset: Dataset, name: str) -> Generator[tuple[str, float], None, Card]:
    """Make one of the lab's own teachers again: what is in `weights/` came from this."""
    stem = f"{dataset.name}-{name}"
    card = yield from make_teacher(dataset, name, folder=WEIGHTS, stem=stem)
    (WEIGHTS / f"{stem}.json").unlink()
    file = WEIGHTS / "cards.json"
    cards = json.loads(file.read_text()) if file.exists() else []
    cards = [c for c in cards if (c["name"], c["dataset"]) != (card.name, card.dataset)] + [asdict(card)]
    file.write_text(json.dumps(sorted(cards, key=lambda c: (c["dataset"], c["name"])), indent=1) + "\n")
    shipped.cache_clear()
    if stem == FIRST_TEACHER:
        _write(WEIGHTS / "first_digit.json", json.dumps(choose_first_digit(dataset)).encode())
    return card


FIRST_TEACHER = "digits-mlp-1200x2"


def choose_first_digit(dataset: Dataset) -> dict:
    """The digit that the lab opens with: named correctly by the teacher, with the most spread soft targets at T = 4.

    It is kept as plain numbers, so that the first page need not wait for torch.
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


def _cut(weights: dict[str, Tensor]) -> list[list[str]]:
    """The names of the weights, file by file: as many as fit into one, in their order."""
    files: list[list[str]] = [[]]
    room = LARGEST_FILE
    for name, value in weights.items():
        if files[-1] and value.nbytes > room:
            files.append([])
            room = LARGEST_FILE
        files[-1].append(name)
        room -= value.nbytes
    return files


def _part(path: Path, number: int) -> Path:
    """Where the weights go on that do not fit into one file: `x.safetensors`, `x.part2.safetensors` ..."""
    return path.with_suffix(f".part{number + 1}.safetensors") if number else path


def _read_parts(path: Path) -> list[bytes]:
    """A file of weights and those in which it goes on."""
    blobs = [path.read_bytes()]
    while (more := _part(path, len(blobs))).exists():
        blobs.append(more.read_bytes())
    return blobs


def _write_parts(path: Path, blobs: list[bytes]) -> None:
    """These and no others: what an earlier teacher had more is deleted."""
    for number, blob in enumerate(blobs):
        _write(_part(path, number), blob)
    for number in itertools.takewhile(lambda n: _part(path, n).exists(), itertools.count(len(blobs))):
        _part(path, number).unlink()


def _write(path: Path, blob: bytes) -> None:
    """All of it or nothing."""
    temporary = path.with_suffix(f".{os.getpid()}")
    temporary.write_bytes(blob)
    temporary.replace(path)


# --- training a teacher ---------------------------------------------------------------------------------------------


def _train(dataset: Dataset, recipe: Recipe, what: str) -> Generator[tuple[str, float], None, dict[str, Tensor]]:
    """The trained weights, named as in `teacher_network`; yields what is done and which fraction of it."""
    network = teacher_network(dataset, recipe)
    for member in range(recipe.members):
        for done, learner in _learn(dataset, replace(recipe, seed=recipe.seed + member)):  # noqa: B007
            yield what, (member + done) / recipe.members
        _copy_weights(learner, network if recipe.members == 1 else network.networks[member])
    return network.state_dict()


def _learn(dataset: Dataset, recipe: Recipe) -> Iterator[tuple[float, nn.Module]]:
    """Train one network; yields the fraction done and the network, at last as it is to be kept."""
    if recipe.model.startswith("airbench"):
        choices = {"width": int(recipe.model.split("-")[1]), "epochs": recipe.epochs, "finetune_epochs": recipe.finetune_epochs}
        yield from airbench.train(dataset, **choices, seed=recipe.seed)
        return
    options = {"image_shape": dataset.image_shape, "classes": dataset.classes, "dropout": recipe.dropout}
    learner = models.build(recipe.model, seed=recipe.seed, **options)
    learner.to(dataset.train_images.device, memory_format=torch.channels_last)
    for done in _fit(learner, dataset, recipe):
        yield done, learner


def _fit(network: nn.Module, dataset: Dataset, recipe: Recipe) -> Generator[float, None, None]:
    """Train in place; yields the fraction done. The order of images and each jitter come from the seed."""
    images, labels = dataset.train_images, dataset.train_labels
    chosen = choose_images(labels, images=recipe.images, hide_classes=(), seed=recipe.seed)
    steps = math.ceil(len(chosen) / recipe.batch_size)
    optimizer = torch.optim.AdamW(network.parameters(), weight_decay=recipe.weight_decay, fused=True)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, recipe.learning_rate, total_steps=recipe.epochs * steps)
    with torch.random.fork_rng():
        torch.manual_seed(recipe.seed)  # dropout draws from the global generator
        network.train()
        for epoch in range(recipe.epochs):
            generator = seeded(recipe.seed, "teacher", epoch)
            order = chosen[torch.randperm(len(chosen), generator=generator).to(labels.device)]
            for batch in order.split(recipe.batch_size):
                seen = random_shift(images[batch], recipe.random_shift, generator)
                if recipe.random_flip:
                    seen = random_flip(seen, generator)
                student_logits = network(dataset.pixels(seen).contiguous(memory_format=torch.channels_last))
                loss = nn.functional.cross_entropy(student_logits, labels[batch], label_smoothing=recipe.smoothing)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                schedule.step()
            yield (epoch + 1) / recipe.epochs
        network.eval()


# --- logits by example index ----------------------------------------------------------------------------------------


@torch.no_grad()
def logits(network: nn.Module, dataset: Dataset, images: Tensor, *, batch_size: int = 250) -> Tensor:
    """The network's logits `(N, C)` for uint8 images `(N, D, H, W)`."""
    dtype = next(network.parameters()).dtype
    batches = [network(dataset.pixels(batch).to(dtype, memory_format=torch.channels_last)) for batch in images.split(batch_size)]
    return torch.cat(batches) if batches else torch.empty(0, dataset.classes, device=images.device)


def teacher_logits(teacher: Teacher, dataset: Dataset, *, part: str, indices: Tensor) -> Tensor:
    """The teacher's logits `(N, C)` for a part, `"train"` or `"test"`, by example index; NaN where none was ever asked for.

    What was computed once is kept by example index under a fingerprint of data and weights, so soft targets can never
    belong to other images; of the `indices` asked for, only those still missing are computed.
    """
    images = getattr(dataset, f"{part}_images")
    path = paths.cache("logits") / f"{dataset.fingerprint}-{teacher.fingerprint[:16]}-{part}.safetensors"
    kept = _read_kept(path, (len(images), dataset.classes))
    wanted = indices.cpu()
    missing = wanted[kept[wanted, 0].isnan()].unique()
    if len(missing):
        kept[missing] = logits(teacher.network, dataset, images[missing.to(images.device)]).cpu()
        keep({"logits": kept}, path)
    return kept.to(images.device)


def _read_kept(path: Path, shape: tuple[int, int]) -> Tensor:
    try:
        kept = load_file(path)["logits"]
        if kept.shape == shape:
            return kept
    except (OSError, SafetensorError, KeyError):  # not there yet, or cut: compute again
        pass
    return torch.full(shape, torch.nan)


def describe(card: Card) -> str:
    """In words, how a teacher was made."""
    recipe = card.recipe
    adamw = f"{recipe['epochs']} epochs of AdamW, one-cycle up to {recipe['learning_rate']:g}, batches of {recipe['batch_size']}"
    parts = [
        recipe["about"],
        f"dropout {recipe['dropout']:g}" if recipe["dropout"] else "",
        f"shifted by up to {recipe['random_shift']} px" if recipe["random_shift"] else "",
        "mirrored" if recipe.get("random_flip") else "",
        f"label smoothing {recipe['smoothing']:g}" if recipe["smoothing"] else "",
        f"{recipe['epochs']} epochs of airbench's SGD" if recipe["model"].startswith("airbench") else adamw,
        f"{recipe['finetune_epochs']} of AdamW without hidden squares" if recipe.get("finetune_epochs") else "",
    ]
    parts = [part for part in parts if part]
    return f"{', '.join(parts)}, seed {recipe['seed']}; {card.seconds:.0f} s with {card.made_with}; scored in half precision as shipped"


def teacher_fingerprints(dataset: str, teacher: str) -> list[str]:
    """The hashes of the weights under this teacher's name for the data set, shipped or trained here, member by member.

    They go into the key of a run: after a teacher was trained again, an earlier result is no answer. Empty for a teacher
    that does not exist yet. Only cards are read, so no data set is loaded.
    """
    found = []
    for name in parse_ensemble(teacher):
        sets = (dataset, SAME_IMAGES.get(dataset))
        found += [card.sha256 for card in shipped() if card.name == name and card.dataset in sets]
        for path in sorted((paths.home() / "teachers").glob(f"*-{name}.json")):
            try:
                card = json.loads(path.read_text())
                found += [card["sha256"]] if (card["name"], card["dataset"]) == (name, dataset) else []
            except (OSError, ValueError, KeyError, TypeError):  # deleted meanwhile, cut, or of an older lab: made again
                continue
    return found
