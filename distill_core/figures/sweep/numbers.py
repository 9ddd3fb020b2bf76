"""The cells of a sweep as numbers: accuracies, the paired difference and its interval; of a text bits a character."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from distill_core.statistics import ACCURACY, BITS, Score, paired_bits, paired_difference

History = Mapping[tuple[int, str], Sequence[tuple[float, float]]]  # (race, member) to its (epoch, accuracy), or bits a character


@dataclass(frozen=True, eq=False)
class Cells:
    """Arrays `(rows, columns)`: test accuracies in percent, their paired difference in points with its interval, and the epoch.

    `choice` `(2, rows, columns, seeds)` has the accuracies of student and baseline by which a cell is chosen, in percent:
    those on the validation images, and if none were held out (`validated` is False) those on the test images.
    NaN where nothing has been measured yet.

    Of a text (`score` is BITS) all are bits a character, of which fewer are better: the difference is then the baseline's minus the
    student's, so that the student is better above 0, as with accuracies. `window`: the length of a window of the text, in words.
    """

    student: np.ndarray
    baseline: np.ndarray
    difference: np.ndarray
    low: np.ndarray
    high: np.ndarray
    epoch: np.ndarray
    choice: np.ndarray
    validated: bool = False
    score: Score = ACCURACY
    window: str = ""

    @property
    def gain(self) -> np.ndarray:
        """The difference by which the best cell is chosen: `(rows, columns)`, in points, or in bits; above 0 is better."""
        return self.score.sign * (self.choice[0] - self.choice[1]).mean(axis=-1)

    @property
    def clear(self) -> np.ndarray:
        """Where the interval excludes zero: `(rows, columns)` of True and False."""
        return (self.low > 0) | (self.high < 0)


def cells(
    history: History,
    *,
    rows: int,
    columns: int,
    seeds: int,
    test_images: int,
    validation: History | None = None,
    discordant: Mapping[int, int] | None = None,
    level: float = 0.95,
    score: Score = ACCURACY,
    window: str = "",
) -> Cells:
    """The cells at this moment, each at the last epoch at which all of its students have been tested.

    `history` has the accuracies on the test images, `validation` those on the validation images, if there are any.

    The race of row r, column c and seed s has the number `(r * columns + c) * seeds + s`. The interval is that of
    `paired_difference`, as on the page of the cell's race. With one seed it needs `discordant`, for each race that has ended
    the number of test images that exactly one of its two networks classifies correctly; until then it is wider.
    """
    values, choice = np.full((6, rows, columns), np.nan), np.full((2, rows, columns, seeds), np.nan)
    for row in range(rows):
        for column in range(columns):
            first = (row * columns + column) * seeds
            curves = _curves(history, first, seeds)
            common = set.intersection(*(set(curve) for side in curves for curve in side))
            if common:
                last = max(common)
                student, baseline = (score.scale * np.array([curve[last] for curve in side]) for side in curves)
                if score is BITS:
                    difference = paired_bits(baseline, student, level=level)
                else:
                    count = (discordant or {}).get(first)
                    difference = paired_difference(student, baseline, test_images=test_images, discordant=count, level=level)
                values[:, row, column] = student.mean(), baseline.mean(), *difference, last
                chosen_by = _curves(validation, first, seeds) if validation else curves
                choice[:, row, column] = [[score.scale * curve[last] for curve in side] for side in chosen_by]
    return Cells(*values, choice=choice, validated=bool(validation), score=score, window=window)


def _curves(history: History, first: int, seeds: int) -> list[list[dict[float, float]]]:
    """Accuracy by epoch of the students and of the baselines of one cell, seed by seed."""
    return [[dict(history.get((first + seed, member), ())) for seed in range(seeds)] for member in ("student", "baseline")]


def neighbours(row: int, column: int, shape: tuple[int, int]) -> list[tuple[int, int]]:
    """The cells that touch this one at a side or a corner."""
    around = [(row + down, column + right) for down in (-1, 0, 1) for right in (-1, 0, 1) if down or right]
    return [(r, c) for r, c in around if 0 <= r < shape[0] and 0 <= c < shape[1]]


def best_cell(cells: Cells) -> tuple[int, int]:
    """Row and column of the highest `gain`. Raises `ValueError` where nothing has been measured."""
    row, column = np.unravel_index(np.nanargmax(cells.gain), cells.gain.shape)
    return int(row), int(column)


def best_along(cells: Cells, axis: int) -> dict[str, list[float]]:
    """Test accuracies of student and baseline in the best cell of each row (`axis` 1) or column (0), chosen by `choice`."""
    best = {}
    for member, chosen_by in zip(("student", "baseline"), cells.choice.mean(axis=-1), strict=True):
        places = np.expand_dims((cells.score.sign * chosen_by).argmax(axis=axis), axis)
        best[member] = np.take_along_axis(getattr(cells, member), places, axis).squeeze(axis).tolist()
    return best


def choice_along(cells: Cells, axis: int) -> dict[str, list[float]]:
    """What `best_along` chooses by, of student and baseline in the same cells: accuracies in percent, or bits a character."""
    sign, chosen_by = cells.score.sign, cells.choice.mean(axis=-1)
    return {member: (sign * (sign * by).max(axis=axis)).tolist() for member, by in zip(("student", "baseline"), chosen_by, strict=True)}


def cell_lines(
    history: History, position: tuple[int, int], *, columns: int, seeds: int, score: Score = ACCURACY
) -> dict[str, list[list[float]]]:
    """Mean curves of the cell at `(row, column)` over its seeds: `{member: [epochs, percentages]}`, or bits a character."""
    first = (position[0] * columns + position[1]) * seeds
    lines = {}
    for member in ("student", "baseline"):
        curves = [dict(history.get((first + seed, member), ())) for seed in range(seeds)]
        epochs = sorted(set.intersection(*map(set, curves)))
        means = (score.scale * sum(curve[epoch] for curve in curves) / seeds for epoch in epochs)
        lines[member] = [epochs, [round(mean, score.digits) for mean in means]]
    return lines
