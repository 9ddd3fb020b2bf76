"""The axes of a sweep and its result, in words."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from distill_core.figures.sweep.numbers import Cells, best_cell, neighbours
from distill_core.figures.sweep.units import format_gain, format_interval, set_of_choice
from distill_core.statistics import BITS, may_be_best

NAMES = {
    "temperature": "temperature T",
    "alpha": "alpha, the weight of the hard loss",
    "student": "student",
    "images": "training images",
    "label_noise": "label noise (share of wrong labels)",
    "teacher": "teacher",
    "method": "method",
    "on_policy_share": "lambda, the share of on-policy steps",
    "beta": "beta (0: soft loss, 1: reverse KL)",
    "top_k": "k, probabilities that the teacher gives",
}
SHORT_NAMES = {"temperature": "T", "label_noise": "label noise", "on_policy_share": "lambda", "top_k": "k"}
AS_GIVEN = ("images", "label_noise")  # axes of which nobody would choose the best value


def axis_title(axis: str, cells: Cells) -> str:
    """The title of an axis; of a text the training images are windows of so many words or characters."""
    return f"training windows of {cells.window}" if axis == "images" and cells.window else NAMES[axis]


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
    text = f"**Best cell, chosen on {set_of_choice(cells.score, validation=validation)}: {name}**: {best}"
    around = f"; its neighbours have a mean of {format_gain(cells.score, beside.mean(), unit=False)}" if len(beside) else ""
    text += f"{around}.\n\n"
    if np.isnan(cells.low).all():
        return f"{text}With one seed, a cell has no interval: nobody can tell which gains are by chance. Choose more seeds."
    text += f"The interval excludes zero in {clear or 'none'} of {total} cells"
    one_seed = cells.choice.shape[-1] == 1
    text += f" (about {total / 20:.0f} would by chance alone)" if total >= 20 and not one_seed else ""
    text += f"; in {below} of them the student is {'worse than' if cells.score is BITS else 'below'} its baseline." if below else "."
    if one_seed:
        text += (
            " With one seed it covers the choice of test images, not the variation between seeds: it is about these networks and not about "
            "the settings. Choose more seeds."
        )
    test, held_out = ("test text", "windows") if cells.score is BITS else ("test images", "images")
    if total > 1 and validation:
        text += f" The {test} had no part in the choice. The seeds had: with other seeds, expect slightly less."
    elif total > 1:
        text += (
            f" The highest of many differences is partly due to chance, and the same {test} chose the cell and report it: its "
            f"difference is biased upwards. Hold out validation {held_out}, or rely on it only if the neighbouring cells agree."
        )
    return text


def best_in_words(cells: Cells, *, x: str, xs: Sequence, y: str, ys: Sequence) -> tuple[str, str]:
    """The values of the best cell, and its difference with the interval."""
    row, column = best_cell(cells)
    axes = ((x, xs, column), (y, ys, row))
    name = ", ".join(f"{short_name(axis)} {format_value(values[i])}" for axis, values, i in axes if len(values) > 1)
    best, low, high = (values[row, column] for values in (cells.difference, cells.low, cells.high))
    gain, on = format_gain(cells.score, best), set_of_choice(cells.score)
    gain = f"a gain of {gain}" if cells.score is BITS else gain
    return name or "the only one", f"{gain} over its baseline on {on} ({format_interval(cells.score, low, high)})"


def best_by_row(cells: Cells, *, x: str, xs: Sequence, y: str, ys: Sequence, validation: int = 0, test_images: int = 0) -> str:
    """For each row the column with the highest student accuracy, and all that may be the best: a temperature for each width.

    Of a text it is the column with the fewest bits. Chosen on the `validation` images, and where there are none on the test
    images. The set of those that may be the best is `statistics.may_be_best` over the seeds.
    """
    if len(xs) < 2 or x in AS_GIVEN or np.isnan(cells.difference).any():
        return ""
    names, columns = tick_labels(y, ys), tick_labels(x, xs)
    image = 0.0 if cells.score is BITS else 100 / max(1, validation or test_images)
    best = []
    for row, name in enumerate(names):
        accuracies = cells.score.sign * cells.choice[0, row]  # (columns, seeds); higher is better
        at = f" at {short_name(y)} {name}" if len(ys) > 1 else ""
        best.append(f"{columns[int(accuracies.mean(axis=1).argmax())]}{at}{_rivals(accuracies, columns, image)}")
    measure = "the bits a character of the student" if cells.score is BITS else "student accuracy"
    text = f"The best {short_name(x)} by {measure} on {set_of_choice(cells.score, validation=validation)} is {', '.join(best)}."
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


def short_name(axis: str) -> str:
    """The name of an axis within a sentence."""
    return SHORT_NAMES.get(axis, axis)


def format_value(value: object) -> str:
    """A value of an axis as text."""
    return f"{value:,g}" if isinstance(value, int | float) and not isinstance(value, bool) else str(value)


def tick_labels(axis: str, values: Sequence) -> list[str]:
    """All values of an axis as text; 0 images, or windows, stands for all images."""
    return ["all" if axis == "images" and value == 0 else format_value(value) for value in values]
