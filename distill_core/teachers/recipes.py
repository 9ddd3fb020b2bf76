"""TEACHERS: how each teacher is made, and the names of teachers and of their ensembles."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from torch import nn

from distill_core import models
from distill_core.data.dataset import Dataset
from distill_core.teachers import airbench


@dataclass(frozen=True)
class Recipe:
    """How a teacher is trained: AdamW with a one-cycle learning rate (an airbench: see airbench.py)."""

    model: str
    about: str
    epochs: int  # on 28 x 28 greyscale images; `recipe_for` adapts it to other sets
    batch_size: int = 256
    learning_rate: float = 1e-3  # the maximum
    dropout: float = 0.0  # probability, in each hidden layer
    random_shift: int = 0  # maximum in pixels, horizontally and vertically; of a text: windows that begin anywhere in it
    random_flip: bool = False  # left to right, with probability 1/2
    smoothing: float = 0.0  # label smoothing
    weight_decay: float = 0.01
    images: int = 0  # training images; 0 for all
    label_noise: float = 0.0  # fraction of training labels that are wrong, drawn by `seed`; no student has the same draw
    members: int = 1  # of an ensemble
    finetune_epochs: int = 0  # of an airbench, at the end: without cutout, at a small learning rate
    seed: int = 0


_HINTON = Recipe(
    "mlp-1200x2", "perceptron with two hidden layers of 1200 units (Hinton et al. 2015, section 3)", epochs=60, dropout=0.5, random_shift=2
)
_WIDE = Recipe("mlp-300x2", "perceptron with two hidden layers of 300 units", epochs=12, dropout=0.2, random_shift=2)
_AIRBENCH = Recipe(
    "airbench-256",
    "airbench (Jordan 2024, the author's code), seven convolutions of up to 256 channels; mean logits of each image and its mirror image",
    epochs=30, batch_size=1024, random_shift=airbench.SHIFT, random_flip=True, smoothing=0.2, finetune_epochs=4,
)  # fmt: skip

_TRANSFORMER = Recipe(
    "gpt-64x2", "transformer of two blocks, width 64", epochs=6, batch_size=64, learning_rate=4e-3, dropout=0.05, weight_decay=0.05
)

TEACHERS = {
    "mlp-1200x2": _HINTON,
    "mlp-1200x2-smoothed": replace(_HINTON, about="mlp-1200x2 trained on smoothed labels", smoothing=0.1),
    "mlp-1200x2-overfit": replace(
        _HINTON, about="mlp-1200x2 overfitted to 1,000 images", epochs=100, dropout=0.0, random_shift=0, weight_decay=0.0, images=1000
    ),
    "mlp-1200x2-noisy": replace(_HINTON, about="mlp-1200x2 trained on labels of which 40 % are wrong", label_noise=0.4),
    "mlp-1200x2-early": replace(_HINTON, about="mlp-1200x2 stopped early", epochs=2),
    "mlp-300x2": _WIDE,
    "mlp-100x2": replace(_WIDE, model="mlp-100x2", about="perceptron with two hidden layers of 100 units", dropout=0.0),
    "mlp-30x2": replace(_WIDE, model="mlp-30x2", about="perceptron with two hidden layers of 30 units", dropout=0.0),
    "cnn-32": Recipe("cnn-32", "three convolutions of 32, 64 and 128 channels", epochs=16, learning_rate=2e-3, dropout=0.3, random_shift=2),
    "ensemble-5": Recipe(
        "cnn-16", "five networks of three convolutions (16, 32 and 64 channels), mean probabilities",
        epochs=8, learning_rate=3e-3, dropout=0.2, random_shift=2, members=5,
    ),
    "airbench-256": _AIRBENCH,
    "airbench-pair": replace(_AIRBENCH, about="two airbench-256 of different seeds, mean probabilities", members=2),
    "gpt-64x2": _TRANSFORMER,
    "gpt-96x3": replace(
        _TRANSFORMER, model="gpt-96x3", about="transformer of three blocks, width 96", epochs=4, dropout=0.1, random_shift=1
    ),
    "gpt-128x4": replace(
        _TRANSFORMER, model="gpt-128x4", about="transformer of four blocks, width 128", epochs=16, learning_rate=3e-3, dropout=0.0,
        random_shift=1, weight_decay=0.1,
    ),
}  # fmt: skip
ON_ANY_DATASET = ("mlp-1200x2", "cnn-32")  # trained on first use where the lab ships none
ON_ANY_TEXT = ("gpt-96x3",)  # the same of texts
SELF = "self"  # the name of a teacher of the student's own size, which the run trains first on labels only
SAME_IMAGES = {  # the same images in another encoding: teachers of the second also teach the first
    "cifar10": "cifar10-jpeg",
    "cifar10-jpeg": "cifar10-jpeg",  # a copy that was made on this machine differs in single pixels
}


def recipe_for(dataset: Dataset, name: str) -> Recipe:
    """The recipe of the teacher `name`, adapted to the set: more epochs on few images, random flips on coloured ones."""
    return adapt(TEACHERS[check_teacher(name)], images=len(dataset.train_labels), channels=dataset.image_shape[0])


def reads_text(name: str) -> bool:
    """Whether the teacher of this name is a language model."""
    return TEACHERS[name].model.startswith(models.LANGUAGE)


def adapt(recipe: Recipe, *, images: int, channels: int) -> Recipe:
    """The recipe for so many training images of 1 or 3 channels; of a language model for so many windows."""
    if recipe.model.startswith(models.LANGUAGE):  # few windows are used more often, up to 60,000 in all
        return replace(recipe, epochs=min(100, max(recipe.epochs, 60_000 // images)))
    if images < 10_000:
        usual = 60 if recipe.label_noise else 120  # few, so that wrong labels are not memorised
        epochs = usual if recipe.epochs > 2 else recipe.epochs  # one that is stopped early stays so
        return replace(recipe, epochs=epochs, batch_size=64, random_shift=min(recipe.random_shift, 1))
    if channels == 3 and not recipe.random_flip:  # a recipe for greyscale images
        return replace(recipe, random_flip=True, epochs=min(recipe.epochs, 12))
    return recipe


def teacher_network(recipe: Recipe, *, image_shape: tuple[int, int, int], classes: int) -> nn.Module:
    """The network of a recipe as it is used after training, with untrained weights.

    Raises `ValueError` if it cannot process images of this shape.
    """
    models.check_image_shape(recipe.model, image_shape, role="teacher")
    members = [models.build(recipe.model, image_shape=image_shape, classes=classes, seed=recipe.seed) for _ in range(recipe.members)]
    if recipe.model.startswith("airbench"):  # as its author evaluates it
        members = [models.FlipAveraged(member) for member in members]
    return members[0] if recipe.members == 1 else models.Ensemble(members)


# --- names ----------------------------------------------------------------------------------------------------------


def check_teacher(name: str) -> str:
    """The name itself if it is a teacher's; otherwise `ValueError` with all names."""
    if name not in TEACHERS:
        raise ValueError(f"teacher '{name}' is not known; choose one of: {', '.join(TEACHERS)}, several of them joined by +, or {SELF}")
    return name


