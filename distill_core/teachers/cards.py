"""Cards of trained teachers: the data, the recipe, the test errors, and the hash of the weights."""

from __future__ import annotations

import functools
import json
from dataclasses import dataclass
from pathlib import Path

from distill_core import paths
from distill_core.data.dataset import Dataset
from distill_core.data.datasets import SOURCES
from distill_core.models import LANGUAGE
from distill_core.teachers.recipes import SAME_IMAGES, Recipe, parse_ensemble


@dataclass(frozen=True)
class Card:
    """The record of one trained teacher, kept as JSON beside its weights."""

    name: str
    dataset: str
    title: str
    data_fingerprint: str
    recipe: dict
    parameters: int
    test_images: int
    test_errors: int
    seconds: float  # of training
    made_with: str  # version of torch, threads, device
    sha256: str  # of the weights as stored
    test_bits_per_character: float | None = None  # of a text, whose test_images and test_errors count tokens

    @property
    def test_accuracy(self) -> float:
        """The fraction of test images that are classified correctly."""
        return 1 - self.test_errors / self.test_images


@functools.cache
def shipped() -> tuple[Card, ...]:
    """The cards of the teachers that come with the lab."""
    return tuple(Card(**card) for card in json.loads((paths.WEIGHTS / "cards.json").read_text()))


def recipe_of(card: Card) -> Recipe:
    """The recipe on a card. A field that is newer than the card has its default, with which such a teacher was trained.

    Raises `TypeError` for a recipe with fields that are no longer known.
    """
    return Recipe(**card.recipe)


def find_weights(dataset: Dataset, name: str) -> tuple[Path, Card | None]:
    """The path of a teacher's weights, and its card; None if it must be trained first.

    A card on this machine that is cut, or whose recipe has fields of an older version, counts as missing.
    """
    for card in shipped():
        if card.name == name and (card.data_fingerprint == dataset.fingerprint or card.dataset == SAME_IMAGES.get(dataset.name)):
            return paths.WEIGHTS / f"{card.dataset}-{name}.safetensors", card
    path = paths.home() / "teachers" / f"{dataset.fingerprint}-{name}.safetensors"
    try:
        card = Card(**json.loads(path.with_suffix(".json").read_text()))
        recipe_of(card)
        current = path.exists()
    except (OSError, ValueError, TypeError):
        current = False
    return path, card if current else None


def describe(card: Card) -> str:
    """One line on how a teacher was made: network, augmentation, optimizer, time and machine; and what limits its use."""
    recipe = recipe_of(card)
    adamw = f"AdamW, one-cycle to {recipe.learning_rate:g}, batch size {recipe.batch_size}"
    parts = [
        recipe.about,
        f"label noise {recipe.label_noise:g}" if recipe.label_noise else "",
        f"dropout {recipe.dropout:g}" if recipe.dropout else "",
        _augmentation(recipe),
        "random flips" if recipe.random_flip else "",
        f"label smoothing {recipe.smoothing:g}" if recipe.smoothing else "",
        f"{recipe.epochs} epochs of {'SGD with cutout' if recipe.model.startswith('airbench') else adamw}",
        f"{recipe.finetune_epochs} epochs of AdamW without cutout" if recipe.finetune_epochs else "",
        f"seed {recipe.seed}",
    ]
    also = [SOURCES[name].title for name, source in SAME_IMAGES.items() if source == card.dataset != name]
    limits = [
        f"; used for {' and '.join(also)} too, where this accuracy was not measured" if also else "",
        "; label smoothing makes a teacher less effective (Müller et al. 2019, section 4)" if recipe.smoothing else "",
    ]
    made = f"{card.seconds:.0f} s with {card.made_with}; weights in float16"
    return f"{', '.join(part for part in parts if part)}; {made}{''.join(limits)}"


def _augmentation(recipe: Recipe) -> str:
    if not recipe.random_shift:
        return ""
    return "windows from any place" if recipe.model.startswith(LANGUAGE) else f"random shifts to {recipe.random_shift} px"


def teacher_fingerprints(dataset: str, teacher: str) -> list[str]:
    """The hashes of the weights under this teacher's name for the data set, shipped or trained here, member by member.

    They go into the key of a run: after a teacher was trained again, an earlier result is no answer. Empty for a teacher
    that does not exist yet. Only cards are read, so no data set is loaded.
    """
    hashes = []
    for name in parse_ensemble(teacher):
        sets = (dataset, SAME_IMAGES.get(dataset))
        hashes += [card.sha256 for card in shipped() if card.name == name and card.dataset in sets]
        for path in sorted((paths.home() / "teachers").glob(f"*-{name}.json")):
            try:
                card = json.loads(path.read_text())
                hashes += [card["sha256"]] if (card["name"], card["dataset"]) == (name, dataset) else []
            except (OSError, ValueError, KeyError, TypeError):  # deleted meanwhile, cut, or of an older lab: trained again
                continue
    return hashes
