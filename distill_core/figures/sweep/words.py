"""The axes of a sweep and its result, in words."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from distill_core.figures.sweep.numbers import Cells, best_cell, neighbours
from distill_core.statistics import may_be_best

NAMES = {
    "temperature": "temperature T",
    "alpha": "alpha, the weight of the hard loss",
    "student": "student",
    "images": "training images",
    "label_noise": "label noise (share of wrong labels)",
    "teacher": "teacher",
    "method": "method",
}
CHOICES = ("temperature", "alpha", "student", "teacher", "method")  # axes of which one would choose the best value
LEGEND = (
    "Blue: student above its baseline, in percentage points; orange: below it. "
    "Hatched: the 95 % interval includes zero. Framed: the best cell."
)


def summary(cells: Cells, *, x: str, xs: Sequence, y: str, ys: Sequence, validation: int = 0) -> str:
    """The result of a sweep: its best cell with the interval, the neighbours of that cell, and the number of clear cells.

    `validation`: the number of held-out images on which the best cell was chosen; 0 if it was chosen on the test images.
    """
    if np.isnan(cells.difference).all():
        return "The first cells appear in a moment."
    beside = np.array([cells.difference[position] for position in neighbours(*best_cell(cells), cells.difference.shape)])
    beside = beside[~np.isnan(beside)]
    clear, total = int(cells.clear.sum()), int((~np.isnan(cells.difference)).sum())
    below = int((cells.high < 0).sum())
    name, best = best_in_words(cells, x=x, xs=xs, y=y, ys=ys)
    text = f"**Best cell, chosen on {_chosen_on(validation)}: {name}**: {best}"
    text += f"; its neighbours have a mean of {beside.mean():+.1f}.\n\n" if len(beside) else ".\n\n"
    text += f"The interval excludes zero in {clear or 'none'} of {total} cells"
    one_seed = cells.choice.shape[-1] == 1
    text += f" (about {total / 20:.0f} would by chance alone)" if total >= 20 and not one_seed else ""
    text += f"; in {below} of them the student is below its baseline." if below else "."
    if one_seed:
        text += (
            " With one seed it covers the choice of test images, not the variation between seeds: it is about these networks and not about "
            "the settings. Choose more seeds."
        )
    if total > 1 and validation:
        text += " The test images had no part in the choice. The seeds had: with other seeds, expect slightly less."
    elif total > 1:
        text += (
            " The highest of many differences is partly due to chance, and the same test images chose the cell and report it: its "
            "difference is biased upwards. Hold out validation images, or rely on it only if the neighbouring cells agree."
        )
    return text.replace(" -", " \u2212")


def best_in_words(cells: Cells, *, x: str, xs: Sequence, y: str, ys: Sequence) -> tuple[str, str]:
    """The values of the best cell, and its difference with the interval."""
    row, column = best_cell(cells)
    axes = ((x, xs, column), (y, ys, row))
    name = ", ".join(f"{short_name(axis)} {format_value(values[i])}" for axis, values, i in axes if len(values) > 1)
    best, low, high = (values[row, column] for values in (cells.difference, cells.low, cells.high))
    text = f"{best:+.1f} points over its baseline on the test images (95 % interval {low:+.1f} to {high:+.1f})"
    return name or "the only one", text.replace("-", "\u2212")


def best_by_row(cells: Cells, *, x: str, xs: Sequence, y: str, ys: Sequence, validation: int = 0, test_images: int = 0) -> str:
    """For each row the column with the highest student accuracy, and all that may be the best: a temperature for each width.

    Chosen on the `validation` images, and where there are none on the test images. The set of those that may be the best
    is `statistics.may_be_best` over the seeds.
    """
    if len(xs) < 2 or x not in CHOICES or np.isnan(cells.difference).any():
        return ""
    names, columns = tick_labels(y, ys), tick_labels(x, xs)
    image = 100 / max(1, validation or test_images)
    best = []
    for row, name in enumerate(names):
        accuracies = cells.choice[0, row]  # (columns, seeds)
        at = f" at {short_name(y)} {name}" if len(ys) > 1 else ""
        best.append(f"{columns[int(accuracies.mean(axis=1).argmax())]}{at}{_rivals(accuracies, columns, image)}")
    text = f"The best {short_name(x)} by student accuracy on {_chosen_on(validation)} is {', '.join(best)}."
    seeds = cells.choice.shape[-1]
    if seeds < 2:
        return f"{text} With one seed, nobody can tell which others may be the best: choose more seeds."
    return f"{text} In brackets: all that may be the best (95 % confidence set over {seeds} seeds)."


def _rivals(accuracies: np.ndarray, columns: Sequence[str], resolution: float) -> str:
    """The columns that may be the best, in brackets: as a range if they are neighbours; nothing for a single seed."""
    if accuracies.shape[1] < 2:
        return ""
    (places,) = np.nonzero(may_be_best(accuracies, resolution=resolution))
    if len(places) > 2 and places[-1] - places[0] == len(places) - 1:
        return f" ({columns[places[0]]} to {columns[places[-1]]})"
    return f" ({', '.join(columns[place] for place in places)})"


def _chosen_on(validation: int) -> str:
    return f"{validation:,} validation images" if validation else "the test images"


def short_name(axis: str) -> str:
    """The name of an axis within a sentence."""
    return {"temperature": "T", "label_noise": "label noise"}.get(axis, axis)


def format_value(value: object) -> str:
    """A value of an axis as text."""
    return f"{value:,g}" if isinstance(value, int | float) and not isinstance(value, bool) else str(value)


def tick_labels(axis: str, values: Sequence) -> list[str]:
    """All values of an axis as text; 0 images stands for all images."""
    return ["all" if axis == "images" and value == 0 else format_value(value) for value in values]