def parse_ensemble(name: str) -> dict[str, float]:
    """The teachers in a name, each with its weight in the mean: `2*cnn-32+mlp-1200x2` gives 2 and 1.

    `self` gives none: the run trains that teacher, so it has no recipe and no file. Raises `ValueError` if a teacher is not
    known, occurs twice, is `self` among others, or has a weight that is not a number above 0.
    """
    if name == SELF:
        return {}
    found: dict[str, float] = {}
    for part in name.split("+"):
        weight, _, teacher = part.rpartition("*")
        try:
            found_weight = float(weight or 1)
        except ValueError:
            found_weight = math.nan
        if not 0 < found_weight <= 1000:
            raise ValueError(
                f"the weight '{weight}' of teacher '{teacher}' is not a number above 0 and up to 1000; write it as in 2*cnn-32"
            )
        if teacher == SELF:
            raise ValueError(f"teacher '{SELF}' is trained in the run and cannot be part of an ensemble such as '{name}'; give it alone")
        if check_teacher(teacher) in found:
            raise ValueError(f"teacher '{teacher}' occurs twice in '{name}'; give it once, with a weight as in 2*{teacher}")
        found[teacher] = found_weight
    return found


def single(name: str) -> Recipe | None:
    """The recipe of a teacher that is one trained network; None for an ensemble, and for `self`."""
    recipe = TEACHERS.get(name)
    return recipe if recipe is not None and recipe.members == 1 else None
