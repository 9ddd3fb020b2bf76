"""Checks for understanding: questions drawn from a trained network and from recorded runs, each with its answer and the reason.

`number` draws the question: equal numbers give equal questions.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from distill_core.data.dataset import seeded
from distill_core.data.datasets import DATASETS
from distill_core.data.image_order import most_ambiguous
from distill_core.statistics import format_points, paired_difference
from distill_core.studies.presets import PRESETS
from distill_core.studies.replays import replays

LETTERS = ("A", "B", "C")
TEMPERATURES = (1.0, 4.0, 16.0)
AMBIGUOUS = 60  # of the test images, from which a question is drawn: a certain teacher outputs nothing to be asked about
TRIPLES = 40  # of images that are drawn; the one whose soft targets differ most becomes the question
BETTER, WORSE, UNCLEAR = "The student is better", "The baseline is better", "These seeds cannot tell"


@dataclass(frozen=True)
class Check:
    """One question. `bars`: by letter the probabilities that are shown, by class name; `images`: test images that are shown.

    `records`: the tests of a recorded race, as `bands` takes them; `preset` is its name.
    """

    question: str
    options: tuple[str, ...]
    answer: str
    reason: str
    bars: dict[str, dict[str, float]] = field(default_factory=dict)
    images: tuple[int, ...] = ()
    records: tuple[dict, ...] = ()
    preset: str = ""


def order_by_temperature(logits: Tensor, labels: Tensor, class_names: Sequence[str], number: int) -> Check:
    """The soft targets of one test image at three temperatures, to be put in order. `logits`: `(N, C)` of the teacher."""
    generator = seeded(number, "temperatures")
    image = int(most_ambiguous(logits, labels)[torch.randint(AMBIGUOUS, (), generator=generator)])
    places = torch.randperm(len(LETTERS), generator=generator).tolist()  # of each temperature
    soft = {LETTERS[place]: (logits[image] / t).softmax(dim=-1) for place, t in zip(places, TEMPERATURES, strict=True)}
    answer = [LETTERS[place] for place in places]
    largest = [f"{100 * float(soft[letter].max()):.0f} % in {letter} (T = {t:g})" for letter, t in zip(answer, TEMPERATURES, strict=True)]
    return Check(
        question="The same image, the same teacher, three temperatures. Order A, B and C from the lowest temperature to the highest.",
        options=tuple(", ".join(order) for order in itertools.permutations(LETTERS)),
        answer=", ".join(answer),
        reason=f"The higher the temperature, the more even the probabilities. The largest is {', '.join(largest)}.",
        bars={letter: _by_class(soft[letter], class_names) for letter in LETTERS},
        images=(image,),
    )


def which_image(logits: Tensor, labels: Tensor, class_names: Sequence[str], number: int) -> Check:
    """Three test images of different classes, and what one teacher outputs for one of them beside these three classes."""
    generator = seeded(number, "images")
    right = logits.argmax(dim=-1) == labels
    candidates = [image for image in most_ambiguous(logits, labels)[: 3 * AMBIGUOUS].tolist() if right[image]]
    best, chosen = -1.0, ()
    for _ in range(TRIPLES):
        triple = [candidates[place] for place in torch.randperm(len(candidates), generator=generator)[:3].tolist()]
        if len({int(labels[image]) for image in triple}) == 3 and (apart := _apart(_rest(logits[triple], labels[triple]))) > best:
            best, chosen = apart, tuple(triple)
    target = int(torch.randint(3, (), generator=generator))
    rest = _rest(logits[list(chosen)], labels[list(chosen)])[target]
    first, second = (class_names[int(c)] for c in rest.argsort(descending=True)[:2])
    return Check(
        question="The bars show what the teacher outputs for one of these images at T = 4. The three classes of the images are left "
        "out, so that only the probabilities of wrong classes remain. Which image is it?",
        options=tuple(f"Image {place + 1}" for place in range(3)),
        answer=f"Image {target + 1}",
        reason=f"The largest remaining probabilities are those of {first} and {second}: for the teacher this image resembles them more "
        "than the other two do. That is dark knowledge.",
        bars={"": {name: float(p) for name, p in zip(class_names, rest, strict=True) if p > 0}},
        images=chosen,
    )


def compare_curves(number: int) -> Check:
    """The curves of a recorded race, with all of its seeds or with two, and whether they can be told apart."""
    generator = seeded(number, "curves")
    recorded = {name: replay for name, replay in replays().items() if name in PRESETS and replay.seeds > 2}
    name = list(recorded)[int(torch.randint(len(recorded), (), generator=generator))]
    replay, few = recorded[name], bool(torch.randint(2, (), generator=generator))
    seeds = torch.randperm(replay.seeds, generator=generator)[: 2 if few else replay.seeds].tolist()
    records = tuple(one for one in replay.records() if one["experiment"] in seeds)
    last = {(one["experiment"], one["member"]): 100 * one["test_accuracy"] for one in records}  # later records replace earlier ones
    accuracies = [[last[seed, member] for seed in seeds] for member in ("student", "baseline")]
    test_images = DATASETS[PRESETS[name].experiment.dataset].test
    mean, low, high = map(float, paired_difference(*accuracies, test_images=test_images))
    return Check(
        question=f"Student and baseline over {len(seeds)} seeds, with bands. What may be concluded about more seeds of the same race?",
        options=(BETTER, WORSE, UNCLEAR),
        answer=BETTER if low > 0 else WORSE if high < 0 else UNCLEAR,
        reason=f"Paired seed by seed, the student is {format_points(mean, 1)} points from its baseline, with a 95 % interval of "
        f"{format_points(low, 1)} to {format_points(high, 1)}. "
        + ("Zero lies inside: nothing may be concluded." if low <= 0 <= high else "Zero lies outside.")
        + (" Two seeds say little, however far apart the curves look." if few else ""),
        records=records,
        preset=name,
    )


def _by_class(probabilities: Tensor, class_names: Sequence[str]) -> dict[str, float]:
    return {name: float(p) for name, p in zip(class_names, probabilities, strict=True)}


def _rest(logits: Tensor, classes: Tensor, *, temperature: float = 4.0) -> Tensor:
    """Soft targets `(n, C)` without these classes, which are 0; the others sum to 1."""
    return logits.index_fill(-1, classes, -torch.inf).div(temperature).softmax(dim=-1)


def _apart(distributions: Tensor) -> float:
    """The smallest total variation distance of two distributions `(n, C)`: half the sum of the absolute differences."""
    pairs = itertools.combinations(distributions.numpy().astype(np.float64), 2)
    return min(float(np.abs(one - other).sum() / 2) for one, other in pairs)
