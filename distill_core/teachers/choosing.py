"""Which teachers a data set has, its default, and what to know of one before it is chosen: origin, smoothing, time to train."""

from __future__ import annotations

import math

from distill_core import models
from distill_core.data import datasets
from distill_core.data.datasets import SOURCES, is_text
from distill_core.teachers.cards import Card, recipe_of, shipped, teacher_fingerprints
from distill_core.teachers.recipes import (
    ON_ANY_DATASET,
    ON_ANY_TEXT,
    SAME_IMAGES,
    TEACHERS,
    Recipe,
    adapt,
    parse_ensemble,
    reads_text,
)

DEFAULTS = {  # shipped, or the quickest to train
    "cifar10": "cnn-32", "cifar10-jpeg": "cnn-32", "fashion-mnist": "cnn-32", "little-language": "gpt-64x2", "shakespeare": "gpt-128x4",
}  # fmt: skip
USUAL = "mlp-1200x2"  # the default of all other sets
CARD_CORES = 2  # that trained the shipped teachers; their cards have the seconds
MAX_CORES = 4  # that training one network uses well


def default_teacher(dataset: str) -> str:
    """The teacher of a data set where none is named."""
    return DEFAULTS.get(dataset, ON_ANY_TEXT[0] if is_text(dataset) else USUAL)


def shipped_for(dataset: str) -> list[Card]:
    """The cards of the shipped teachers of a data set, its default first; of original CIFAR-10 those of its JPEG copy."""
    order = [default_teacher(dataset), *TEACHERS]
    found = [card for card in shipped() if card.dataset == SAME_IMAGES.get(dataset, dataset)]
    return sorted(found, key=lambda card: order.index(card.name))


def offered(dataset: str) -> list[str]:
    """The names of the teachers for a data set: its default, the other shipped ones, and those that are trained on first use."""
    names = [card.name for card in shipped_for(dataset)] or [default_teacher(dataset)]
    return [*names, *(name for name in (ON_ANY_TEXT if is_text(dataset) else ON_ANY_DATASET) if name not in names)]


def teacher_after_change(dataset: str, teacher: str) -> str:
    """The teacher when a page changes to this data set: the same if it is shipped for the set, otherwise the default."""
    names = {card.name for card in shipped_for(dataset)}
    try:
        return teacher if set(parse_ensemble(teacher)) <= names else default_teacher(dataset)
    except ValueError:
        return default_teacher(dataset)


# --- what to know before choosing one -------------------------------------------------------------------------------


def untrained_note(dataset: str, teacher: str, *, cores: int) -> str:
    """A sentence if a run must train the teacher, or members of it, first, with the estimated time; otherwise empty.

    Raises `ValueError` if the name is not known, or if an uploaded set cannot be read.
    """
    missing = [name for name in parse_ensemble(teacher) if not teacher_fingerprints(dataset, name)]
    if not missing:
        return ""
    size = _size(dataset)
    seconds = sum(training_seconds(name, **size, cores=cores) for name in missing)
    title = SOURCES[dataset].title if dataset in SOURCES else datasets.title(dataset)
    ready = [card.name for card in shipped_for(dataset)]
    instead = f" Ready at once: {', '.join(ready)}." if ready else ""
    return (
        f"No trained teacher {' or '.join(missing)} for {title} is on this machine: the run first trains it, once, in about "
        f"{in_words(seconds)} on {cores} core{'s' if cores > 1 else ''}.{instead}"
    )


def notes(dataset: str, teacher: str) -> list[str]:
    """Sentences on shipped teachers: on which images they were trained and measured, if not on these, and label smoothing."""
    cards = {card.name: card for card in shipped_for(dataset)}
    chosen = [cards[name] for name in parse_ensemble(teacher) if name in cards]
    found = [
        f"{card.name} was trained on {card.title}, a JPEG copy of these images, and has {100 * card.test_accuracy:.2f} % "
        f"test accuracy there; `python -m distill_core teachers --score {dataset}` measures it on these images."
        for card in chosen
        if card.dataset != dataset
    ]
    return found + [smoothing_note(card) for card in chosen if recipe_of(card).smoothing]


def smoothing_note(card: Card) -> str:
    """That a teacher was trained with label smoothing, and what that means for its students."""
    return (
        f"{card.name} was trained with label smoothing {recipe_of(card).smoothing:g}, which makes a teacher's soft targets less "
        "informative and distillation less effective (Müller et al. 2019, section 4; preset smoothed-teacher)."
    )


def training_seconds(name: str, *, images: int, image_shape: tuple[int, int, int], classes: int, cores: int) -> float:
    """How long training the teacher takes on CPU cores, roughly.

    From the measured time of the shipped teacher whose cost per image is nearest, of one with this name where there is any,
    in proportion to multiplications x images x epochs and to the cores.
    """
    work, cost = _work(TEACHERS[name], images=images, image_shape=image_shape, classes=classes)

    def measured(card: Card) -> tuple[float, float]:
        source, recipe = SOURCES[card.dataset], recipe_of(card)
        card_work, card_cost = _work(recipe, images=source.train, image_shape=source.image_shape, classes=len(source.class_names))
        return abs(math.log(card_cost / cost)), card.seconds / card_work

    alike = [card for card in shipped() if reads_text(card.name) == reads_text(name)]
    cards = [card for card in alike if card.name == name] or alike
    _, seconds = min(map(measured, cards))
    return seconds * work * CARD_CORES / max(1, min(cores, MAX_CORES))


def in_words(seconds: float) -> str:
    """A duration, rounded as roughly as it is known."""
    minutes = round(seconds / 60)
    return f"{minutes} minutes" if minutes > 1 else f"{max(1, math.ceil(seconds / 10)) * 10} s"


def _work(recipe: Recipe, *, images: int, image_shape: tuple[int, int, int], classes: int) -> tuple[float, float]:
    """Multiplications of forward passes in all of training, and for one image."""
    recipe = adapt(recipe, images=images, channels=image_shape[0])
    cost = models.cost(recipe.model, image_shape=image_shape, classes=classes).multiplications
    epochs = recipe.members * (recipe.epochs + recipe.finetune_epochs)
    return float(cost * epochs * (recipe.images or images)), float(cost)


def _size(dataset: str) -> dict:
    if dataset in SOURCES:
        source = SOURCES[dataset]
        return {"images": source.train, "image_shape": source.image_shape, "classes": len(source.class_names)}
    uploaded = datasets.load(dataset)
    return {"images": len(uploaded.train_labels), "image_shape": uploaded.image_shape, "classes": uploaded.classes}
