"""The cells of a sweep as numbers: accuracies, the paired difference and its interval."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from distill_core.statistics import paired_difference

History = Mapping[tuple[int, str], Sequence[tuple[float, float]]]  # (race, member) to its (epoch, test accuracy)


@dataclass(frozen=True, eq=False)
class Cells:
    """Arrays `(rows, columns)`: accuracies in percent, their paired difference in points with its interval, and the epoch.

    NaN where nothing has been measured yet.
    """

    student: np.ndarray
    baseline: np.ndarray
    difference: np.ndarray
    low: np.ndarray
    high: np.ndarray
    epoch: np.ndarray

    @property
    def clear(self) -> np.ndarray:
        """Where the interval excludes zero: `(rows, columns)` of True and False."""
        return (self.low > 0) | (self.high < 0)


def cells(history: History, *, rows: int, columns: int, seeds: int, test_images: int, level: float = 0.95) -> Cells:
    """The cells at this moment, each at the last epoch at which all of its students have been tested.

    The race of row r, column c and seed s has the number `(r * columns + c) * seeds + s`. The interval is that of
    `paired_difference`, as on the page of the cell's race; with one seed it is wider than there, because the records of a
    sweep do not tell which test images are classified correctly.
    """
    values = np.full((6, rows, columns), np.nan)
    for row in range(rows):
        for column in range(columns):
            first = (row * columns + column) * seeds
            curves = [[dict(history.get((first + seed, member), ())) for seed in range(seeds)] for member in ("student", "baseline")]
            common = set.intersection(*(set(curve) for side in curves for curve in side))
            if common:
                last = max(common)
                student, baseline = (100 * np.array([curve[last] for curve in side]) for side in curves)
                difference = paired_difference(student, baseline, test_images=test_images, level=level)
                values[:, row, column] = student.mean(), baseline.mean(), *difference, last
    return Cells(*values)


def neighbours(row: int, column: int, shape: tuple[int, int]) -> list[tuple[int, int]]:
    """The cells that touch this one at a side or a corner."""
    around = [(row + down, column + right) for down in (-1, 0, 1) for right in (-1, 0, 1) if down or right]
    return [(r, c) for r, c in around if 0 <= r < shape[0] and 0 <= c < shape[1]]


def best_cell(cells: Cells) -> tuple[int, int]:
    """Row and column of the highest difference. Raises `ValueError` where nothing has been measured."""
    row, column = np.unravel_index(np.nanargmax(cells.difference), cells.difference.shape)
    return int(row), int(column)


def cell_lines(history: History, position: tuple[int, int], *, columns: int, seeds: int) -> dict[str, list[list[float]]]:
    """Mean curves of the cell at `(row, column)` over its seeds: `{member: [epochs, percentages]}`."""
    first = (position[0] * columns + position[1]) * seeds
    lines = {}
    for member in ("student", "baseline"):
        curves = [dict(history.get((first + seed, member), ())) for seed in range(seeds)]
        epochs = sorted(set.intersection(*map(set, curves)))
        lines[member] = [epochs, [round(100 * sum(curve[epoch] for curve in curves) / seeds, 2) for epoch in epochs]]
    return lines
