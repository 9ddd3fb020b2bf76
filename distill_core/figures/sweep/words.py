"""The axes of a sweep and its result, in words."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from distill_core.figures.sweep.numbers import Cells, best_cell, neighbours

NAMES = {
    "temperature": "temperature T",
    "alpha": "alpha, the weight of the hard loss",
    "student": "student",
    "images": "training images",
    "label_noise": "label noise (share of wrong labels)",
    "teacher": "teacher",
    "method": "method",
}
LEGEND = (
    "Blue: student above its baseline, in percentage points; orange: below it. "
    "Hatched: the 95 % interval includes zero. Framed: the best cell."
)


def summary(cells: Cells, *, x: str, xs: Sequence, y: str, ys: Sequence) -> str:
    """The result of a sweep: its best cell with the interval, the neighbours of that cell, and the number of clear cells."""
    if np.isnan(cells.difference).all():
        return "The first cells appear in a moment."
    beside = np.array([cells.difference[position] for position in neighbours(*best_cell(cells), cells.difference.shape)])
    beside = beside[~np.isnan(beside)]
    clear, total = int(cells.clear.sum()), int((~np.isnan(cells.difference)).sum())
    below = int((cells.high < 0).sum())
    name, best = best_in_words(cells, x=x, xs=xs, y=y, ys=ys)
    text = f"**Best cell: {name}**: {best}"
    text += f"; its neighbours have a mean of {beside.mean():+.1f}.\n\n" if len(beside) else ".\n\n"
    text += f"The interval excludes zero in {clear or 'none'} of {total} cells"
    text += f" (about {total / 20:.0f} would by chance alone)" if total >= 20 else ""
    text += f"; in {below} of them the student is below its baseline." if below else "."
    if total > 1:
        text += " The highest of many differences is partly due to chance: rely on it only if the neighbouring cells agree."
    return text.replace(" -", " \u2212")


def best_in_words(cells: Cells, *, x: str, xs: Sequence, y: str, ys: Sequence) -> tuple[str, str]:
    """The values of the best cell, and its difference with the interval."""
    row, column = best_cell(cells)
    axes = ((x, xs, column), (y, ys, row))
    name = ", ".join(f"{short_name(axis)} {format_value(values[i])}" for axis, values, i in axes if len(values) > 1)
    best, low, high = (values[row, column] for values in (cells.difference, cells.low, cells.high))
    text = f"{best:+.1f} points over its baseline (95 % interval {low:+.1f} to {high:+.1f})"
    return name or "the only one", text.replace("-", "\u2212")


def best_by_row(cells: Cells, *, x: str, xs: Sequence, y: str, ys: Sequence) -> str:
    """For each row the column with the highest student accuracy: for example, the best temperature for each width."""
    if len(xs) < 2 or len(ys) < 2 or np.isnan(cells.difference).any():
        return ""
    names, columns = tick_labels(y, ys), tick_labels(x, xs)
    best = [f"{columns[int(np.argmax(cells.student[row]))]} at {short_name(y)} {name}" for row, name in enumerate(names)]
    return f"The best {short_name(x)} by student accuracy is {', '.join(best)}."


def short_name(axis: str) -> str:
    """The name of an axis within a sentence."""
    return {"temperature": "T", "label_noise": "label noise"}.get(axis, axis)


def format_value(value: object) -> str:
    """A value of an axis as text."""
    return f"{value:,g}" if isinstance(value, int | float) and not isinstance(value, bool) else str(value)


def tick_labels(axis: str, values: Sequence) -> list[str]:
    """All values of an axis as text; 0 images stands for all images."""
    return ["all" if axis == "images" and value == 0 else format_value(value) for value in values]
