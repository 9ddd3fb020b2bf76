"""The model card: data, recipe, figures with intervals, and limits, as Markdown."""

from __future__ import annotations

import dataclasses
import time

from distill_core import analysis, models
from distill_core.compression import NONE, cost_of
from distill_core.export.trained import Trained
from distill_core.statistics import format_interval, format_percent, mean_interval
from distill_core.text_objectives import method_of

LIMITS = (
    "It outputs one of the classes above for any image.",
    "Its confidence was not calibrated on other images than these; see the expected calibration error.",
    "Images must be centred, scaled and coloured as those of the data set are.",
    "It was made for teaching. It was not tested for fairness, safety or use on people.",
)


def model_card(trained: Trained) -> str:
    """The card of a network, as Markdown. All figures are measured: those of the run over its seeds, or now on the test images."""
    dataset = trained.dataset
    logits = trained.logits(dataset.test_images)
    correct = int((logits.argmax(dim=1) == dataset.test_labels).sum())
    low, high = analysis.accuracy_interval(correct, len(dataset.test_labels))
    pruned = bool(trained.compression.prune)
    work = cost_of(trained.network, image_shape=dataset.image_shape, sparse=pruned)
    depth, height, width = dataset.image_shape
    lines = [
        f"# {plain(trained.title)}",
        "",
        f"An image classifier, exported by Distill Lab on {time.strftime('%Y-%m-%d')}.",
        "",
        "## Data",
        "",
        f"{plain(dataset.title)}: {len(dataset.train_labels):,} training and {len(dataset.test_labels):,} test images of "
        f"{height} x {width} pixels{' in colour' if depth == 3 else ''}. Classes: {', '.join(map(plain, dataset.class_names))}.",
        "",
        "## Recipe",
        "",
        *_recipe(trained),
        "",
        "## Figures",
        "",
        "| what | value |",
        "|---|---|",
        f"| test accuracy of this network | {format_percent(correct / len(dataset.test_labels))} "
        f"(Wilson's 95 % interval {format_interval(low, high)}) |",
        *_over_seeds(trained),
        f"| expected calibration error, 15 bins | {100 * analysis.expected_calibration_error(logits, dataset.test_labels):.2f} points |",
        f"| parameters{', without pruned weights' if pruned else ''} | {work.parameters:,} of {models.parameters(trained.network):,} |",
        f"| FLOPs of one image{', without products by 0' if pruned else ''} | {work.flops:,} |",
        "",
        "## Limits",
        "",
        *(f"- {limit}" for limit in LIMITS),
        "",
    ]
    return "\n".join(lines)


def _recipe(trained: Trained) -> list[str]:
    if trained.experiment is None:
        return [plain(trained.about) or "A network from a file; how it was trained is not in it."]
    one, usual = trained.experiment, type(trained.experiment)()
    fields = [
        f"- {f.name.replace('_', ' ')}: {plain(getattr(one, f.name))}" for f in dataclasses.fields(one) if matters(f.name, one, usual)
    ]
    loss = f"alpha x hard loss + (1 - alpha) x {method_of(one.method).loss_name}, alpha {one.alpha:g}, T {one.temperature:g}"
    compressed = [] if trained.compression == NONE else [f"- compressed: {trained.compression.in_words}"]
    return [f"{method_of(one.method).title} ({method_of(one.method).paper}). Loss: {loss}.", "", *fields, *compressed]


def matters(name: str, one: object, usual: object) -> bool:
    """Whether a field is named in the recipe: always, or because it is not as usual."""
    always = ("dataset", "teacher", "student", "epochs", "batch_size", "learning_rate", "optimizer", "schedule", "seed")
    return name in always or (name not in ("method", "alpha", "temperature") and getattr(one, name) != getattr(usual, name))


def _over_seeds(trained: Trained) -> list[str]:
    """What the run measured of its students and baselines, over its seeds."""
    rows = []
    for role in ("student", "baseline"):
        found = [100 * one[role]["test_accuracy"] for one in trained.results if role in one]
        if len(found) > 1:
            mean, low, high = mean_interval(found, within=(0, 100))
            rows.append(f"| {role}, mean of {len(found)} seeds | {mean:.2f} % (95 % interval {low:.2f} to {high:.2f}) |")
    return rows


def plain(text: object) -> str:
    """Text of a learner, such as a class name, on one line without marks of Markdown or HTML."""
    cleaned = " ".join(str(text).split())
    return "".join(f"\\{letter}" if letter in "\\`*_{}[]<>#|!" else letter for letter in cleaned)
